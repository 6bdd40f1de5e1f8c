"""A TCP proxy before a server, whose connections a test may cut or answer itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class CuttingProxy:
    """Passes bytes on; `requests` has what clients sent, as it came.

    While `outage` is set, new connections are closed, after these bytes if there are any.
    """

    url: str
    requests: list[bytes] = field(default_factory=list)
    outage: bytes | None = None
    _open: list[socket.socket] = field(default_factory=list)

    def cut(self) -> None:
        """End every connection, in the midst of what is being said."""
        while self._open:
            with suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def begin_outage(self, answer: bytes) -> None:
        """Send this response to requests of new connections, and cut the open ones."""
        self.outage = answer
        self.cut()

    def serve(self, near: socket.socket, address: tuple[str, int]) -> None:
        """Pass a connection on, or answer it during an outage."""
        if self.outage is None:
            self.pass_on(near, address)
            return
        with near, suppress(OSError):
            if self.outage:
                near.recv(65_536)
                near.sendall(self.outage)

    def pass_on(self, near: socket.socket, address: tuple[str, int]) -> None:
        with near, socket.create_connection(address) as far, suppress(OSError):
            self._open += [near, far]
            back = threading.Thread(target=_copy, args=(far, near, []))
            back.start()
            _copy(near, far, self.requests)
            back.join()


def _copy(source: socket.socket, target: socket.socket, heard: list[bytes]) -> None:
    with suppress(OSError):
        while content := source.recv(65_536):
            heard.append(content)
            target.sendall(content)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting_proxy(target_url: str) -> Iterator[CuttingProxy]:
    """Yield a running proxy before the server at `target_url`."""
    host, port = target_url.removeprefix("http://").split(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = CuttingProxy(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def accept() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    threading.Thread(
                        target=proxy.serve, args=(near, (host, int(port))), daemon=True
                    ).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield proxy
        proxy.cut()
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
