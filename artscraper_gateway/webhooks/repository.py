"""Deliveries of webhooks as rows: when each is due, and every attempt."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import httpx
import sqlalchemy as sa

from artscraper_gateway.db.engine import CLOCKS_APART_S, reading
from artscraper_gateway.db.tables import (
    closed_callbacks,
    deliveries,
    delivery_attempts,
    insert_if_new,
    webhook_secrets,
)

# pending -> delivered | failed (no try is left) | closed (the receiver answered 410 Gone);
# any of them -> pending again, on request.
DeliveryStatus = Literal["pending", "delivered", "failed", "closed"]
_SECRET_BYTES = 32


@dataclass(frozen=True)
class Attempt:
    """One attempt. `http_status` is None without a response; then `error` has the reason."""

    at: float
    duration_s: float
    http_status: int | None
    error: str | None


@dataclass(frozen=True)
class Delivery:
    """One message to one receiver. Times are seconds since 1970, UTC; `next_at` None means never.

    `waits_since` is when `next_at` was set, None: by an earlier release.
    """

    id: str
    job_id: str
    owner: str
    url: str
    kind: str
    body: str
    status: DeliveryStatus
    tries: int
    created_at: float
    next_at: float | None
    waits_since: float | None
    receiver: str


def add_delivery(connection: sa.Connection, job: dict[str, Any], *, now: float) -> None:
    """Add the message about the end of `job`, a row, in the transaction that ends it."""
    owner, url = job["owner"], job["callback_url"]
    kind = f"job.{job['status']}"
    closed = connection.execute(
        sa.select(closed_callbacks).where(
            closed_callbacks.c.owner == owner, closed_callbacks.c.url == url
        )
    ).first()
    row = Delivery(
        id=f"msg_{secrets.token_hex(16)}",
        job_id=job["id"],
        owner=owner,
        url=url,
        kind=kind,
        body=_body(kind, job),
        status="closed" if closed else "pending",
        tries=0,
        created_at=now,
        next_at=None if closed else now,
        waits_since=now,
        receiver=httpx.URL(url).netloc.decode(),
    )
    connection.execute(sa.insert(deliveries), vars(row))


def _body(kind: str, job: dict[str, Any]) -> str:
    finished_at = _moment(job["finished_at"])
    data = {
        "job_id": job["id"],
        "status": job["status"],
        "submitted_at": _moment(job["submitted_at"]),
        "finished_at": finished_at,
        "error": job["error"],
        "error_code": job["error_code"],
        "batch_id": job["batch_id"],
    }
    return json.dumps({"type": kind, "timestamp": finished_at, "data": data})


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


class DeliveryLog:
    """Reads and writes deliveries, each change in one transaction."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def of_job(self, job_id: str) -> list[tuple[Delivery, list[Attempt]]]:
        """Return the job's deliveries with all their attempts, the oldest first."""
        mine = (
            sa.select(deliveries)
            .where(deliveries.c.job_id == job_id)
            .order_by(deliveries.c.created_at)
        )
        tried = (
            sa.select(delivery_attempts)
            .join(deliveries)
            .where(deliveries.c.job_id == job_id)
            .order_by(delivery_attempts.c.at)
        )
        with reading(self.engine) as connection:
            stored = [Delivery(**row._mapping) for row in connection.execute(mine)]
            attempts: dict[str, list[Attempt]] = {each.id: [] for each in stored}
            for row in connection.execute(tried):
                attempt = Attempt(row.at, row.duration_s, row.http_status, row.error)
                attempts.setdefault(row.delivery_id, []).append(attempt)
        return [(each, attempts[each.id]) for each in stored]

    def send_again(self, job_id: str, delivery_id: str) -> bool:
        """Make a delivery due now, with all attempts left; False if it is unknown."""
        now = time.time()
        change = (
            sa.update(deliveries)
            .where(deliveries.c.id == delivery_id, deliveries.c.job_id == job_id)
            .values(status="pending", tries=0, next_at=now, waits_since=now)
        )
        with self.engine.begin() as connection:
            return connection.execute(change).rowcount == 1

    def secret(self, owner: str) -> str:
        """Return the signing secret of the owner's webhooks; created on first use."""
        mine = sa.select(webhook_secrets.c.secret).where(webhook_secrets.c.owner == owner)
        with reading(self.engine) as connection:
            stored = connection.execute(mine).scalar_one_or_none()
        if stored is None:
            secret = "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
            row = {"owner": owner, "secret": secret}
            with self.engine.begin() as connection:  # another process may be faster
                connection.execute(insert_if_new(connection, webhook_secrets), row)
                stored = connection.execute(mine).scalar_one()
        return str(stored)

    def claim_due(
        self, *, now: float, until: float, at_most: int, of_each: int, held: Mapping[str, int]
    ) -> list[Delivery]:
        """Claim due deliveries, so that no other sender gets them before `until`.

        No receiver gets more than `of_each`, including the caller's `held` ones.
        """
        due = sa.and_(deliveries.c.status == "pending", deliveries.c.next_at <= now)
        with reading(self.engine) as connection:
            ids = _fair_share(connection, due, at_most, of_each, held)
        if not ids:
            return []
        take = (
            sa.update(deliveries)
            .where(due, deliveries.c.id.in_(ids))
            .values(next_at=until, waits_since=now)
            .returning(*deliveries.c)
        )
        with self.engine.begin() as connection:
            return [Delivery(**row._mapping) for row in connection.execute(take)]

    def restart_waits(self, *, now: float) -> None:
        """Reschedule deliveries whose timestamps lie in the future because the clock was set back.

        Messages that are being sent are then sent again, since they have such timestamps too.
        """
        wait_s = deliveries.c.next_at - deliveries.c.waits_since
        is_odd = sa.and_(
            deliveries.c.status == "pending",
            deliveries.c.next_at > now,
            deliveries.c.waits_since > now + CLOCKS_APART_S,
        )
        change = sa.update(deliveries).where(is_odd).values(next_at=now + wait_s, waits_since=now)
        with reading(self.engine) as connection:  # usually none: do not write
            odd = connection.execute(sa.select(deliveries.c.id).where(is_odd).limit(1)).first()
        if odd is not None:
            with self.engine.begin() as connection:
                connection.execute(change)

    def record(
        self,
        delivery: Delivery,
        attempt: Attempt,
        *,
        status: DeliveryStatus,
        next_at: float | None,
    ) -> None:
        """Record an attempt and its result; does nothing if the job was deleted meanwhile.

        A delivery that was sent again by hand meanwhile stays due.
        """
        still_mine = sa.and_(
            deliveries.c.id == delivery.id, deliveries.c.next_at == delivery.next_at
        )
        with self.engine.begin() as connection:
            changed = connection.execute(
                sa.update(deliveries)
                .where(still_mine)
                .values(
                    status=status,
                    next_at=next_at,
                    waits_since=attempt.at,
                    tries=deliveries.c.tries + 1,
                )
            )
            there = sa.select(deliveries.c.id).where(deliveries.c.id == delivery.id)
            if not changed.rowcount and connection.execute(there).first() is None:
                return
            row = {"delivery_id": delivery.id, **vars(attempt)}
            connection.execute(insert_if_new(connection, delivery_attempts), row)
            if changed.rowcount:
                self._settle_receiver(connection, delivery, status, attempt.at)

    def _settle_receiver(
        self, connection: sa.Connection, delivery: Delivery, status: DeliveryStatus, now: float
    ) -> None:
        """Close a receiver that is gone, until a delivery sent by hand arrives there."""
        if status not in ("closed", "delivered"):
            return
        receiver = {"owner": delivery.owner, "url": delivery.url}
        here = [closed_callbacks.c[name] == value for name, value in receiver.items()]
        connection.execute(sa.delete(closed_callbacks).where(*here))
        if status == "closed":
            connection.execute(sa.insert(closed_callbacks), {**receiver, "closed_at": now})
            connection.execute(
                sa.update(deliveries)
                .where(
                    deliveries.c.owner == delivery.owner,
                    deliveries.c.url == delivery.url,
                    deliveries.c.status == "pending",
                )
                .values(status="closed", next_at=None)
            )


def _fair_share(
    connection: sa.Connection,
    due: sa.ColumnElement[bool],
    at_most: int,
    of_each: int,
    held: Mapping[str, int],
) -> list[str]:
    """Return the ids of the longest due deliveries, within each receiver's share.

    Each query excludes receivers whose share is used, so deliveries of others are found however
    many wait for one receiver.
    """
    ids: list[str] = []
    taken = Counter(held)
    while (room := at_most - len(ids)) > 0:
        full = [receiver for receiver, count in taken.items() if count >= of_each]
        query = (
            sa.select(deliveries.c.id, deliveries.c.receiver)
            .where(due, deliveries.c.receiver.not_in(full), deliveries.c.id.not_in(ids))
            .order_by(deliveries.c.next_at)
            .limit(room)
        )
        rows = connection.execute(query).all()
        for row in rows:
            if taken[row.receiver] < of_each:
                taken[row.receiver] += 1
                ids.append(row.id)
        if len(rows) < room:
            break
    return ids
