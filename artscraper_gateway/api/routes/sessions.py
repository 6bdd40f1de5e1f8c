"""Sign a browser in with an API key, and out again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from artscraper_gateway.api.authentication import csrf_token, key_of_cookie, set_cookie
from artscraper_gateway.api.context import services_of
from artscraper_gateway.api.openapi_problems import OPEN, problems
from artscraper_gateway.api.routes.router import ReadableRouter
from artscraper_gateway.api.schemas import example
from artscraper_gateway.errors import Forbidden, InvalidRequest, TooLarge, Unauthorized
from artscraper_gateway.intake.upload import bounded_request

_MAX_BYTES = 4096


class _Bounded(APIRoute):
    """Bounds the body before FastAPI reads it, for callers without a key."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_bounded(request: Request) -> Response:
            bounded = bounded_request(request, _MAX_BYTES)
            await bounded.body()
            return await handle(bounded)

        return handle_bounded


router = ReadableRouter(prefix="/v1/session", tags=["session"], route_class=_Bounded)


class SignIn(BaseModel):
    """A key to sign in with."""

    model_config = ConfigDict(extra="forbid")
    key: str = Field(min_length=1, max_length=200)


class Session(BaseModel):
    """Return whether this browser may make calls."""

    model_config = example({"needs_key": True, "signed_in": True, "csrf_token": "3f1a9c"})

    needs_key: bool = Field(description="whether the gateway requires API keys")
    signed_in: bool
    csrf_token: str | None = Field(
        description="to send as X-CSRF-Token with every change, when signed in"
    )


@router.get("", responses=problems(common=OPEN))
async def get_session(request: Request, response: Response) -> Session:
    """Return whether a key is needed, and whether the browser's cookie holds a valid one."""
    response.headers["Cache-Control"] = "no-store"
    return await _session(request, key_of_cookie(request))


@router.post("", responses=problems(Unauthorized, Forbidden, TooLarge, InvalidRequest, common=OPEN))
async def sign_in(credentials: SignIn, request: Request, response: Response) -> Session:
    """Store the key in an HttpOnly cookie of this site."""
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise Forbidden("Only the gateway's own page may sign in.")
    session = await _session(request, credentials.key)
    if not session.signed_in:
        raise Unauthorized("The API key is unknown or was revoked.")
    set_cookie(request, response, credentials.key)
    response.headers["Cache-Control"] = "no-store"
    return session


@router.delete("", responses=problems(Forbidden, common=OPEN))
async def sign_out(request: Request, response: Response) -> Session:
    """Remove the key from the browser."""
    key_of_cookie(request)
    set_cookie(request, response, "")
    return await _session(request, "")


async def _session(request: Request, key: str) -> Session:
    keyring = services_of(request).keyring
    signed_in = bool(key) and await keyring.find(key) is not None
    return Session(
        needs_key=await keyring.needs_key(),
        signed_in=signed_in,
        csrf_token=csrf_token(key) if signed_in else None,
    )
