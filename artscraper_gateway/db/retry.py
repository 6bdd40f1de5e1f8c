"""Outages of the database, which is unavailable, busy or out of disk: retry calls, log seldom."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import sqlalchemy as sa

_log = logging.getLogger(__name__)
_PAUSE_S = 0.5
_LOG_EVERY_S = 30.0
_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
P = ParamSpec("P")
T = TypeVar("T")


def is_outage(error: sa.exc.SQLAlchemyError) -> bool:
    """Return whether the database is unavailable, busy or full, rather than the statement wrong."""
    if isinstance(error, sa.exc.TimeoutError):  # no connection became free
        return True
    lost = isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
    refused = (
        isinstance(error, sa.exc.OperationalError) and "psycopg" in type(error.orig).__module__
    )
    return lost or refused or _sqlite_code(error) in _PASSING


def is_full(error: BaseException) -> bool:
    """Return whether the disk of an SQLite database is full."""
    return _sqlite_code(error) == sqlite3.SQLITE_FULL


def _sqlite_code(error: BaseException) -> int | None:
    """Return the primary result code: the lowest byte of an extended one."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else None
    if not isinstance(cause, sqlite3.OperationalError):
        return None
    return int(getattr(cause, "sqlite_errorcode", 0)) & 0xFF


def retry_on_outage(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of `call`, repeated for as long as the database is in an outage.

    The call must be safe to repeat: its result may have been lost on the way.
    """
    while True:
        try:
            return call(*args, **kwargs)
        except sa.exc.SQLAlchemyError as error:
            if not is_outage(error):
                raise
            log_outage(_log, "the database is unavailable; retrying", error)
        time.sleep(_PAUSE_S)


class RepeatLimit:
    """Allows each message once in a period."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logged_at: dict[str, float] = {}

    def allows(self, message: str) -> bool:
        """Return whether the message was not logged in the last half minute, and record it."""
        with self._lock:
            now = time.monotonic()
            is_due = now - self._logged_at.get(message, float("-inf")) >= _LOG_EVERY_S
            if is_due:
                self._logged_at[message] = now
            return is_due


class RepeatFilter(logging.Filter):
    """Drops messages of the queue's library that differ only after the first colon."""

    def __init__(self) -> None:
        super().__init__()
        self._limit = RepeatLimit()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        if record.levelno != logging.WARNING:
            return True
        return self._limit.allows(record.getMessage().partition(":")[0])


_outages = RepeatLimit()


def log_outage(log: logging.Logger, message: str, error: BaseException) -> None:
    """Log `message`, which names what cannot be done, and the reason, with a limited rate."""
    if _outages.allows(f"{log.name} {message}"):
        log.warning("%s: %s", message, error.__cause__ or error)
