"""An httpx transport that connects to the very address that was checked.

The name is resolved once; the request then goes to the IP address, with the name in the Host
header and in the TLS handshake, so certificates are still verified against the name. For pictures
and webhooks alike: `httpx.AsyncClient(transport=PinnedTransport(rules), trust_env=False)`.
Proxies of the environment are never used by a transport.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import httpx

from artscraper_gateway.errors import ForbiddenAddress
from artscraper_gateway.net.address_guard import (
    AddressRules,
    Lookup,
    check_host,
    resolve,
    system_lookup,
)

MAX_URL_CHARS = 8_000
MAX_ATTEMPTS = 4  # addresses of one name that are tried
_DEFAULT_PORTS = {"http": 80, "https": 443}

Connector = Callable[[], httpx.AsyncBaseTransport]


class UnknownHost(httpx.ConnectError):
    """The host name has no address, or cannot be resolved now."""


@dataclass(frozen=True)
class Target:
    """A URL that passed every check but the lookup. `host` is normalised."""

    url: httpx.URL
    host: str
    port: int

    @property
    def authority(self) -> str:
        """The value of the Host header: the port is left out where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_default = self.port == _DEFAULT_PORTS[self.url.scheme]
        return host if is_default else f"{host}:{self.port}"


def parse_target(url: str | httpx.URL, rules: AddressRules) -> Target:
    """Return the target that `url` names, without resolving its host.

    Any port from 1 to 65535 may be named: on a public address it reaches nothing that its caller
    could not reach from elsewhere.

    Raises:
        ForbiddenAddress: not a URL of at most 8,000 characters, not http or https, with a user
            name or password, without a host, or with one that `check_host` refuses.
    """
    if len(str(url)) > MAX_URL_CHARS:
        raise ForbiddenAddress(f"The URL is longer than {MAX_URL_CHARS} characters.")
    try:
        parsed = httpx.URL(url)
        host, port = parsed.raw_host.decode("ascii"), parsed.port
        _ = parsed.host  # raises for a broken xn-- label, as it would later inside httpx
    except (httpx.InvalidURL, ValueError) as exc:
        raise ForbiddenAddress("The URL is not valid.") from exc
    if parsed.scheme not in _DEFAULT_PORTS:
        raise ForbiddenAddress("The URL must start with http:// or https://.")
    if parsed.userinfo:
        raise ForbiddenAddress("The URL must not contain a user name or a password.")
    port = _DEFAULT_PORTS[parsed.scheme] if port is None else port
    if not 1 <= port <= 65_535:
        raise ForbiddenAddress("The URL's port must be a number from 1 to 65535.")
    return Target(url=parsed, host=check_host(host, rules), port=port)


@cache
def default_ssl_context() -> ssl.SSLContext:
    """Return the context that verifies against certifi, or what SSL_CERT_FILE / _DIR name."""
    return httpx.create_ssl_context()


def direct_transport(ssl_context: ssl.SSLContext | None = None) -> httpx.AsyncHTTPTransport:
    """Return a transport that opens a connection of its own for every request.

    A kept connection would be found again by IP address, and a second name on that address would
    be served over the first name's TLS session, its certificate unchecked.
    """
    return httpx.AsyncHTTPTransport(
        verify=ssl_context or default_ssl_context(),
        trust_env=False,
        http2=False,
        limits=httpx.Limits(max_keepalive_connections=0),
    )


class PinnedTransport(httpx.AsyncBaseTransport):
    """Check the URL and every address of its host, then connect to one of those addresses.

    The addresses are tried in the resolver's order, at most 4, until one takes the connection.
    Redirects are not followed here; each one is a new request and checked like the first.
    """

    def __init__(
        self,
        rules: AddressRules,
        *,
        lookup: Lookup = system_lookup,
        connector: Connector = direct_transport,
    ) -> None:
        self._rules = rules
        self._lookup = lookup
        self._connections = connector()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` to a checked address and return the answer, its body still unread.

        Raises:
            ForbiddenAddress: see `parse_target` and `resolve`.
            httpx.TransportError: the name is unknown, or the request failed.
        """
        target = parse_target(request.url, self._rules)
        failure: httpx.TransportError | None = None
        for address in await self._addresses(target, request):
            pinned = _pin(request, target=target, address=address)
            try:
                return await self._connections.handle_async_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
                failure = exc
        raise failure or httpx.ConnectError("no address to connect to", request=request)

    async def _addresses(self, target: Target, request: httpx.Request) -> tuple[str, ...]:
        try:
            found = await resolve(target.host, target.port, self._rules, lookup=self._lookup)
        except OSError as exc:
            raise UnknownHost("the host name is not known", request=request) from exc
        return found[:MAX_ATTEMPTS]

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()


def _pin(request: httpx.Request, *, target: Target, address: str) -> httpx.Request:
    headers = request.headers.copy()
    headers["Host"] = target.authority
    return httpx.Request(
        request.method,
        target.url.copy_with(host=address),
        headers=headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": target.host},
    )
