"""Insert rows that may exist already, in the dialect of each database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def upsert(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an insert with `on_conflict_do_update` and `on_conflict_do_nothing`."""
    return _INSERTS[connection.dialect.name](table)


def insert_if_new(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an insert that ignores rows that exist already."""
    return upsert(connection, table).on_conflict_do_nothing()
