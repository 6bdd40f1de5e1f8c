"""Wait until a database server that restarts answers again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import sqlalchemy as sa

_log = logging.getLogger(__name__)
_PAUSE_S = 0.5
P = ParamSpec("P")
T = TypeVar("T")


def is_outage(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether the server is away or busy, and not the question wrong."""
    if isinstance(error, sa.exc.TimeoutError):  # no connection became free
        return True
    lost = isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
    refused = (
        isinstance(error, sa.exc.OperationalError) and "psycopg" in type(error.orig).__module__
    )
    return lost or refused


def patiently(call: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Returns what `call` returns, asked again for as long as the database server is away.

    A call may run twice when the answer was lost on its way, so it has to be safe to repeat.
    """
    while True:
        try:
            return call(*given, **named)
        except sa.exc.SQLAlchemyError as error:
            if not is_outage(error):
                raise
            _log.warning("the database does not answer; asking again: %s", error.__cause__)
        time.sleep(_PAUSE_S)
