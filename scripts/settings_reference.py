"""docs/configuration.md, made from the settings: `make configuration` writes it."""

from __future__ import annotations

import json
import types
import typing
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from artscraper_gateway.settings.groups import GROUPS
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.settings.sources import all_variables_of, format_value

_HEAD = """# Configuration

Generated from `artscraper_gateway/settings/groups.py` by `make configuration`.

A setting has five sources. The first one that names it decides:

1. on the command line: `--max-side 4096`, or as an argument of `GatewayConfig`
2. in the environment: `ARTSCRAPER_GATEWAY_MAX_SIDE=4096`
3. in `.env` in the working directory, by the same name; other programs' lines are ignored
4. in a TOML file: `max_side = 4096`, alone or in the table of its \
group (`[limits]`); the file is `--config FILE` or `ARTSCRAPER_GATEWAY_CONFIG=FILE`, \
else `artscraper.toml` in the working directory
5. the default

A secret can also be read from a file of one line, named by a variable ending in `_FILE`: \
`ARTSCRAPER_GATEWAY_DATABASE_URL_FILE=/run/secrets/database_url`. Setting both is an error.

Empty variables are ignored. Lists are separated by commas, except in TOML, which has lists. \
Unknown names are an error on the command line and in TOML. Relative folders are relative to the \
working directory, also those in a file. `ARTSCRAPER_GATEWAY_CONFIG=none` reads neither file. \
Workers inherit the settings of the process that starts them.

```sh
python -m artscraper_gateway check
```

prints the settings in effect with their sources, without secrets; the stages, encoders and \
processors that are available here, and why others are not; disks and GPU; and warnings about \
risky settings. Its exit status is 1 if the service would not start. It takes every option below, \
and `--json`.

"""
_TABLE = """| setting | variable | value | default | |
| --- | --- | --- | --- | --- |
"""
_SAMPLE = """
## A file with every setting

All at their defaults; settings without a default are left out.

```toml
"""
_LIMITS = {"ge": "from", "gt": "over", "le": "to", "pattern": ""}
_WORDS = {str: "text", int: "whole number", float: "number", bool: "yes or no", Path: "path"}


def page() -> str:
    """Return the page."""
    sections = [_section(group, names) for group, names in GROUPS.items()]
    return _HEAD + "\n".join(sections) + _SAMPLE + sample() + "```\n"


def sample() -> str:
    """Return a TOML file that sets everything to its default."""
    tables = []
    for group, names in GROUPS.items():
        fields = {name: GatewayConfig.model_fields[name] for name in names}
        lines = [
            f"{name} = {_toml(field.default)}  # {field.description}\n"
            for name, field in fields.items()
            if field.default is not None
        ]
        tables.append(f"[{group}]\n{''.join(lines)}")
    return "\n".join(tables)


def _section(group: str, names: tuple[str, ...]) -> str:
    rows = [_row(name, GatewayConfig.model_fields[name]) for name in names]
    return f"## {group.capitalize()}\n\n{_TABLE}" + "\n".join(rows) + "\n"


def _row(name: str, field: FieldInfo) -> str:
    option = f"`--{name.replace('_', '-')}`"
    variables = ", ".join(f"`{each}`" for each in all_variables_of(name, field))
    default = format_value(field.default)
    cells = (
        option,
        variables,
        _value(field),
        default if default == "none" else f"`{default}`",
        str(field.description),
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _value(field: FieldInfo) -> str:
    kinds = _kinds(field.annotation)
    if str in kinds and Path in kinds:
        return "path or URL"
    words = [_WORDS[kind] for kind in kinds if kind in _WORDS]
    word = words[0] if words else "text"
    if typing.get_origin(field.annotation) is tuple:
        return f"list of {word}s" if word != "text" else "list"
    constraints = [(kind, getattr(each, kind, None)) for each in field.metadata for kind in _LIMITS]
    limits = {kind: value for kind, value in constraints if value is not None}
    if "pattern" in limits:
        choices = str(limits["pattern"]).removeprefix("^(").removesuffix(")$")
        return choices.replace("|", ", ") if choices.replace("|", "").isalpha() else "text"
    return ", ".join([word, *(f"{_LIMITS[kind]} {value:,}" for kind, value in limits.items())])


def _kinds(annotation: Any) -> list[Any]:
    """Return the types that an annotation is made of, without None."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union, tuple):
        parts = [part for part in typing.get_args(annotation) if part is not Ellipsis]
        return [kind for part in parts for kind in _kinds(part)]
    return [] if annotation is type(None) else [annotation]


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(part) for part in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else json.dumps(str(value))


if __name__ == "__main__":
    Path("docs/configuration.md").write_text(page(), encoding="utf-8")
