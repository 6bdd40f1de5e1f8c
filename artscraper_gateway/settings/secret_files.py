"""Secrets from files: `ARTSCRAPER_GATEWAY_<NAME>_FILE` names the file of a secret setting.

So a secret is in neither the environment nor the command line: containers mount it as a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from artscraper_gateway.settings.errors import SettingsFileUnusable
from artscraper_gateway.settings.names import is_secret, variables_of

SUFFIX = "_FILE"
_MAX_BYTES = 64 * 1024


class SecretFileSource(PydanticBaseSettingsSource):
    """Reads the files of secret settings that `variables` name.

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
            set_variables = [each for each in all_variables_of(name, field) if self._is_set(each)]
            files = [each for each in set_variables if each.endswith(SUFFIX)]
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

    def _is_set(self, variable: str) -> bool:
        return bool(self._variables.get(variable))


def all_variables_of(name: str, field: FieldInfo) -> list[str]:
    """Return the variables of a setting and, for a secret, the variables that name its file."""
    variables = variables_of(name, field)
    return variables + ([each + SUFFIX for each in variables] if is_secret(field) else [])


def read_secret(variable: str, path: str) -> str:
    """Return the content of the file that `variable` names, without the last line break.

    Raises:
        SettingsFileUnusable: no readable file with one line of text.
    """
    expected = f"{variable}: expected a file with one line, found"
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        text = content.decode().rstrip("\r\n")
    except OSError as error:
        raise SettingsFileUnusable(f"{expected} {path}: {error.strerror}") from None
    except ValueError:  # no UTF-8, or a null byte in the path; the text may hold the secret
        raise SettingsFileUnusable(f"{expected} no UTF-8 text") from None
    if not text or len(content) > _MAX_BYTES or len(text.splitlines()) > 1:
        found = "an empty one" if not text else "more"
        raise SettingsFileUnusable(f"{expected} {found}")
    return text
