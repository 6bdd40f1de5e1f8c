"""`Idempotency-Key`: a request sent twice is accepted once.

The decision is `claim`, in the transaction that adds the job. `find_earlier` is the same query
without a claim: it saves a download if the key is taken already.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from artscraper_gateway.db.engine import reading
from artscraper_gateway.db.tables import idempotency_keys, insert_if_new, jobs
from artscraper_gateway.errors import IdempotencyKeyReused

KEPT_S = 24 * 3600.0
Kind = Literal["job", "batch"]

_table = idempotency_keys.c


@dataclass(frozen=True)
class IdempotencyClaim:
    """A key of one owner, with the fingerprint of the payload that it came with."""

    owner: str
    key: str
    fingerprint: str


def fingerprint(kind: Kind, payloads: Sequence[dict[str, Any]]) -> str:
    """Return a digest of the request: each picture's options, and its name or its content."""
    text = json.dumps([kind, payloads], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def claim(connection: sa.Connection, requested: IdempotencyClaim, answer_id: str) -> str | None:
    """Claim the key for the job or batch `answer_id` in the caller's transaction.

    Of two concurrent claims the second waits for the first one's transaction.

    Returns:
        None if the key was free, else the id of the job or batch that it led to before.

    Raises:
        IdempotencyKeyReused: it was used with another payload.
    """
    now = time.time()
    stale = sa.not_(_is_valid(now))
    connection.execute(sa.delete(idempotency_keys).where(_is_key(requested), stale))
    row = {**vars(requested), "answer_id": answer_id, "created_at": now}
    insert = insert_if_new(connection, idempotency_keys).returning(_table.key)
    if connection.execute(insert, row).first() is not None:
        return None
    return _earlier(connection, requested, now)


def find_earlier(engine: sa.Engine, requested: IdempotencyClaim) -> str | None:
    """Return the id of the job or batch that the key led to before; None if it is free.

    Raises:
        IdempotencyKeyReused: it was used with another payload.
    """
    with reading(engine) as connection:
        return _earlier(connection, requested, time.time())


def drop_expired(engine: sa.Engine, *, now: float) -> None:
    """Delete the keys of more than a day ago."""
    with engine.begin() as connection:
        old = _table.created_at < now - KEPT_S
        connection.execute(sa.delete(idempotency_keys).where(old))


def _is_key(requested: IdempotencyClaim) -> sa.ColumnElement[bool]:
    return sa.and_(_table.owner == requested.owner, _table.key == requested.key)


def _earlier(connection: sa.Connection, requested: IdempotencyClaim, now: float) -> str | None:
    query = sa.select(idempotency_keys).where(_is_key(requested), _is_valid(now))
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.fingerprint != requested.fingerprint:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was used with another payload; send a new key."
        )
    return str(row.answer_id)


def _is_valid(now: float) -> sa.ColumnElement[bool]:
    """Return whether the key is less than a day old and its job, or one of its batch, exists."""
    is_answer = sa.or_(jobs.c.id == _table.answer_id, jobs.c.batch_id == _table.answer_id)
    exists = sa.exists().where(is_answer, jobs.c.status != "deleting")
    return sa.and_(_table.created_at >= now - KEPT_S, exists)
