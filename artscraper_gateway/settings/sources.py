"""The sources of settings, in order of precedence.

command line, or constructor arguments
environment         ARTSCRAPER_GATEWAY_<NAME>; of a secret also ..._FILE, which names its file
.env                the same names, in the working directory
a TOML file         --config FILE, else artscraper.toml in the working directory
default
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

from artscraper_gateway.settings.groups import (
    ENVIRONMENT_PREFIX,
    flatten,
    is_secret,
    variables_of,
)

FILE_VARIABLE = f"{ENVIRONMENT_PREFIX}CONFIG"  # what --config sets
NO_FILES = "none"  # its value where neither the TOML file nor .env is to be read
DEFAULT_FILE, DOTENV = "artscraper.toml", ".env"
_FILE_SUFFIX = "_FILE"
_SECRET_MAX_BYTES = 64 * 1024


class SettingsFileUnusable(ValueError):
    """A named file is missing or unreadable, or a secret is set twice; the message says where."""


def settings_file() -> Path | None:
    """Return the TOML file with settings, or None.

    Raises:
        SettingsFileUnusable: the named file does not exist.
    """
    named = os.environ.get(FILE_VARIABLE, "")
    if named == NO_FILES:
        return None
    path = Path(named or DEFAULT_FILE)
    if path.is_file():
        return path
    if named:
        raise SettingsFileUnusable(f"{named}: expected a TOML file with settings, found none")
    return None


def file_sources(
    kind: type[BaseSettings],
) -> tuple[SecretFileSource, DotEnvSettingsSource, SecretFileSource, TomlConfigSettingsSource]:
    """Return the sources below the environment: its secret files, `.env` and its, then TOML.

    Raises:
        SettingsFileUnusable: as `settings_file`, or the file is no TOML; raised by calls of the
            sources of secrets when one is set twice or cannot be read.
    """
    reads_dotenv = os.environ.get(FILE_VARIABLE) != NO_FILES
    path = settings_file()
    try:
        dotenv = DotEnvSettingsSource(
            kind,
            env_file=DOTENV if reads_dotenv else None,
            env_file_encoding="utf-8",
            dotenv_filtering="only_existing",  # the file may serve other programs, too
        )
        toml = _GroupedTomlSource(kind, toml_file=path)
    except (ValueError, OSError) as error:  # no TOML, no UTF-8, a setting in the wrong table
        raise SettingsFileUnusable(f"{path or DOTENV}: cannot be read: {error}") from error
    secrets = SecretFileSource(kind, os.environ)
    return secrets, dotenv, SecretFileSource(kind, dotenv.env_vars), toml


class SecretFileSource(PydanticBaseSettingsSource):
    """Reads the files of secret settings that `variables` name: containers mount secrets so.

    Raises:
        SettingsFileUnusable: as `read_secret`, or a secret comes from two variables.
    """

    def __init__(self, kind: type[BaseSettings], variables: Mapping[str, str | None]) -> None:
        super().__init__(kind)
        self._variables = {name.upper(): value for name, value in variables.items()}

    def __call__(self) -> dict[str, Any]:
        """Return the secrets by the names of their settings."""
        secrets = {}
        for name, field in self.settings_cls.model_fields.items():
            if not is_secret(field):
                continue
            set_variables = [
                each for each in all_variables_of(name, field) if self._variables.get(each)
            ]
            files = [each for each in set_variables if each.endswith(_FILE_SUFFIX)]
            if files and len(set_variables) > 1:
                raise SettingsFileUnusable(
                    f"expected one of {' and '.join(set_variables)}, found both; unset one"
                )
            if files:
                secrets[name] = read_secret(files[0], self._variables[files[0]] or "")
        return secrets

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return no value: `__call__` reads all fields."""
        return None, field_name, False


def all_variables_of(name: str, field: FieldInfo) -> list[str]:
    """Return the variables of a setting and, for a secret, the variables that name its file."""
    variables = variables_of(name, field)
    return variables + ([each + _FILE_SUFFIX for each in variables] if is_secret(field) else [])


def read_secret(variable: str, path: str) -> str:
    """Return the content of the file that `variable` names, without the last line break.

    Raises:
        SettingsFileUnusable: no readable file with one line of text.
    """
    expected = f"{variable}: expected a file with one line, found"
    try:
        with Path(path).open("rb") as file:
            content = file.read(_SECRET_MAX_BYTES + 1)
        text = content.decode().rstrip("\r\n")
    except OSError as error:
        raise SettingsFileUnusable(f"{expected} {path}: {error.strerror}") from None
    except ValueError:  # no UTF-8, or a null byte in the path; the text may hold the secret
        raise SettingsFileUnusable(f"{expected} no UTF-8 text") from None
    if not text or len(content) > _SECRET_MAX_BYTES or len(text.splitlines()) > 1:
        found = "an empty one" if not text else "more"
        raise SettingsFileUnusable(f"{expected} {found}")
    return text


class _GroupedTomlSource(TomlConfigSettingsSource):
    """Reads settings with or without the tables of their groups."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return flatten(super()._read_file(file_path))


def origins(kind: type[BaseSettings], arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return the source of each setting's value as text; `arguments` are the constructor's.

    Raises:
        SettingsFileUnusable: as `file_sources`.
    """
    _, *below = file_sources(kind)
    dotenv, dotenv_secrets, toml = (set(source()) for source in below)
    dotenv |= dotenv_secrets
    sources = {}
    for name, field in kind.model_fields.items():
        variables = all_variables_of(name, field)
        keys = {name, *variables, *(variable.lower() for variable in variables)}
        in_environment = [each for each in variables if os.environ.get(each)]
        if name in arguments:
            sources[name] = "command line"
        elif in_environment:
            sources[name] = f"environment ({in_environment[0]})"
        elif dotenv & keys:
            sources[name] = DOTENV
        else:
            sources[name] = str(settings_file()) if toml & keys else "default"
    return sources


def unknown_variables(kind: type[BaseSettings]) -> list[str]:
    """Return variables of the environment and `.env` with the settings' prefix but no setting.

    Raises:
        SettingsFileUnusable: as `file_sources`.
    """
    known = {
        variable
        for name, field in kind.model_fields.items()
        for variable in all_variables_of(name, field)
    }
    known.add(FILE_VARIABLE)
    _, dotenv, _, _ = file_sources(kind)
    present = {*os.environ, *(name.upper() for name in dotenv.env_vars)}  # it holds lower case
    return sorted(name for name in present - known if name.startswith(ENVIRONMENT_PREFIX))


def format_value(value: object) -> str:
    """Return a setting's value as `check`, `--help` and docs/configuration.md show it."""
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value) or "none"
    if isinstance(value, bool):
        return ("no", "yes")[value]
    return "none" if value in (None, "") else str(value)


def wrong_settings(
    kind: type[BaseSettings], error: ValidationError | SettingsFileUnusable
) -> list[str]:
    """Return one line per invalid setting; secrets, and URLs that may hold one, are not shown."""
    if isinstance(error, SettingsFileUnusable):
        return [str(error)]
    secrets = [name for name, field in kind.model_fields.items() if is_secret(field)]
    lines = []
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        # The value of an unknown name may be anything, such as a misspelt secret.
        is_misspelt = problem["type"] == "extra_forbidden"
        hidden = is_misspelt or any(secret in name.lower() for secret in secrets)
        hidden = hidden or "://" in str(problem["input"])
        lines.append(
            f"{name}: {problem['msg']}" + ("" if hidden else f", found {problem['input']!r}")
        )
    return lines
