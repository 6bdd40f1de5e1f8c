"""The server of `serve`: uvicorn, which prints its address and drains before it stops."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from artscraper_gateway.connections import BodyStart, BoundedConfig
from artscraper_gateway.observability.logging import LineFormatter
from artscraper_gateway.settings.groups import ENVIRONMENT_PREFIX

if TYPE_CHECKING:
    from fastapi import FastAPI

    from artscraper_gateway.settings.model import GatewayConfig

_OPEN_REQUESTS_S = 3  # what open requests get at shutdown
_TICKS_PER_S = 10  # of uvicorn's main loop
_POLL_S = 0.1


class Server(uvicorn.Server):
    """Serve `app` with the address and the times of `config`."""

    def __init__(self, app: FastAPI, config: GatewayConfig) -> None:
        self._app, self._notice_s = app, config.drain_notice
        self._logs_json = config.log_format == "json"
        self._is_stopping = False
        super().__init__(
            BoundedConfig(
                BodyStart(app),
                settings=config,
                h11_max_incomplete_event_size=config.max_header_bytes,
                timeout_keep_alive=config.keep_alive_timeout,
                host=config.host,
                port=config.port,
                root_path=config.root_path,
                log_config=None,
                access_log=False,  # the app writes one of its own, with ids and without queries
                timeout_graceful_shutdown=_OPEN_REQUESTS_S,
            )
        )

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Print where the server listens; the port may have been 0."""
        await super().startup(sockets)
        if self.started:
            notify("READY=1")
        servers = self.servers if self.started else []
        for listener in (each for server in servers for each in server.sockets):
            host, port = listener.getsockname()[:2]
            url_host = f"[{host}]" if ":" in host else host
            self._say(f"Artscraper Gateway listens on http://{url_host}:{port}")

    def _say(self, text: str) -> None:
        """Print to standard output, for scripts; as JSON where the log is JSON."""
        if self._logs_json:
            record = logging.LogRecord(__name__, logging.INFO, "", 0, text, None, None)
            text = LineFormatter(as_json=True).format(record)
        print(text, flush=True)

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """Complete requests that wait for a job, before open requests are cut off."""
        services = getattr(self._app.state, "services", None)
        if services is not None:
            services.watch.shutdown()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Notify systemd's watchdog once a second that the event loop runs."""
        if counter % _TICKS_PER_S == 0:
            notify("WATCHDOG=1")
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain: answer requests until the workers have ended; a second signal ends at once.

        /readyz answers 503 meanwhile. Ctrl-C closes the port before the workers have ended.
        """
        services = getattr(self._app.state, "services", None)
        if services is None:
            super().handle_exit(sig, frame)
            return
        workers = self._app.state.workers
        if self._is_stopping:
            workers.kill()  # their jobs continue at the next start
            os._exit(128 + sig)
        self._is_stopping = True
        notify("STOPPING=1")
        services.readiness.is_draining = True
        workers.request_stop()
        if sig == signal.SIGINT:
            super().handle_exit(sig, frame)
            return
        leave = super().handle_exit

        def leave_when_drained() -> None:
            time.sleep(self._notice_s)
            while not workers.has_ended:  # it bounds how long they take itself
                time.sleep(_POLL_S)
            leave(sig, frame)

        threading.Thread(target=leave_when_drained, daemon=True).start()


_OF_THE_PORT = (errno.EADDRINUSE, errno.EACCES)


class BindError(Exception):
    """The address of the settings cannot be bound; the message names the setting to change."""


def open_listeners(config: GatewayConfig) -> list[socket.socket]:
    """Return sockets that listen, one for each address of `config.host`.

    Raises:
        BindError: the port is in use, the address is not this machine's, or no such host.
    """
    sockets = bind_address(config)
    try:
        for each in sockets:
            each.listen()
    except OSError as error:
        _close(sockets)
        raise _refused(config, error) from error
    return sockets


def bind_address(config: GatewayConfig) -> list[socket.socket]:
    """Return sockets that are bound and do not listen; raises as `open_listeners`."""
    sockets: list[socket.socket] = []
    try:
        addresses = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in dict.fromkeys(addresses):
            sockets.append(socket.socket(family, kind, protocol))
            sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sockets[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sockets[-1].bind(address)
    except OSError as error:
        _close(sockets)
        raise _refused(config, error) from error
    return sockets


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _refused(config: GatewayConfig, error: OSError) -> BindError:
    name = "port" if error.errno in _OF_THE_PORT else "host"
    change = f"choose another with --{name} or {ENVIRONMENT_PREFIX}{name.upper()}"
    if error.errno == errno.EADDRINUSE:
        return BindError(f"port {config.port} of {config.host} is in use; {change}")
    where = f"{config.host} port {config.port}"
    return BindError(f"cannot listen on {where}: {error.strerror}; {change}")


def notify(state: str) -> None:
    """Send a state such as `READY=1` to systemd, if it is the service manager (`sd_notify`)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # Linux' abstract namespace
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(address)
        sender.sendall(state.encode())
