"""`Idempotency-Key`: what is sent twice is accepted once."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from artscraper_gateway.db.tables import idempotency_keys, jobs
from artscraper_gateway.db.upsert import insert_if_new
from artscraper_gateway.errors import IdempotencyKeyReused, InvalidRequest

KEPT_S = 24 * 3600.0
Kind = Literal["job", "batch"]
_KEY = re.compile(r"[!-~]{1,255}")

_table = idempotency_keys.c


@dataclass(frozen=True)
class IdempotencyClaim:
    """A key of one owner, with the fingerprint of the payload that it came with."""

    owner: str
    key: str
    fingerprint: str


def checked_key(header: str | None) -> str | None:
    """Returns the header's value; None when there is none.

    Raises:
        InvalidRequest: not 1 to 255 visible ASCII characters.
    """
    if header is None:
        return None
    key = header.strip()
    if _KEY.fullmatch(key) is None:
        raise InvalidRequest("Idempotency-Key: expected 1 to 255 visible ASCII characters")
    return key


def fingerprint(kind: Kind, sent: Sequence[dict[str, Any]]) -> str:
    """Returns a digest of what was sent: the options of each picture, and what names or is it."""
    text = json.dumps([kind, sent], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def claim(connection: sa.Connection, asked: IdempotencyClaim, answer_id: str) -> str | None:
    """Claims the key for `answer_id` in the caller's transaction.

    Returns None when it was free, or the answer that it led to before. Of two at the same moment
    the second waits for the first one's transaction.

    Raises:
        IdempotencyKeyReused: it came with another payload before.
    """
    now = time.time()
    _drop_stale(connection, asked, now)
    row = {**vars(asked), "answer_id": answer_id, "created_at": now}
    insert = insert_if_new(connection, idempotency_keys).returning(_table.key)
    if connection.execute(insert, row).first() is not None:
        return None
    return _answer(connection, asked)


def find_answer(engine: sa.Engine, asked: IdempotencyClaim) -> str | None:
    """Returns the answer that the key led to, if it still stands; None when the key is free.

    Raises:
        IdempotencyKeyReused: it came with another payload before.
    """
    with engine.begin() as connection:
        _drop_stale(connection, asked, time.time())
        return _answer(connection, asked)


def drop_expired(engine: sa.Engine, *, now: float) -> None:
    """Forgets the keys of more than a day ago."""
    with engine.begin() as connection:
        old = _table.created_at < now - KEPT_S
        connection.execute(sa.delete(idempotency_keys).where(old))


def _is(asked: IdempotencyClaim) -> sa.ColumnElement[bool]:
    return sa.and_(_table.owner == asked.owner, _table.key == asked.key)


def _answer(connection: sa.Connection, asked: IdempotencyClaim) -> str | None:
    row = connection.execute(sa.select(idempotency_keys).where(_is(asked))).one_or_none()
    if row is None:
        return None
    if row.fingerprint != asked.fingerprint:
        raise IdempotencyKeyReused(
            "This Idempotency-Key came with another payload before; send a new key with it."
        )
    return str(row.answer_id)


def _drop_stale(connection: sa.Connection, asked: IdempotencyClaim, now: float) -> None:
    """Frees a key that is a day old, or whose job, or all jobs of its batch, were deleted since."""
    is_answer = sa.or_(jobs.c.id == _table.answer_id, jobs.c.batch_id == _table.answer_id)
    stands = sa.exists().where(is_answer, jobs.c.status != "deleting")
    stale = sa.or_(_table.created_at < now - KEPT_S, sa.not_(stands))
    connection.execute(sa.delete(idempotency_keys).where(_is(asked), stale))
