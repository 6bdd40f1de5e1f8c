"""`python -m artscraper_gateway`."""

import os
import signal


def _end(number: int, _frame: object) -> None:
    """Exit at once, like the default action, which process 1 of a container lacks."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


signal.signal(signal.SIGTERM, _end)  # before the imports below, which take seconds

from artscraper_runner import set_native_thread_defaults  # noqa: E402

set_native_thread_defaults()

from artscraper_gateway.cli.main import main  # noqa: E402

raise SystemExit(main())
