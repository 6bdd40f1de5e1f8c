"""Search the web for the picture by TinEye's reverse image search (a paid service).

The API: https://services.tineye.com/developers/tineyeapi/ - POST `search/` with the multipart
field `image_upload` and the header `x-api-key`; an answer is a success when both the HTTP status
and the JSON's `code` are 200.

What is sent is a JPEG made from the pixels, of at most 1,000 px a side: enough for the search, and
free of the file's camera, place and author fields. Nothing is sent unless `enable_tineye` is set.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import TYPE_CHECKING

from artscraper_runner.analysis.metadata.json_values import clean_text, json_value
from artscraper_runner.analysis.processors import DecodedPicture
from artscraper_runner.errors import InvalidOption, ServiceFailed
from artscraper_runner.options import AnalysisOptions
from artscraper_runner.types import Json, Project

if TYPE_CHECKING:
    import httpx

PROJECT = Project("pytineye", "queries TinEye's API for copies; the client is our own")
MAX_MATCHES = 50
_MAX_BACKLINKS = 10  # a match
_SENT_MAX_SIDE = 1_000  # px
_SENT_QUALITY = 90
_TIMEOUT_S = 20.0  # to connect, and between two parts of an answer
_DEADLINE_S = 60.0  # from the first byte sent to the last one received
_MAX_ANSWER_BYTES = 8 * 1024 * 1024
_MAX_REASON = 300  # characters
_MATCH_FIELDS = (
    "image_url",
    "domain",
    "score",
    "width",
    "height",
    "size",
    "format",
    "filesize",
    "overlay",
    "tags",
)


def process(picture: DecodedPicture, options: AnalysisOptions) -> Json:
    """Return `{"count", "matches"}`: the total, and the best `MAX_MATCHES`.

    Raises:
        InvalidOption: no API key, or an invalid base URL.
        ServiceFailed: TinEye cannot be reached, refuses, or answers nonsense.
    """
    key = options.tineye_api_key
    if not key:
        raise InvalidOption("tineye: expected an API key, found none; set TINEYE_API_KEY")
    if not (key.isascii() and key.isprintable()):
        raise InvalidOption("tineye: expected an API key of printable ASCII characters")
    status, headers, body = _ask(options.tineye_url, key, _sent_picture(picture))
    try:
        answer = _checked_answer(status, headers, body)
    except ServiceFailed as error:
        raise ServiceFailed("TinEye", error.reason.replace(key, "***")) from None
    matches = [_match(row) for row in _rows(answer.get("results"), "matches")[:MAX_MATCHES]]
    stats = answer.get("stats")
    count = stats.get("total_results") if isinstance(stats, dict) else None
    return {"count": count if isinstance(count, int) else len(matches), "matches": matches}


def _sent_picture(picture: DecodedPicture) -> bytes:
    from PIL import Image

    image = Image.fromarray(picture.pixels)
    image.thumbnail((_SENT_MAX_SIDE, _SENT_MAX_SIDE))
    file = BytesIO()
    image.save(file, "JPEG", quality=_SENT_QUALITY)
    return file.getvalue()


def _ask(base_url: str, key: str, jpeg: bytes) -> tuple[int, httpx.Headers, bytes]:
    """Return status, headers and body; redirects and the environment's proxies are not used."""
    import httpx

    try:
        # In a thread of its own: the caller's may have an event loop already.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, _exchange(base_url, key, jpeg)).result()
    except httpx.TimeoutException as error:
        raise ServiceFailed("TinEye", f"no answer within {_TIMEOUT_S:.0f} s") from error
    except TimeoutError as error:
        raise ServiceFailed("TinEye", f"no whole answer within {_DEADLINE_S:.0f} s") from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise InvalidOption("tineye_url: expected an http or https URL") from error
    except httpx.HTTPError as error:
        raise ServiceFailed("TinEye", f"cannot be reached ({type(error).__name__})") from error


async def _exchange(base_url: str, key: str, jpeg: bytes) -> tuple[int, httpx.Headers, bytes]:
    import httpx

    async with (
        asyncio.timeout(_DEADLINE_S),  # over all of it, however slowly the far end drips
        httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client,
        client.stream(
            "POST",
            f"{base_url.rstrip('/')}/search/",
            headers={"x-api-key": key, "accept": "application/json"},
            params={"limit": MAX_MATCHES, "offset": 0, "sort": "score", "order": "desc"},
            files={"image_upload": ("picture.jpg", jpeg, "image/jpeg")},
        ) as response,
    ):
        return response.status_code, response.headers, await _bounded_body(response)


async def _bounded_body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > _MAX_ANSWER_BYTES:
            raise ServiceFailed("TinEye", f"answered more than {_MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _checked_answer(status: int, headers: httpx.Headers, body: bytes) -> Json:
    import json

    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    code = answer.get("code") if isinstance(answer, dict) else None
    if status == 200 and code == 200 and isinstance(answer, dict):
        return answer
    raise ServiceFailed("TinEye", _reason(status, code, headers, _said(answer)))


def _reason(status: int, code: object, headers: httpx.Headers, message: str) -> str:
    refused = code if status == 200 and isinstance(code, int) else status
    if refused == 429:
        wait = clean_text(headers.get("retry-after", ""))[:40]
        return f"too many requests{f'; try again after {wait} s' if wait else ''}{message}"
    if refused == 402:
        return f"the bundle of searches is used up{message}"
    if refused in (401, 403):
        return f"the API key is refused, or its searches are used up{message}"
    if status == 200 and code is None:
        return "the response is not a search result"
    return f"answered {refused}{message}"


def _said(answer: object) -> str:
    """Return the service's own message after a colon, or an empty text."""
    messages = answer.get("messages") if isinstance(answer, dict) else None
    if isinstance(messages, str):
        messages = [messages]
    if not isinstance(messages, list) or not messages:
        return ""
    return ": " + clean_text(", ".join(str(message) for message in messages[:5]))[:_MAX_REASON]


def _match(row: Json) -> Json:
    match: Json = {name: json_value(row.get(name)) for name in _MATCH_FIELDS}
    match["backlinks"] = [
        {name: json_value(link.get(name)) for name in ("url", "backlink", "crawl_date")}
        for link in _rows(row, "backlinks")[:_MAX_BACKLINKS]
    ]
    return match


def _rows(table: object, name: str) -> list[Json]:
    rows = table.get(name) if isinstance(table, dict) else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
