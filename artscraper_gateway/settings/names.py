"""Names of settings in the environment, and which settings are secrets."""

from __future__ import annotations

from pydantic.fields import FieldInfo

ENVIRONMENT_PREFIX = "ARTSCRAPER_GATEWAY_"


def variables_of(name: str, field: FieldInfo) -> list[str]:
    """Return the environment variables of a setting, the first one first."""
    alias = field.validation_alias
    others = [str(each) for each in getattr(alias, "choices", ()) if str(each).isupper()]
    return list(dict.fromkeys([f"{ENVIRONMENT_PREFIX}{name.upper()}", *others]))


def is_secret(field: FieldInfo) -> bool:
    """Return whether the setting's value is never to be shown."""
    return "SecretStr" in str(field.annotation)
