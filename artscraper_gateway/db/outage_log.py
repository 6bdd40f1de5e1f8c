"""Log an outage once every half minute instead of at each attempt."""

from __future__ import annotations

import logging
import threading
import time

_EVERY_S = 30.0


class RepeatLimit:
    """Allows each message once in a period."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logged_at: dict[str, float] = {}

    def allows(self, message: str) -> bool:
        """Return whether the message was not logged in the last half minute, and record it."""
        with self._lock:
            now = time.monotonic()
            is_due = now - self._logged_at.get(message, float("-inf")) >= _EVERY_S
            if is_due:
                self._logged_at[message] = now
            return is_due


class RepeatFilter(logging.Filter):
    """Drops messages of the queue's library that differ only after the first colon."""

    def __init__(self) -> None:
        super().__init__()
        self._limit = RepeatLimit()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        if record.levelno != logging.WARNING:
            return True
        return self._limit.allows(record.getMessage().partition(":")[0])


_outages = RepeatLimit()


def log_outage(log: logging.Logger, message: str, error: BaseException) -> None:
    """Log `message`, which names what cannot be done, and the reason, with a limited rate."""
    if _outages.allows(f"{log.name} {message}"):
        log.warning("%s: %s", message, error.__cause__ or error)
