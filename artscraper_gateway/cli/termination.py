"""Signals of service managers and container runtimes, beside the handlers of a server."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import suppress

_log = logging.getLogger(__name__)


def end_on_sigterm() -> None:
    """End the process at once on SIGTERM, as process 1 of a container too.

    The kernel ignores the default action there. Servers replace the handler when they can drain.
    """
    with suppress(ValueError):  # not the main thread: the program around it handles signals
        signal.signal(signal.SIGTERM, _end)


def ignore_sighup() -> None:
    """Log SIGHUP and go on, instead of ending."""
    signal.signal(signal.SIGHUP, _log_reload)


def _end(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def _log_reload(_number: int, _frame: object) -> None:
    _log.info("SIGHUP is ignored: API keys need no reload, other settings need a restart")
