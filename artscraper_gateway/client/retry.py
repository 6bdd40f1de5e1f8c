"""When a call is made again, and when not."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from artscraper_gateway.client.errors import (
    ClientError,
    DigestMismatch,
    Problem,
    Unreachable,
    problem_class,
)

_PASSING = (429, 502, 503, 504)
_PHRASES = {each.value: each.phrase for each in HTTPStatus}
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0


@dataclass(frozen=True)
class Attempts:
    """How often a call is made that may be repeated, and how long is waited for it at most.

    A pause is what the gateway asks for in Retry-After, else half a second, doubled each time. When
    the gateway asks for more than `longest_wait_s` seconds, its problem is raised at once.
    """

    at_most: int = 5
    longest_wait_s: float = 60.0

    def pause_s(self, tried: int, failure: ClientError) -> float | None:
        """Returns the seconds before the next attempt after `tried`; None = give up."""
        if tried >= self.at_most:
            return None
        if isinstance(failure, Problem):
            if failure.status not in _PASSING:
                return None
            if failure.retry_after_s is not None:
                wait_s = failure.retry_after_s
                return wait_s if wait_s <= self.longest_wait_s else None
        elif not isinstance(failure, Unreachable | DigestMismatch):
            return None
        pause_s = min(_FIRST_PAUSE_S * 2.0 ** (tried - 1), _LONGEST_PAUSE_S)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311  so that clients do not come at once


def problem_of(response: httpx.Response) -> Problem:
    """Returns the problem that an answer of 400 or more states; its body has been read."""
    try:
        body = response.json()
    except ValueError:
        body = None
    said = body if isinstance(body, dict) else {}
    status = response.status_code
    phrase = _PHRASES.get(status, f"HTTP {status}")
    code, title = str(said.get("code", "")), str(said.get("title", phrase))
    detail = str(said.get("detail", "")) or f"status {status}, and nothing that explains it"
    wait_s = _retry_after_s(response.headers.get("retry-after"))
    return problem_class(status, code)(status, code, title, detail, wait_s)


def _retry_after_s(header: str | None) -> float | None:
    """Returns what RFC 9110 allows there, seconds or a date, as seconds from now."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # no date, or one of a zone that there is none of
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(time.time(), UTC)).total_seconds())
