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
from pydantic_settings import BaseSettings, DotEnvSettingsSource, TomlConfigSettingsSource

from artscraper_gateway.settings.errors import SettingsFileUnusable
from artscraper_gateway.settings.groups import flatten
from artscraper_gateway.settings.names import ENVIRONMENT_PREFIX, is_secret
from artscraper_gateway.settings.secret_files import (
    SecretFileSource,
    all_variables_of,
)

FILE_VARIABLE = f"{ENVIRONMENT_PREFIX}CONFIG"  # what --config sets
NO_FILES = "none"  # its value where neither the TOML file nor .env is to be read
DEFAULT_FILE, DOTENV = "artscraper.toml", ".env"


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


def wrong_settings(kind: type[BaseSettings], error: ValidationError) -> list[str]:
    """Return one line per invalid setting; secrets, and URLs that may hold one, are not shown."""
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
