"""Download a URL: neither the URL nor the response is trusted."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from artscraper_gateway.errors import DownloadFailed, ForbiddenAddress, causes
from artscraper_gateway.intake.bounded_file import CHUNK_BYTES, BoundedFile, bounded_file
from artscraper_gateway.intake.upload import clean_file_name
from artscraper_gateway.net.address_guard import UNUSABLE_NAME, AddressRules, Lookup, system_lookup
from artscraper_gateway.net.pinned_transport import (
    Connector,
    PinnedTransport,
    Target,
    UnknownHost,
    direct_transport,
    parse_target,
)

_log = logging.getLogger(__name__)
MAX_REDIRECTS = 3
CONNECT_TIMEOUT_S = 5.0  # for one address, so that a dead one leaves time for the next
USER_AGENT = "Artscraper-Gateway/1 (picture download)"

_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_HEADERS = {
    "User-Agent": USER_AGENT,
    "Accept": "image/*,*/*;q=0.5",
    "Accept-Encoding": "identity",
}
_TIMEOUT = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S).as_dict()
_FAR_END_ERRORS = (httpx.HTTPError, httpx.StreamError, OSError)


async def download(
    url: str,
    destination: Path,
    *,
    max_bytes: int,
    timeout_s: float,
    rules: AddressRules,
    lookup: Lookup = system_lookup,
    connector: Connector = direct_transport,
) -> int:
    """Write what `url` names to `destination` and return its size in bytes, at least 1.

    At most 3 redirects are followed, each under the same rules; one from https to http is refused.
    No cookies, credentials or proxies are used. An encoded body (gzip ...) is refused, not
    decoded: the request does not accept it. After a failure there is no file.

    Args:
        url: http or https, any port, no credentials.
        destination: in a folder that exists; a file there is replaced.
        max_bytes: at least 1, inclusive, counted while it streams.
        timeout_s: more than 0; seconds for everything: look-ups, redirects and the body.
        rules: which hosts and addresses are allowed.
        lookup: resolves names.
        connector: opens connections to checked addresses.

    Raises:
        ForbiddenAddress: the URL, or one it redirects to, is against the rules, or its host name
            is unknown; with `allow_private` the latter is DownloadFailed.
        DownloadFailed: anything else at the far end; the detail holds neither addresses nor bytes
            of the answer.
        TooLarge: more than `max_bytes`, announced or sent.
        StorageFailed: the disk would not take it.
    """
    with bounded_file(destination, max_bytes=max_bytes) as file:
        try:
            async with (
                asyncio.timeout(timeout_s),
                PinnedTransport(rules, lookup=lookup, connector=connector) as transport,
            ):
                response = await _answer(transport, parse_target(url, rules), rules=rules)
                await _save(response, file)
        except TimeoutError as exc:
            raise DownloadFailed(
                f"The server did not deliver the picture within {timeout_s:g} s."
            ) from exc
        except UnknownHost as exc:
            _log.info("image_url: its host name is unknown, or cannot be resolved now")
            if rules.allow_private:
                raise DownloadFailed("The URL's host name has no address.") from exc
            raise ForbiddenAddress(UNUSABLE_NAME) from exc
        except _FAR_END_ERRORS as exc:
            raise DownloadFailed(_reason(exc)) from exc
        return file.written


async def _answer(
    transport: PinnedTransport, target: Target, *, rules: AddressRules
) -> httpx.Response:
    for _ in range(MAX_REDIRECTS + 1):
        request = httpx.Request(
            "GET", target.url, headers=_HEADERS, extensions={"timeout": _TIMEOUT}
        )
        response = await transport.handle_async_request(request)
        if response.status_code not in _REDIRECT_STATUSES:
            return response
        await response.aclose()
        target = _redirected(target, response, rules=rules)
    raise DownloadFailed(f"The server redirected more than {MAX_REDIRECTS} times.")


def _redirected(target: Target, response: httpx.Response, *, rules: AddressRules) -> Target:
    location = response.headers.get("Location")
    if not location:
        raise DownloadFailed("The server redirected without saying where to.")
    try:
        url = target.url.join(location)
    except (httpx.InvalidURL, ValueError) as exc:
        raise DownloadFailed("The server redirected to something that is not a URL.") from exc
    new = parse_target(url, rules)
    if target.url.scheme == "https" and new.url.scheme == "http":
        raise DownloadFailed("The server redirected from https to http, which is not followed.")
    return new


async def _save(response: httpx.Response, file: BoundedFile) -> None:
    try:
        if response.status_code != 200:
            raise DownloadFailed(
                f"The server answered with status {response.status_code}, expected 200."
            )
        if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise DownloadFailed("Expected a body without content encoding, got an encoded one.")
        announced = response.headers.get("Content-Length", "")
        if announced.isdecimal():
            file.check_size(int(announced))
        async for chunk in response.aiter_raw(CHUNK_BYTES):
            await file.write(chunk)
    finally:
        await response.aclose()
    if file.written == 0:
        raise DownloadFailed("The server sent an empty body.")


def _reason(exc: BaseException) -> str:
    # httpcore raises `from None`, which leaves the cause as the context only.
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in causes(exc)):
        return "The server's TLS certificate could not be verified."
    if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout):
        return "The server could not be reached."
    if isinstance(exc, httpx.ProtocolError):
        return "The server's answer was not valid HTTP, or ended before it was complete."
    return "The connection broke before the picture was complete."


def name_of_url(url: str) -> str | None:
    """Return the clean file name at the end of a URL's path."""
    try:
        return clean_file_name(unquote(urlsplit(url).path))
    except ValueError:
        return None
