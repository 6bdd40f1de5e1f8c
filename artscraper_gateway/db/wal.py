"""Copy SQLite's write-ahead log into the database beside the work, so that no caller waits for it.

A checkpoint has to force what it copies to disk. While pictures are written by the hundred that
takes up to a second, and by default SQLite has it done by whichever commit fills the log.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 1.0
_WORTH_IT_BYTES = 16 << 20
# Commits wait while the log is emptied, so that comes last, when hardly anything is left to copy
# and the disk is quick. Else it is put off, and when somebody reads or writes for longer than that.
_PASSES, _FEW_PAGES, _QUICK_S = 5, 64, 0.05
_PATIENCE_S = 0.05
_COPY, _EMPTY = "PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(TRUNCATE)"


class Checkpoints:
    """The thread that makes checkpoints of the database at `path`. Several do no harm."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log_path = path.with_name(f"{path.name}-wal")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Begins to look at the log, once a second."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when no checkpoint is being made any more. Blocks."""
        self._stop.set()
        self._thread.join()

    def is_worth_it(self) -> bool:
        """Whether the log is long enough; False where nobody has written yet."""
        try:
            return self._log_path.stat().st_size >= _WORTH_IT_BYTES
        except OSError:
            return False

    def empty_log(self) -> None:
        """Copies the log, and empties it where nobody would have to wait for that. Blocks.

        Raises:
            sqlite3.Error: the database cannot be read or written.
        """
        with closing(self._connect()) as connection:
            for _ in range(_PASSES):
                begun = time.monotonic()
                busy, pages, copied = connection.execute(_COPY).fetchone()
                if busy:  # another process is at it
                    return
                if pages - copied <= _FEW_PAGES and time.monotonic() - begun < _QUICK_S:
                    connection.execute(_EMPTY)
                    return

    def _connect(self) -> sqlite3.Connection:
        address = f"{self._path.resolve().as_uri()}?mode=rw"  # never made anew
        return sqlite3.connect(address, uri=True, timeout=_PATIENCE_S, isolation_level=None)

    def _work(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            try:
                if self.is_worth_it():
                    self.empty_log()
            except sqlite3.Error as error:  # commits see to it when the log has grown a lot
                _log.warning("the database's log could not be copied for now: %s", error)
