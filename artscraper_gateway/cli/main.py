"""The command line: `serve` (the default), `worker`, `check`, `keys`, `submit`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artscraper_gateway.settings.model import GatewayConfig

_COMMANDS = ("serve", "worker")
# Their options are their own.
_OTHERS = {
    "check": "artscraper_gateway.cli.check",
    "keys": "artscraper_gateway.cli.keys",
    "submit": "artscraper_gateway.cli.submit",
}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 0, or 2 when a setting is not valid or cannot be used."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in _OTHERS:
        run: Callable[[Sequence[str]], int] = import_module(_OTHERS[given[0]]).main
        return run(given[1:])
    command = given.pop(0) if given and given[0] in _COMMANDS else "serve"
    options = settings_parser(command).parse_args(given)
    config = _settings(options)
    return 2 if config is None else _run(command, config, options)


def _settings(options: argparse.Namespace) -> GatewayConfig | None:
    """The settings; None when they are not valid, which has been told."""
    from pydantic import ValidationError

    from artscraper_gateway.settings.model import GatewayConfig
    from artscraper_gateway.settings.sources import SettingsFileUnusable, wrong_settings

    try:
        return config_from(options)
    except SettingsFileUnusable as error:
        print(f"error: {error}", file=sys.stderr)
    except ValidationError as error:
        for line in wrong_settings(GatewayConfig, error):
            print(f"error: {line}", file=sys.stderr)
    return None


def _run(command: str, config: GatewayConfig, options: argparse.Namespace) -> int:
    from artscraper_gateway.db.migrations import IncompatibleDatabase
    from artscraper_gateway.observability.logging import set_up_logging
    from artscraper_gateway.server import BindError
    from artscraper_gateway.storage.base import StorageUnavailable
    from artscraper_gateway.storage.objects import open_storage

    set_up_logging(config)
    try:
        open_storage(config)
        if command == "worker":
            return _work(config, options)
        return _serve(config)
    except (BindError, IncompatibleDatabase, StorageUnavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def settings_parser(command: str) -> argparse.ArgumentParser:
    """Returns the parser of `serve`, `worker` or `check`: every setting is an option."""
    from artscraper_gateway.settings.model import GatewayConfig
    from artscraper_gateway.settings.sources import in_words

    parser = argparse.ArgumentParser(
        prog="python -m artscraper_gateway",
        usage=f"%(prog)s [{' | '.join((*_COMMANDS, *_OTHERS))}] [options]",
        description="Protect pictures over HTTP. serve (the default) answers requests and looks"
        " after the workers; worker works the queues of an existing gateway, here or elsewhere."
        " check tells whether the settings will do; keys manages API keys; submit sends"
        " pictures to a gateway.",
        argument_default=argparse.SUPPRESS,
    )
    _add_options_of(command, parser)
    parser.add_argument(
        "--config", metavar="FILE", help="TOML file with settings (default: artscraper.toml)"
    )
    for name, field in GatewayConfig.model_fields.items():
        parser.add_argument(
            *dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}")),
            dest=name,
            metavar="VALUE",
            help=f"{field.description} (default: {in_words(field.default)})",
        )
    return parser


def _add_options_of(command: str, parser: argparse.ArgumentParser) -> None:
    if command == "worker":
        parser.add_argument(
            "--slot", type=int, help="be one worker, not looked after, with this number"
        )
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
            help="only accept jobs; workers elsewhere work the queue",
        )


def config_from(options: argparse.Namespace) -> GatewayConfig:
    """Returns the settings, those on the command line first; raises as GatewayConfig."""
    from artscraper_gateway.settings.model import GatewayConfig
    from artscraper_gateway.settings.sources import FILE_VARIABLE

    if "config" in options:
        os.environ[FILE_VARIABLE] = options.config  # as if it had been there
    fields: dict[str, Any] = {
        name: value for name, value in vars(options).items() if name in GatewayConfig.model_fields
    }
    return GatewayConfig(**fields)


def _serve(config: GatewayConfig) -> int:
    from artscraper_gateway.app import create_app
    from artscraper_gateway.server import Server, open_listeners

    with ExitStack() as held:
        # First: where something else answers, nothing is written.
        sockets = [held.enter_context(each) for each in open_listeners(config)]
        _look_at_keys(config)
        server = Server(create_app(config), config)
        server.run(sockets)
    return 0 if server.started else 1


def _look_at_keys(config: GatewayConfig) -> None:
    """Opens the database before the server, which would show a refused one as a traceback."""
    from artscraper_gateway.auth.keys import KeyStore
    from artscraper_gateway.cli.check_settings import adding_a_key
    from artscraper_gateway.db.engine import open_engine

    engine = open_engine(config)
    if config.host not in _LOOPBACK and not KeyStore(engine).all():
        logging.getLogger(__name__).warning(
            "LISTENING ON %s WITHOUT API KEYS: everybody who reaches this address can submit,"
            " read and delete jobs; add a key: %s",
            config.host,
            adding_a_key(config),
        )
    engine.dispose()


def _work(config: GatewayConfig, options: argparse.Namespace) -> int:
    if "slot" not in options:
        return _look_after_workers(config)
    from artscraper_gateway.worker.process import SlotTaken, run_worker

    try:
        run_worker(config, slot=options.slot, supervised="supervised" in options)
    except SlotTaken as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _look_after_workers(config: GatewayConfig) -> int:
    """Keeps workers running in slots that nobody else has, until told to stop."""
    from artscraper_gateway.db.engine import open_engine
    from artscraper_gateway.worker.supervisor import WorkerSupervisor

    open_engine(config).dispose()  # a database that is refused is told once, not by each worker
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    supervisor = WorkerSupervisor(config, exclusive=True)
    supervisor.start()
    stop.wait()
    supervisor.stop()
    return 0
