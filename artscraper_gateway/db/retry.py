"""Wait until a database that is away, busy or out of disk takes what it is told."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import sqlalchemy as sa

_log = logging.getLogger(__name__)
_PAUSE_S = 0.5
_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
P = ParamSpec("P")
T = TypeVar("T")


def is_outage(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether the database is away, busy or out of disk, and not the question wrong."""
    if isinstance(error, sa.exc.TimeoutError):  # no connection became free
        return True
    lost = isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
    refused = (
        isinstance(error, sa.exc.OperationalError) and "psycopg" in type(error.orig).__module__
    )
    return lost or refused or _sqlite_code(error) in _PASSING


def is_full(error: BaseException) -> bool:
    """Whether the disk under an SQLite database has no room left."""
    return _sqlite_code(error) == sqlite3.SQLITE_FULL


def _sqlite_code(error: BaseException) -> int | None:
    """The primary code, which the lowest byte of an extended one is."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else None
    if not isinstance(cause, sqlite3.OperationalError):
        return None
    return int(getattr(cause, "sqlite_errorcode", 0)) & 0xFF


def patiently(call: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Returns what `call` returns, asked again for as long as there is an outage.

    A call may run twice when the answer was lost on its way, so it has to be safe to repeat.
    """
    while True:
        try:
            return call(*given, **named)
        except sa.exc.SQLAlchemyError as error:
            if not is_outage(error):
                raise
            _log.warning("the database cannot do it now; asking again: %s", error.__cause__)
        time.sleep(_PAUSE_S)
