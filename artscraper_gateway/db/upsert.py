"""Insert rows that may be there already, which each database has in a dialect of its own."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def upsert(connection: sa.Connection, table: sa.Table) -> Any:
    """Returns an insert that takes `on_conflict_do_update` and `on_conflict_do_nothing`."""
    return _INSERTS[connection.dialect.name](table)


def insert_if_new(connection: sa.Connection, table: sa.Table) -> Any:
    """Returns an insert that does nothing about rows that are there."""
    return upsert(connection, table).on_conflict_do_nothing()
