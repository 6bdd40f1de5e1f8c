"""Authentication by API key, session cookie or signed link, and the key's rate limit.

A browser's session cookie is HttpOnly, so that no script reads the key, and sent with requests of
the same site only. A request that changes something also needs a token that no other site can read.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import Depends, Query, Request, Response
from starlette.types import Scope as ASGIScope

from artscraper_gateway.api.context import Caller, CallerJobs, services_of
from artscraper_gateway.api.middleware import RATE_LIMIT_FIELDS, SAFE_METHODS
from artscraper_gateway.auth.keys import ApiKey, Keyring, RateLimitState, Scope
from artscraper_gateway.errors import (
    Forbidden,
    InvalidRequest,
    LinkNotValid,
    RateLimited,
    Unauthorized,
)

_KEY = "artscraper_gateway.api_key"  # in the scope
_COOKIE = "artscraper_key"


async def needs_key(scope: ASGIScope) -> bool:
    """Return whether callers of the request's app need a key."""
    return await services_of(Request(scope)).keyring.needs_key()


def caller_with(scope: Scope) -> Callable[[Request], Awaitable[Caller]]:
    """Return the dependency that identifies the caller of routes that need `scope`."""

    async def caller(request: Request) -> Caller:
        keyring = services_of(request).keyring
        if not await keyring.needs_key():
            return Caller()
        key = await _key_of(request, keyring)
        request.scope[_KEY] = key
        await _consume(request, key, 1)
        if scope not in key.scopes and "admin" not in key.scopes:
            raise Forbidden(f"This API key does not have the scope {scope}.")
        return Caller(
            key.id,
            sees_all="admin" in key.scopes,
            max_queued=key.max_queued,
            max_priority=key.max_priority,
        )

    return caller


async def consume_jobs(request: Request, count: int) -> None:
    """Count the further jobs of a request, such as a batch, against its key's rate.

    Raises:
        InvalidRequest: the rate never allows so many at once.
        RateLimited: it does not allow them now.
    """
    key: ApiKey | None = request.scope.get(_KEY)
    if key is None or key.rate is None or count < 1:
        return
    if count + 1 > key.rate.count:
        raise InvalidRequest(
            f"expected at most {key.rate.count} jobs, as this API key's rate of {key.rate} allows;"
            f" found {count + 1}; send fewer at a time"
        )
    await _consume(request, key, count)


async def _consume(request: Request, key: ApiKey, count: int) -> None:
    if key.rate is not None:
        store = services_of(request).keyring.store
        consume = partial(store.consume, key, now=time.time(), count=count)
        _set_rate_limit_fields(await run_sync(consume), request)


def _jobs_with(scope: Scope) -> Callable[[Request], Awaitable[CallerJobs]]:
    async def jobs(request: Request) -> CallerJobs:
        return CallerJobs.of(request, await caller_with(scope)(request))

    return jobs


async def _linked_jobs(
    request: Request,
    job_id: str,
    stage: str,
    expires: Annotated[str | None, Query(max_length=20, description="of a signed link")] = None,
    signature: Annotated[str | None, Query(max_length=100, description="of a signed link")] = None,
) -> CallerJobs:
    """Let a signed link take the place of an API key.

    Raises:
        LinkNotValid: the link was altered, or has expired.
    """
    if expires is None and signature is None:
        return await _jobs_with("read")(request)
    text = expires or ""
    is_signed = (
        text.isascii()
        and text.isdigit()
        and services_of(request).signer.verify(
            job_id, f"layers/{stage}", expires_at=int(text), signature=signature or ""
        )
    )
    if not is_signed:
        raise LinkNotValid("The link was altered; ask for a new one.")
    if time.time() > int(text):
        raise LinkNotValid("The link has expired; ask for a new one.")
    return CallerJobs.of(request, Caller(sees_all=True))


SubmitJobs = Annotated[CallerJobs, Depends(_jobs_with("submit"))]
ReadJobs = Annotated[CallerJobs, Depends(_jobs_with("read"))]
DeleteJobs = Annotated[CallerJobs, Depends(_jobs_with("delete"))]
LinkedJobs = Annotated[CallerJobs, Depends(_linked_jobs)]


async def _key_of(request: Request, keyring: Keyring) -> ApiKey:
    token = request.headers.get("x-api-key", "")
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token = credentials.strip()
    token = token or key_of_cookie(request)
    if not token:
        raise Unauthorized("Send an API key, as Authorization: Bearer KEY or as X-API-Key: KEY.")
    key = await keyring.find(token)
    if key is None:
        raise Unauthorized("The API key is unknown or was revoked.")
    return key


def _set_rate_limit_fields(state: RateLimitState, request: Request) -> None:
    """Set the fields of draft-ietf-httpapi-ratelimit-headers; raise RateLimited beyond the rate."""
    period_s, reset_s = math.ceil(state.rate.period_s), math.ceil(state.reset_s)
    policy = f'"key";q={state.rate.count};w={period_s}'
    current = f'"key";r={state.remaining};t={reset_s}'
    request.scope[RATE_LIMIT_FIELDS] = [
        (b"ratelimit-policy", policy.encode()),
        (b"ratelimit", current.encode()),
    ]
    if state.retry_after_s > 0:
        wait_s = max(1, math.ceil(state.retry_after_s))
        raise RateLimited(
            f"This API key may be used {state.rate}; try again in {wait_s} s.",
            headers={"Retry-After": str(wait_s)},
        )


def csrf_token(key: str) -> str:
    """Return the X-CSRF-Token of a page that is signed in with `key`."""
    return hmac.new(key.encode(), b"artscraper-gateway csrf", hashlib.sha256).hexdigest()


def key_of_cookie(request: Request) -> str:
    """Return the key of the request's cookie, or "".

    Raises:
        Forbidden: a request that changes something comes without the page's token.
    """
    key = request.cookies.get(_COOKIE, "")
    if key and request.method not in SAFE_METHODS:
        token = request.headers.get("x-csrf-token", "")
        if not hmac.compare_digest(token.encode(), csrf_token(key).encode()):
            raise Forbidden("The cookie's key needs the page's X-CSRF-Token; reload the page.")
    return key


def set_cookie(request: Request, response: Response, key: str) -> None:
    """Set the session cookie, which lasts until the browser is closed; "" removes it."""
    response.set_cookie(
        _COOKIE,
        key,
        max_age=None if key else 0,
        path=f"{request.scope.get('root_path', '')}/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
