"""Send webhooks, as Standard Webhooks specifies, until they arrive or their attempts run out.

Senders run in the web processes, since they wait and compute nothing. A sender claims a delivery
for a minute; if it dies meanwhile, another one takes over after that. So a receiver may get a
message twice, with the same webhook-id.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import sqlalchemy as sa
from anyio.to_thread import run_sync
from standardwebhooks import Webhook

from artscraper_gateway.db.retry import log_outage
from artscraper_gateway.errors import ForbiddenAddress
from artscraper_gateway.net.address_guard import UNUSABLE_NAME, AddressRules, Lookup, system_lookup
from artscraper_gateway.net.pinned_transport import PinnedTransport, UnknownHost
from artscraper_gateway.observability.logging import log_context
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.webhooks.repository import Attempt, Delivery, DeliveryLog, DeliveryStatus

_log = logging.getLogger(__name__)
# After the first try, the second ... as Standard Webhooks recommends; then it has failed.
RETRY_AFTER_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
_JITTER = 0.1  # later by up to this share, so that what failed together is not sent together
_TRY_S = 15.0  # for lookup, connection and response together
_HELD_S = 60.0
_AT_ONCE = 32
_AT_ONCE_EACH = 8  # to one receiver: one that hangs leaves room for others
_LOOK_EVERY_S = 0.5
_LOOK_AT_CLOCK_EVERY_S = 60.0
_GONE = 410
_USER_AGENT = "Artscraper-Gateway/1 (webhook)"


@dataclass
class DeliverySender:
    """Sends due messages. Tests set `clock` and `chance` (0..1)."""

    log: DeliveryLog
    rules: AddressRules
    metrics: Metrics
    lookup: Lookup = system_lookup
    clock: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    _tasks: dict[asyncio.Task[None], str] = field(default_factory=dict)  # each with its receiver
    _passed_over: set[str] = field(default_factory=set)  # receivers that may have more due
    _has_room: asyncio.Event = field(default_factory=asyncio.Event)
    _looked_at_clock: float = float("-inf")

    async def run(self) -> None:
        """Send until cancelled; messages in flight are sent again by another sender."""
        try:
            while True:
                self._has_room.clear()
                try:
                    await self._begin_due()
                except sa.exc.SQLAlchemyError as error:
                    log_outage(_log, "due webhooks cannot be read for now", error)
                await self._pause()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pause(self) -> None:
        """Wait for the next poll, unless skipped messages have room now."""
        try:
            async with asyncio.timeout(_LOOK_EVERY_S):
                await self._has_room.wait()
        except TimeoutError:
            pass

    async def _begin_due(self) -> int:
        held = Counter(self._tasks.values())
        due = await run_sync(self._claim, held)
        held.update(delivery.receiver for delivery in due)
        is_full = held.total() >= _AT_ONCE
        self._passed_over = {each for each in held if is_full or held[each] >= _AT_ONCE_EACH}
        for delivery in due:
            task = asyncio.create_task(self._deliver(delivery))
            self._tasks[task] = delivery.receiver
            task.add_done_callback(self._leave)
        return len(due)

    def _claim(self, held: Counter[str]) -> list[Delivery]:
        now = self.clock()
        if time.monotonic() - self._looked_at_clock > _LOOK_AT_CLOCK_EVERY_S:
            self.log.restart_waits(now=now)
            self._looked_at_clock = time.monotonic()
        room = _AT_ONCE - held.total()
        return self.log.claim_due(
            now=now, until=now + _HELD_S, at_most=room, of_each=_AT_ONCE_EACH, held=held
        )

    def _leave(self, task: asyncio.Task[None]) -> None:
        if self._tasks.pop(task) in self._passed_over:
            self._has_room.set()

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            attempt, wait_s = await self._try(delivery)
            status, next_at = self._outcome(delivery, attempt, wait_s)
            self.metrics.deliveries.labels(status).inc()
            with log_context(job_id=delivery.job_id):
                answer = attempt.error or attempt.http_status
                _log.info("webhook %s: %s (%s)", delivery.id, status, answer)
            await run_sync(
                lambda: self.log.record(delivery, attempt, status=status, next_at=next_at)
            )
        except sa.exc.SQLAlchemyError:
            _log.warning("webhook %s cannot be recorded", delivery.id, exc_info=True)

    async def _try(self, delivery: Delivery) -> tuple[Attempt, float]:
        """Return the attempt, and the pause in seconds that the receiver requests."""
        at, begun = self.clock(), time.monotonic()
        status, error, wait_s = None, None, 0.0
        secret = await run_sync(self.log.secret, delivery.owner)
        try:
            async with (
                asyncio.timeout(_TRY_S),
                PinnedTransport(self.rules, lookup=self.lookup) as transport,
            ):
                request = _signed(delivery, secret, at)
                response = await transport.handle_async_request(request)
                status = response.status_code
                wait_s = _retry_after(response.headers.get("retry-after", ""), at)
                await response.aclose()
        except ForbiddenAddress as refused:
            error = refused.detail
        except UnknownHost:
            error = UNUSABLE_NAME
        except TimeoutError:
            error = f"no answer within {_TRY_S:g} s"
        except (httpx.HTTPError, httpx.StreamError, OSError) as failure:
            error = _reason(failure)
        return Attempt(at, time.monotonic() - begun, status, error), wait_s

    def _outcome(
        self, delivery: Delivery, attempt: Attempt, wait_s: float
    ) -> tuple[DeliveryStatus, float | None]:
        if attempt.http_status is not None and 200 <= attempt.http_status < 300:
            return "delivered", None
        if attempt.http_status == _GONE:
            return "closed", None
        if delivery.tries >= len(RETRY_AFTER_S):
            return "failed", None
        pause_s = RETRY_AFTER_S[delivery.tries] * (1 + _JITTER * self.chance())
        return "pending", attempt.at + max(pause_s, wait_s)


def _signed(delivery: Delivery, secret: str, at: float) -> httpx.Request:
    moment = datetime.fromtimestamp(int(at), UTC)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": _USER_AGENT,
        "webhook-id": delivery.id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": Webhook(secret).sign(delivery.id, moment, delivery.body),
    }
    timeout = httpx.Timeout(_TRY_S).as_dict()
    return httpx.Request(
        "POST",
        delivery.url,
        content=delivery.body.encode(),
        headers=headers,
        extensions={"timeout": timeout},
    )


def _retry_after(header: str, now: float) -> float:
    """Return the seconds of the Retry-After header, a day at most; 0 if it cannot be read."""
    header = header.strip()
    if header.isascii() and header.isdigit():
        wait_s = float(header[:9])
    else:
        try:
            wait_s = parsedate_to_datetime(header).timestamp() - now
        except (ValueError, OverflowError):
            return 0.0
    return min(max(wait_s, 0.0), float(RETRY_AFTER_S[-1]))


def _reason(failure: Exception) -> str:
    if isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout):
        return "the receiver could not be reached"
    if isinstance(failure, httpx.ProtocolError):
        return "the answer was not valid HTTP"
    return "the connection broke before there was an answer"
