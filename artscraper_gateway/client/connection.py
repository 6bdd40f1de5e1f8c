"""What both clients know about the gateway: where it is, the API key, how to ask."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx

from artscraper_gateway.client.errors import ClientError, NotFound, Unreachable
from artscraper_gateway.client.requests import Call, T
from artscraper_gateway.client.retry import Attempts, problem_of


@dataclass(frozen=True)
class Connection:
    """Where to ask and how. The key is in no repr, message or log."""

    url: str
    api_key: str | None = field(repr=False)
    timeout_s: float
    attempts: Attempts

    def __post_init__(self) -> None:
        try:
            found = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise ValueError(f"expected a URL, found {self.url[:80]!r}: {error}") from error
        if found.scheme not in ("http", "https") or not found.host:
            raise ValueError(f"expected http://host or https://host, found {self.url[:80]!r}")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise ValueError("the API key has characters that no key has")
        object.__setattr__(self, "url", self.url.rstrip("/"))

    def arguments(self, call: Call[Any], stack: ExitStack) -> dict[str, Any]:
        """Returns httpx' arguments for a request; files stay open until `stack` closes."""
        return {
            "method": call.method,
            "url": self.url + call.path,
            "params": call.params,
            "headers": {**call.headers, **self.credentials()},
            "timeout": httpx.Timeout(self.timeout_s, read=self.timeout_s + call.holds_s),
            **call.body.opened(stack),
        }

    def credentials(self) -> dict[str, str]:
        """Returns the header that carries the key, if there is one."""
        return {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}

    def unreachable(self, error: httpx.HTTPError | None = None) -> Unreachable:
        """Returns what to raise when no answer came; the URL's password is not repeated."""
        found = httpx.URL(self.url)
        shown = f"{found.scheme}://{found.netloc.decode('ascii')}"
        reason = f"{type(error).__name__}: {error}" if error else "the connection ended early"
        return Unreachable(f"no answer from {shown}: {reason}")

    def pause_s(self, call: Call[Any], tried: int, failure: ClientError) -> float | None:
        """Returns the seconds before the call is made again; None = raise `failure`."""
        return self.attempts.pause_s(tried, failure) if call.repeatable else None


def read(call: Call[T], response: httpx.Response, tried: int) -> T:
    """Returns what the answer says. Raises Problem when it is one."""
    if response.is_success:
        return call.read(response)
    problem = problem_of(response)
    if call.deletes and tried > 1 and isinstance(problem, NotFound):
        return call.read(response)  # the request before this one has done it
    raise problem
