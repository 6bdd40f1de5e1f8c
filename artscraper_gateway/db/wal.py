"""Checkpoint SQLite's write-ahead log in a thread, so that no commit has to.

A checkpoint forces what it copies to disk. While hundreds of pictures are written that takes up to
a second, and by default SQLite does it in the commit that fills the log.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

_log = logging.getLogger(__name__)
_POLL_S = 1.0
_MIN_LOG_BYTES = 16 << 20
# Commits wait while the log is truncated, so that comes last, when few pages are left to copy and
# the disk is fast. Otherwise, or while others read or write for longer, it is left for later.
_PASSES, _FEW_PAGES, _FAST_S = 5, 64, 0.05
_BUSY_S = 0.05
_COPY, _EMPTY = "PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(TRUNCATE)"


class Checkpoints:
    """A thread that checkpoints the database at `path`; several of them do no harm."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log_path = path.with_name(f"{path.name}-wal")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Start to check the log once a second."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and return when no checkpoint is running. Blocks."""
        self._stop.set()
        self._thread.join()

    def is_due(self) -> bool:
        """Return whether the log is long enough for a checkpoint."""
        try:
            return self._log_path.stat().st_size >= _MIN_LOG_BYTES
        except OSError:
            return False

    def checkpoint(self) -> None:
        """Copy the log, and truncate it if nothing has to wait for that. Blocks.

        Raises:
            sqlite3.Error: the database cannot be read or written.
        """
        with closing(self._connect()) as connection:
            for _ in range(_PASSES):
                started = time.monotonic()
                busy, pages, copied = connection.execute(_COPY).fetchone()
                if busy:  # another process is doing it
                    return
                if pages - copied <= _FEW_PAGES and time.monotonic() - started < _FAST_S:
                    connection.execute(_EMPTY)
                    return

    def _connect(self) -> sqlite3.Connection:
        address = f"{self._path.resolve().as_uri()}?mode=rw"  # never created
        return sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)

    def _work(self) -> None:
        while not self._stop.wait(_POLL_S):
            try:
                if self.is_due():
                    self.checkpoint()
            except sqlite3.Error as error:  # commits do it once the log is very long
                _log.warning("the database's log cannot be checkpointed for now: %s", error)
