"""The connection to the gateway: its address, the API key, timeouts and retries."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx

from .errors import ClientError, NotFound, Unreachable
from .requests import Request, T
from .retry import RetryPolicy, problem_of


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

    def unreachable(self, error: httpx.HTTPError | None = None) -> Unreachable:
        """Return the error for a missing response; it does not repeat the URL's password."""
        url = httpx.URL(self.url)
        address = f"{url.scheme}://{url.netloc.decode('ascii')}"
        reason = f"{type(error).__name__}: {error}" if error else "the connection ended early"
        return Unreachable(f"no answer from {address}: {reason}")

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
