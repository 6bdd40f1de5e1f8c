"""A gateway inside the test's own process: the app on a loopback socket, its worker on a thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from artscraper_gateway.app import create_app
from artscraper_gateway.server import Server, open_listeners
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import NO_TLS, until
from artscraper_gateway.tests.support.database_template import copy_migrated_database
from artscraper_gateway.tests.support.inline_worker import InlineWorker


class _QuietServer(Server):
    def _say(self, text: str) -> None:
        """Print nothing: tests capture standard output."""


@dataclass
class InProcessGateway:
    """The counterpart of `GatewayProcess` for tests that need no process of its own.

    Has the same attributes but for what belongs to a process: pid, kills, its log file.
    """

    home: Path
    options: dict[str, Any] = field(default_factory=dict)
    base_url: str = ""
    _server: _QuietServer | None = None
    _thread: threading.Thread | None = None
    _worker: InlineWorker | None = None

    def start(self) -> InProcessGateway:
        """Start the worker and the server; return when requests are answered."""
        config = self._config()
        copy_migrated_database(config.database_path)
        if config.worker_concurrency:
            self._worker = InlineWorker(config)
            self._worker.start()
        web = config.model_copy(update={"worker_concurrency": 0})
        sockets = open_listeners(web)
        self._server = _QuietServer(create_app(web), web)
        self._thread = threading.Thread(target=self._server.run, args=(sockets,), daemon=True)
        self._thread.start()
        until(lambda: self._has_started(self._server), what="the app starts", timeout_s=60)
        self.base_url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        return self

    def _has_started(self, server: _QuietServer | None) -> bool:
        assert server is not None and self._thread is not None
        assert self._thread.is_alive(), "the app could not start"
        return server.started

    def _config(self) -> GatewayConfig:
        options = {
            "base_dir": self.base_dir,
            "output_parent": self.outputs,
            "port": 0,
            "max_wait": 180,  # a whole job, on a busy machine too
            **self.options,
        }
        return GatewayConfig(**{name: str(value) for name, value in options.items()})

    @property
    def base_dir(self) -> Path:
        return self.home / "gateway_jobs"

    @property
    def outputs(self) -> Path:
        return self.home / "outputs"

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(
            base_url=self.base_url, timeout=180, trust_env=False, verify=NO_TLS, **options
        )

    def stop(self) -> None:
        """Stop the server, then the worker; harmless when they are stopped."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=60)
            assert not self._thread.is_alive(), "the app does not stop"
        if self._worker is not None:
            self._worker.stop()
        self._server = self._thread = self._worker = None
