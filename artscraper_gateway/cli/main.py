"""The commands of the service: `serve` (the default), `worker`, `check`, `keys`, `submit`."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from artscraper_runner import (
    __version__,
    pause_collection,
    resume_collection,
    set_native_thread_defaults,
)

if TYPE_CHECKING:
    from artscraper_gateway.settings.model import GatewayConfig

_log = logging.getLogger(__name__)
_COMMANDS = ("serve", "worker")
# These parse their own options.
_MODULES = {
    "check": "artscraper_gateway.cli.check",
    "keys": "artscraper_gateway.cli.keys",
    "submit": "artscraper_gateway.cli.submit",
}
PROGRAM = "python -m artscraper_gateway"


class _Command(Protocol):
    def __call__(self, arguments: Sequence[str], *, prog: str) -> int: ...


def main(arguments: Sequence[str] | None = None, *, prog: str = PROGRAM) -> int:
    """Run the command line; return 0, 1 on failure, 2 on wrong usage or unusable settings."""
    pause_collection()
    end_on_sigterm()
    set_native_thread_defaults()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = _dispatch(words, prog)
        sys.stdout.flush()  # a closed pipe shows here, not when the interpreter ends
    except BrokenPipeError:  # such as `check | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        gc.enable()
    return status


def _dispatch(words: list[str], prog: str) -> int:
    if words and words[0] in _MODULES:
        run: _Command = import_module(_MODULES[words[0]]).main
        resume_collection()
        return run(words[1:], prog=f"{prog} {words[0]}")
    command = words.pop(0) if words and words[0] in _COMMANDS else "serve"
    options = settings_parser(command, prog).parse_args(words)
    config = _settings(options)
    return 2 if config is None else _run(command, config, options)


def _settings(options: argparse.Namespace) -> GatewayConfig | None:
    """Return the settings; None when they are not valid, which has been printed."""
    from pydantic import ValidationError

    from artscraper_gateway.settings.model import GatewayConfig
    from artscraper_gateway.settings.sources import SettingsFileUnusable, wrong_settings

    try:
        return config_from(options)
    except (SettingsFileUnusable, ValidationError) as error:
        for line in wrong_settings(GatewayConfig, error):
            print(f"error: {line}", file=sys.stderr)
    return None


def _run(command: str, config: GatewayConfig, options: argparse.Namespace) -> int:
    from artscraper_gateway.db.migrations import IncompatibleDatabase
    from artscraper_gateway.observability.logging import set_up_logging
    from artscraper_gateway.observability.prometheus import MetricsPortUnusable
    from artscraper_gateway.server import BindError
    from artscraper_gateway.storage.base import StorageUnavailable
    from artscraper_gateway.storage.objects import open_storage

    # httpx may lack its command line: rich and pygments take 6 MiB of each process.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # as import has it
    set_up_logging(config)
    signal.signal(signal.SIGHUP, _log_reload)
    os.umask(0o077)  # pictures and keys are for this user alone
    try:
        open_storage(config)
        if command == "worker":
            return _work(config, options)
        return _serve(config)
    except (BindError, IncompatibleDatabase, MetricsPortUnusable, StorageUnavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def settings_parser(command: str, prog: str = PROGRAM) -> argparse.ArgumentParser:
    """Return the parser of `serve`, `worker` or `check`: every setting is an option."""
    from artscraper_gateway.settings.model import GatewayConfig
    from artscraper_gateway.settings.sources import format_value

    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"%(prog)s [{' | '.join((*_COMMANDS, *_MODULES))}] [options]",
        description="Protect pictures over HTTP. serve (the default) answers requests and"
        " supervises workers; worker processes the jobs of an existing gateway, on this machine or"
        " another one; check inspects the settings; keys manages API keys; submit sends pictures"
        " to a gateway.",
        epilog=f"Example: {prog} {command}",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--version", action="version", version=f"artscraper {__version__}")
    _add_options_of(command, parser)
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file with settings (default: artscraper.toml)"
    )
    for name, field in GatewayConfig.model_fields.items():
        parser.add_argument(
            *dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}")),
            dest=name,
            metavar="VALUE",
            help=f"{field.description} (default: {format_value(field.default)})",
        )
    return parser


def _add_options_of(command: str, parser: argparse.ArgumentParser) -> None:
    if command == "worker":
        parser.add_argument("--slot", type=int, help="run one unsupervised worker with this number")
        parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
        parser.add_argument(
            "--concurrency",
            dest="worker_concurrency",
            metavar="VALUE",
            help="the same as --worker-concurrency",
        )
    elif command == "check":
        parser.add_argument("--json", action="store_true", help="print JSON")
    else:
        parser.add_argument(
            "--no-worker",
            dest="worker_concurrency",
            action="store_const",
            const="0",
            help="only accept jobs; workers elsewhere process them",
        )


def config_from(options: argparse.Namespace) -> GatewayConfig:
    """Return the settings, the command line first; raises as GatewayConfig."""
    from artscraper_gateway.settings.model import GatewayConfig
    from artscraper_gateway.settings.sources import FILE_VARIABLE

    if "config" in options:
        os.environ[FILE_VARIABLE] = options.config  # workers inherit it
    fields: dict[str, Any] = {
        name: value for name, value in vars(options).items() if name in GatewayConfig.model_fields
    }
    return GatewayConfig(**fields)


def _serve(config: GatewayConfig) -> int:
    from artscraper_gateway.app import create_app
    from artscraper_gateway.server import Server, open_listeners

    with ExitStack() as held:
        # Bound first, so that nothing is written if the address is in use.
        sockets = [held.enter_context(each) for each in open_listeners(config)]
        _check_keys(config)
        server = Server(create_app(config), config)
        resume_collection()
        server.run(sockets)
    return 0 if server.started else 1


def _check_keys(config: GatewayConfig) -> None:
    """Open the database, and warn if the gateway is reachable without API keys."""
    from artscraper_gateway.auth.keys import KeyStore
    from artscraper_gateway.cli.check_settings import command_to_add_key
    from artscraper_gateway.db.engine import open_engine

    engine = open_engine(config)
    if not config.is_loopback and not KeyStore(engine).all():
        _log.warning(
            "LISTENING ON %s WITHOUT API KEYS: every host that reaches this address can submit,"
            " read and delete jobs; add a key: %s",
            config.host,
            command_to_add_key(config),
        )
    engine.dispose()


def _work(config: GatewayConfig, options: argparse.Namespace) -> int:
    if "slot" not in options:
        return _supervise_workers(config)
    from artscraper_gateway.jobs.leases import HostNameTaken
    from artscraper_gateway.worker.process import SlotTaken, run_worker

    resume_collection()
    try:
        run_worker(config, slot=options.slot, supervised="supervised" in options)
    except (SlotTaken, HostNameTaken) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _supervise_workers(config: GatewayConfig) -> int:
    """Keep workers running in free slots until stopped; a second signal ends them at once."""
    from artscraper_gateway.db.engine import open_engine
    from artscraper_gateway.observability.metrics import Metrics
    from artscraper_gateway.observability.prometheus import MetricsCollector, start_metrics_server
    from artscraper_gateway.server import notify
    from artscraper_gateway.worker.supervisor import WorkerSupervisor, show_life

    resume_collection()
    open_engine(config).dispose()  # an unusable database is reported once, not by each worker
    supervisor = WorkerSupervisor(config, exclusive=True)
    stop = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        if stop.is_set():
            supervisor.kill()
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    if config.metrics_port:
        start_metrics_server(MetricsCollector(config, Metrics(config, "supervisor")))
    supervisor.start()
    notify("READY=1")
    while not stop.wait(1.0):
        notify("WATCHDOG=1")
        show_life(config)
    notify("STOPPING=1")
    supervisor.stop()
    return 0


def end_on_sigterm() -> None:
    """End the process at once on SIGTERM, as process 1 of a container too.

    The kernel ignores the default action there. Servers replace the handler when they can drain.
    """
    with suppress(ValueError):  # not the main thread: the program around it handles signals
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def _log_reload(_number: int, _frame: object) -> None:
    _log.info("SIGHUP is ignored: API keys need no reload, other settings need a restart")
