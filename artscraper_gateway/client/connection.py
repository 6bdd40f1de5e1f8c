"""The connection to the gateway: its address, the API key, timeouts and retries."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx

from .errors import (
    ClientError,
    DigestMismatch,
    NotFound,
    Problem,
    Unreachable,
    problem_class,
)
from .requests import Request, T

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


@dataclass(frozen=True)
class Connection:
    """The settings that both clients share. The key appears in no repr, message or log."""

    url: str
    api_key: str | None = field(repr=False)
    timeout_s: float
    retry: RetryPolicy

    def __post_init__(self) -> None:
        try:
            url = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise ValueError(f"expected a URL, found {self.url[:80]!r}: {error}") from error
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError(f"expected http://host or https://host, found {self.url[:80]!r}")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise ValueError("the API key has characters that are not valid in a key")
        object.__setattr__(self, "url", self.url.rstrip("/"))

    def arguments(self, request: Request[Any], stack: ExitStack) -> dict[str, Any]:
        """Return the arguments for httpx; files stay open until `stack` closes."""
        return {
            "method": request.method,
            "url": self.url + request.path,
            "params": request.params,
            "headers": {**request.headers, **self.credentials()},
            "timeout": httpx.Timeout(self.timeout_s, read=self.timeout_s + request.server_wait_s),
            **request.body.opened(stack),
        }

    def credentials(self) -> dict[str, str]:
        """Return the header with the API key, if there is one."""
        return {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}

    def unreachable(self, error: httpx.HTTPError) -> Unreachable:
        """Return the error for a missing response; it does not repeat the URL's password."""
        url = httpx.URL(self.url)
        address = f"{url.scheme}://{url.netloc.decode('ascii')}"
        return Unreachable(f"no answer from {address}: {type(error).__name__}: {error}")

    def pause_s(
        self, request: Request[Any], attempts: int, elapsed_s: float, failure: ClientError
    ) -> float | None:
        """Return the seconds before the request is sent again; None to raise `failure`."""
        was_sent = not isinstance(failure.__cause__, httpx.ConnectError | httpx.ConnectTimeout)
        if was_sent and not request.repeatable:
            return None
        return self.retry.pause_s(attempts, elapsed_s, failure)


def parse(request: Request[T], response: httpx.Response, attempts: int) -> T:
    """Return the parsed response; raises Problem for a problem document."""
    if response.is_success:
        return request.parse(response)
    problem = problem_of(response)
    if request.deletes and attempts > 1 and isinstance(problem, NotFound):
        return request.parse(response)  # an earlier attempt has deleted it
    raise problem


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
