"""Variables that make a child process build the same settings."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from artscraper_gateway.settings.names import ENVIRONMENT_PREFIX, is_secret
from artscraper_gateway.settings.secret_files import all_variables_of
from artscraper_gateway.settings.sources import FILE_VARIABLE, NO_FILES


def environment_of(config: BaseSettings) -> dict[str, str]:
    """Return every setting as a variable; the child reads no files, of secrets neither."""
    values = {FILE_VARIABLE: NO_FILES}
    for name, field in type(config).model_fields.items():
        if is_secret(field):  # its file was read already
            values |= dict.fromkeys(all_variables_of(name, field), "")
        value = getattr(config, name)
        if isinstance(value, tuple):
            value = ",".join(str(part) for part in value)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is None:
            continue
        values[ENVIRONMENT_PREFIX + name.upper()] = str(value)
    return values
