"""The server of `serve`: uvicorn, which says where it listens and gives notice before it stops."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from artscraper_gateway.logs import LineFormatter

if TYPE_CHECKING:
    from fastapi import FastAPI

    from artscraper_gateway.config import GatewayConfig

_OPEN_REQUESTS_S = 3  # what open requests get at shutdown, before the workers drain


class Server(uvicorn.Server):
    """Serves `app` with the address and the times of `config`."""

    def __init__(self, app: FastAPI, config: GatewayConfig) -> None:
        self._app, self._notice_s = app, config.drain_notice
        self._logs_json = config.log_format == "json"
        super().__init__(
            uvicorn.Config(
                app,
                host=config.host,
                port=config.port,
                root_path=config.root_path,
                log_config=None,
                access_log=False,  # the app writes one of its own, with ids and without queries
                timeout_graceful_shutdown=_OPEN_REQUESTS_S,
            )
        )

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Says where it listens once it does, in words; the port may have been 0."""
        await super().startup(sockets)
        servers = self.servers if self.started else []
        for listener in (each for server in servers for each in server.sockets):
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            self._say(f"Artscraper Gateway listens on http://{shown}:{port}")

    def _say(self, text: str) -> None:
        """On standard output, for scripts; whoever merges it with a log of JSON finds JSON."""
        if self._logs_json:
            record = logging.LogRecord(__name__, logging.INFO, "", 0, text, None, None)
            text = LineFormatter(as_json=True).format(record)
        print(text, flush=True)

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """Answers those who wait for a job with how it stands, before open requests are cut off."""
        gateway = getattr(self._app.state, "gateway", None)
        if gateway is not None:
            gateway.watch.let_go()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Says on /readyz that it drains, and stops when the notice is over; at once for Ctrl-C.

        A second signal ends the notice.
        """
        gateway = getattr(self._app.state, "gateway", None)
        if gateway is None or gateway.readiness.is_draining or sig == signal.SIGINT:
            super().handle_exit(sig, frame)
            return
        gateway.readiness.is_draining = True
        if self._notice_s == 0:
            super().handle_exit(sig, frame)
            return
        timer = threading.Timer(self._notice_s, super().handle_exit, (sig, frame))
        timer.daemon = True
        timer.start()
