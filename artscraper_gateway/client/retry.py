"""The conditions under which a request is sent again."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from .errors import (
    ClientError,
    DigestMismatch,
    Problem,
    Unreachable,
    problem_class,
)

_TEMPORARY = (429, 502, 503, 504)
_PHRASES = {each.value: each.phrase for each in HTTPStatus}
_FIRST_PAUSE_S = 0.5
_MAX_PAUSE_S = 8.0


@dataclass(frozen=True)
class RetryPolicy:
    """Limits on the retries of a repeatable request.

    The pause follows the Retry-After header, else it is half a second, doubled each time up
    to 8 s. A Retry-After of more than `max_wait_s` raises the problem at once.

    A gateway that restarts refuses connections, or answers 502 or 503 through a proxy:
    such failures are retried for `outage_s` seconds, whatever `max_attempts` is.
    """

    max_attempts: int = 5
    max_wait_s: float = 60.0
    outage_s: float = 90.0

    def pause_s(self, attempts: int, elapsed_s: float, failure: ClientError) -> float | None:
        """Return the seconds before the next attempt, None for no more attempts.

        Args:
            attempts: requests sent so far.
            elapsed_s: seconds since the first one.
            failure: the failure of the last one.
        """
        is_outage = isinstance(failure, Unreachable) or (
            isinstance(failure, Problem) and failure.status in (502, 503)
        )
        if attempts >= self.max_attempts and not (is_outage and elapsed_s < self.outage_s):
            return None
        if isinstance(failure, Problem):
            if failure.status not in _TEMPORARY:
                return None
            if failure.retry_after_s is not None:
                wait_s = failure.retry_after_s
                return wait_s if wait_s <= self.max_wait_s else None
        elif not isinstance(failure, Unreachable | DigestMismatch):
            return None
        pause_s = min(_FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 10), _MAX_PAUSE_S)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311  clients shall not return all at once


def problem_of(response: httpx.Response) -> Problem:
    """Return the problem of a response with status 400 or more, whose body has been read."""
    try:
        body = response.json()
    except ValueError:
        body = None
    fields = body if isinstance(body, dict) else {}
    status = response.status_code
    phrase = _PHRASES.get(status, f"HTTP {status}")
    code, title = str(fields.get("code", "")), str(fields.get("title", phrase))
    detail = str(fields.get("detail", "")) or f"status {status} without an explanation"
    wait_s = _retry_after_s(response.headers.get("retry-after"))
    return problem_class(status, code)(status, code, title, detail, wait_s)


def _retry_after_s(header: str | None) -> float | None:
    """Return the header, seconds or a date (RFC 9110), as seconds from now."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # not a date, or one in an unknown zone
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(time.time(), UTC)).total_seconds())
