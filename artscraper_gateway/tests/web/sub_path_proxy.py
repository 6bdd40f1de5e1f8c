"""A proxy that serves a gateway under a path of its own and strips that path."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

_HOP_BY_HOP = ("connection", "transfer-encoding", "keep-alive", "host", "content-length", "date")


@contextmanager
def proxied(upstream: str, path: str) -> Iterator[str]:
    """Yield the address under which `path` leads to `upstream`."""
    with httpx.Client(base_url=upstream, timeout=60, trust_env=False) as client:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(client, path))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}{path}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(client: httpx.Client, path: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self) -> None:
            if not self.path.startswith(f"{path}/"):
                self.send_error(404)
                return
            kept = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            request = {"headers": kept, "content": content}
            try:
                with client.stream(
                    self.command, self.path.removeprefix(path), **request
                ) as response:
                    self.forward(response)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def forward(self, response: httpx.Response) -> None:
            self.send_response(response.status_code)
            for name, value in response.headers.multi_items():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.end_headers()
            for part in response.iter_raw():
                self.wfile.write(part)
                self.wfile.flush()

        do_GET = do_POST = do_DELETE = do_HEAD = answer

    return Handler
