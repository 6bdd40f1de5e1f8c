"""Validation of the setting `database_url`."""

from __future__ import annotations

from pydantic import SecretStr


def checked_database_url(value: SecretStr | None) -> SecretStr | None:
    """Return the URL of a PostgreSQL database unchanged; None selects SQLite.

    Raises:
        ValueError: another scheme, or not a URL; the message holds no part of the password.
    """
    expected = "expected postgresql://user:password@host/database"
    if value and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError(expected)
    from sqlalchemy import make_url  # not at the top: `--help` answers without it
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(value.get_secret_value()) if value else None
    except (ArgumentError, ValueError):  # its text holds parts of the password
        raise ValueError(f"{expected}, with @ : / in a password written as %40 %3A %2F") from None
    return value
