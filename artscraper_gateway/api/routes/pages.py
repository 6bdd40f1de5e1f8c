"""Serve the page in the reader's language, its static files, the reference, and opt-out files.

Every address in them is relative, so that they work under any path. The content security policy
lets the browser load and run nothing from elsewhere.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

from artscraper_gateway.api.context import Config
from artscraper_gateway.api.opt_out import CONTENT_USAGE, ROBOTS_TAG, robots_txt, tdmrep
from artscraper_gateway.api.routes.router import ReadableRouter
from artscraper_runner import __version__

router = ReadableRouter(include_in_schema=False)
_WEB = Path(__file__).resolve().parents[2] / "web"
_THEMES = ("light", "dark")
# Crawlers that collect training data, by the names their operators publish for robots.txt.
_TRAINING_CRAWLERS = (
    "Amazonbot",
    "Applebot-Extended",
    "Bytespider",
    "CCBot",
    "ClaudeBot",
    "Google-Extended",
    "GPTBot",
    "Meta-ExternalAgent",
)
_FIRST_LANGUAGE = "en"  # used if none of the reader's languages is available
_SAFETY = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_LOCALISED = {**_SAFETY, "Cache-Control": "no-cache", "Vary": "Accept-Language, Cookie"}


def add_page(app: FastAPI) -> None:
    """Make `app` serve the page at its root, and the reference."""
    app.include_router(router)
    files = _StaticFiles(directory=_WEB / "static")
    app.mount("/static", GZipMiddleware(files, minimum_size=500), name="static")


@router.get("/")
def show_page(request: Request) -> Response:
    """Return the page in the language of the cookie, else of Accept-Language."""
    language = _language(request)
    html = _render(
        "page.html",
        request,
        language=language,
        languages=_names_of_languages(),
        version=__version__,
        modules=_modules(),
        page=_languages()[language]["page"],
    )
    return HTMLResponse(html, headers=_LOCALISED)


@router.get("/docs")
def show_reference(request: Request) -> Response:
    """Return the interactive reference in the theme of the cookie."""
    html = _render("reference.html", request, version=__version__)
    policy = f"{_SAFETY['Content-Security-Policy']}; img-src 'self' data:"  # Swagger UI's arrows
    headers = {**_SAFETY, "Content-Security-Policy": policy}
    return HTMLResponse(html, headers={**headers, "Cache-Control": "no-cache", "Vary": "Cookie"})


@router.get("/strings/{language}.json")
def get_strings(language: str) -> Response:
    """Return the texts of the page's scripts, in the first language if it is unknown."""
    return _texts(language, "scripts")


@router.get("/strings/notes/{language}.json")
def get_note_strings(language: str) -> Response:
    """Return the notes of summary.json, English sentences with {names}, in the language."""
    return _texts(language, "notes")


def _texts(language: str, part: str) -> Response:
    languages = _languages()
    texts = json.dumps(
        languages.get(language, languages[_FIRST_LANGUAGE])[part], ensure_ascii=False
    )
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(texts, media_type="application/json", headers=headers)


@router.get("/robots.txt")
def get_robots(config: Config) -> Response:
    """Return the rules for crawlers: jobs are private."""
    return PlainTextResponse(robots_txt(config), headers={"Cache-Control": "max-age=3600"})


@router.get("/.well-known/tdmrep.json")
def get_tdm_reservation(config: Config) -> Response:
    """Return the gateway's reservation from text and data mining."""
    return JSONResponse(tdmrep(config), headers={"Cache-Control": "max-age=3600"})


@router.get("/opt-out")
def show_opt_out(request: Request, config: Config, language: str = "") -> Response:
    """Return lines to paste into web servers and pages, in the `language` that was chosen there."""
    chosen = language if language in _languages() else _language(request)
    html = _render(
        "opt_out.html",
        request,
        language=chosen,
        languages=_names_of_languages(),
        text=_languages()[chosen]["opt_out"],
        content_usage=CONTENT_USAGE,
        robots_tag=ROBOTS_TAG,
        tdm_policy=config.tdm_policy or "",
        crawlers=_TRAINING_CRAWLERS,
    )
    return HTMLResponse(html, headers=_LOCALISED)


def _render(template: str, request: Request, **values: Any) -> str:
    """Render a template with `values` and the theme of the cookie, "" for the system's."""
    theme = request.cookies.get("theme", "")
    theme = theme if theme in _THEMES else ""
    return _templates().get_template(template).render(theme=theme, **values)


def _language(request: Request) -> str:
    """Return the known language of the cookie, else of Accept-Language, else the first one."""
    accepted = request.headers.get("accept-language", "")
    candidates = [request.cookies.get("language", ""), *_accepted(accepted)]
    return next((each for each in candidates if each in _languages()), _FIRST_LANGUAGE)


def _names_of_languages() -> dict[str, str]:
    return {code: strings["language"] for code, strings in _languages().items()}


def _accepted(header: str) -> list[str]:
    """Return the languages of an Accept-Language header (RFC 9110), the preferred one first."""
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
    """Return the scripts of the first screen, which the browser then loads all at once."""
    return sorted(path.name for path in (_WEB / "static").glob("*.js"))


class _StaticFiles(StaticFiles):
    """Let browsers cache static files and revalidate them: a new version is seen at once."""

    def file_response(self, *args: Any, **named: Any) -> Response:
        response = super().file_response(*args, **named)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Content-Security-Policy"] = _SAFETY["Content-Security-Policy"]
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
