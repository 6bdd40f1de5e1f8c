"""Serve the page: one HTML file in the reader's language, and the static files it needs. At /docs
stands the reference, which its script makes from openapi.json; it is English, as the description.

Every address in them is relative, so it works under any path. Nothing comes from elsewhere,
and the policy that goes with it lets the browser load and run nothing else.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from artscraper_runner import __version__

router = APIRouter(include_in_schema=False)
_WEB = Path(__file__).resolve().parents[2] / "web"
_THEMES = ("light", "dark")
_FIRST_LANGUAGE = "en"  # where nothing that the reader asks for is there
_SAFETY = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def add_page(app: FastAPI) -> None:
    """Makes `app` serve the page at its root, and the reference."""
    app.include_router(router)
    files = GZipMiddleware(StaticFiles(directory=_WEB / "static"), minimum_size=500)
    app.mount("/static", _with_headers(files), name="static")


@router.get("/")
def show_page(request: Request) -> Response:
    """Returns the page in the language of the cookie, else of Accept-Language."""
    cookies = request.cookies
    accepted = [cookies.get("language", ""), *_accepted(request.headers.get("accept-language", ""))]
    known = _languages()
    language = next((each for each in accepted if each in known), _FIRST_LANGUAGE)
    html = (
        _templates()
        .get_template("page.html")
        .render(
            language=language,
            languages={code: strings["language"] for code, strings in known.items()},
            theme=_theme(request),
            version=__version__,
            modules=_modules(),
            page=known[language]["page"],
        )
    )
    headers = {**_SAFETY, "Cache-Control": "no-cache", "Vary": "Accept-Language, Cookie"}
    return HTMLResponse(html, headers=headers)


@router.get("/docs")
def show_reference(request: Request) -> Response:
    """Returns the interactive reference, in the colours of the cookie."""
    template = _templates().get_template("reference.html")
    html = template.render(theme=_theme(request), version=__version__)
    return HTMLResponse(html, headers={**_SAFETY, "Cache-Control": "no-cache", "Vary": "Cookie"})


@router.get("/strings/{language}.json")
def get_strings(language: str) -> Response:
    """Returns the texts that the page's scripts show; those of the first language if unknown."""
    known = _languages()
    texts = json.dumps(known.get(language, known[_FIRST_LANGUAGE])["scripts"], ensure_ascii=False)
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(texts, media_type="application/json", headers=headers)


def _theme(request: Request) -> str:
    """The colours that the reader chose; "" = those of the system."""
    theme = request.cookies.get("theme", "")
    return theme if theme in _THEMES else ""


def _accepted(header: str) -> list[str]:
    """Returns the languages of an Accept-Language header (RFC 9110), the most wanted first."""
    weighed = []
    for part in header.split(","):
        tag, _, parameter = part.partition(";")
        name, _, quality = parameter.strip().partition("=")
        try:
            weight = float(quality) if name.strip() == "q" else 1.0
        except ValueError:
            continue
        if weight > 0:
            weighed.append((-weight, tag.strip().split("-")[0].lower()))
    return [tag for _, tag in sorted(weighed, key=lambda pair: pair[0])]


@cache
def _languages() -> dict[str, dict[str, Any]]:
    files = sorted((_WEB / "strings").glob("*.json"))
    return {path.stem: json.loads(path.read_text("utf-8")) for path in files}


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_WEB / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _modules() -> list[str]:
    """The scripts that the first screen needs, so that the browser can ask for all at once."""
    return sorted(path.name for path in (_WEB / "static").glob("*.js"))


def _with_headers(files: GZipMiddleware) -> Any:
    """Static files may be kept, and are asked for again: a new version is seen at once."""
    added = [
        (b"cache-control", b"no-cache"),
        (b"content-security-policy", _SAFETY["Content-Security-Policy"].encode()),
        (b"x-content-type-options", b"nosniff"),
    ]

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await files(scope, receive, send_with_headers)

    return serve
