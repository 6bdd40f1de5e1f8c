"""Who calls, and whether they may: `Authorization: Bearer KEY` or `X-API-Key: KEY`."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import Depends, Request
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as ASGIScope

from artscraper_gateway.api.context import Caller, Gateway
from artscraper_gateway.api.session_cookie import key_of_cookie
from artscraper_gateway.auth.keys import Allowance, ApiKey, Scope
from artscraper_gateway.errors import Forbidden, RateLimited, Unauthorized

_FIELDS = "artscraper_gateway.rate_limit"


class RateLimitHeaders:
    """Adds what is left of the key's rate to every answer: errors, files and streams too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answers as the app does, with the fields that `_spend` left in the scope."""

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start" and _FIELDS in scope:
                message["headers"] = [*message["headers"], *scope[_FIELDS]]
            await send(message)

        await self.app(scope, receive, send_with_fields)


def allowed(scope: Scope) -> Callable[[Request], Awaitable[Gateway]]:
    """Returns the dependency of routes that need `scope`."""

    async def gateway_for_caller(request: Request) -> Gateway:
        found: Gateway = request.app.state.gateway
        if not await found.keyring.needs_key():
            return found
        key = await _key_of(request, found)
        if key.rate is not None:
            use = partial(found.keyring.store.use, key, now=time.time())
            _spend(await run_sync(use), request)
        if scope not in key.scopes and "admin" not in key.scopes:
            raise Forbidden(f"This API key has not the scope {scope}.")
        caller = Caller(
            key.id,
            sees_all="admin" in key.scopes,
            max_queued=key.max_queued,
            max_priority=key.max_priority,
        )
        return replace(found, caller=caller)

    return gateway_for_caller


Submitter = Annotated[Gateway, Depends(allowed("submit"))]
Reader = Annotated[Gateway, Depends(allowed("read"))]
Deleter = Annotated[Gateway, Depends(allowed("delete"))]


async def _key_of(request: Request, found: Gateway) -> ApiKey:
    token = request.headers.get("x-api-key", "")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token = given.strip()
    token = token or key_of_cookie(request)
    if not token:
        raise Unauthorized("Send an API key, as Authorization: Bearer KEY or as X-API-Key: KEY.")
    key = await found.keyring.find(token)
    if key is None:
        raise Unauthorized("The API key is not known, or was revoked.")
    return key


def _spend(left: Allowance, request: Request) -> None:
    """Leaves the fields of draft-ietf-httpapi-ratelimit-headers for the answer."""
    period_s, reset_s = math.ceil(left.rate.period_s), math.ceil(left.reset_s)
    policy = f'"key";q={left.rate.count};w={period_s}'
    now = f'"key";r={left.remaining};t={reset_s}'
    request.scope[_FIELDS] = [
        (b"ratelimit-policy", policy.encode()),
        (b"ratelimit", now.encode()),
    ]
    if left.retry_after_s > 0:
        wait_s = max(1, math.ceil(left.retry_after_s))
        raise RateLimited(
            f"This API key may be used {left.rate}; try again in {wait_s} s.",
            headers={"Retry-After": str(wait_s)},
        )
