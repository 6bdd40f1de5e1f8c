"""The cookie that keeps a browser's API key, and the proof that its page made the request.

The cookie is HttpOnly: no script reads the key. It goes with requests of the same site only, and
one that changes anything needs a token besides, which other sites cannot read.
"""

from __future__ import annotations

import hashlib
import hmac

from fastapi import Request, Response

from artscraper_gateway.errors import Forbidden

_NAME = "artscraper_key"
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def csrf_token(key: str) -> str:
    """Returns what a page that is signed in with `key` sends as X-CSRF-Token."""
    return hmac.new(key.encode(), b"artscraper-gateway csrf", hashlib.sha256).hexdigest()


def key_of_cookie(request: Request) -> str:
    """Returns the key of the request's cookie; "" when there is none.

    Raises:
        Forbidden: a request that changes something comes without the page's token.
    """
    key = request.cookies.get(_NAME, "")
    if key and request.method not in _SAFE_METHODS:
        given = request.headers.get("x-csrf-token", "")
        if not hmac.compare_digest(given.encode(), csrf_token(key).encode()):
            raise Forbidden("The cookie's key needs the page's X-CSRF-Token; reload the page.")
    return key


def set_cookie(request: Request, response: Response, key: str) -> None:
    """Makes the browser keep `key` until it is closed; "" makes it forget."""
    response.set_cookie(
        _NAME,
        key,
        max_age=None if key else 0,
        path=f"{request.scope.get('root_path', '')}/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
