"""The command line: `serve` (the default), `worker`, `keys`, `submit`; settings are options."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artscraper_gateway.config import GatewayConfig

_COMMANDS = ("serve", "worker")
_OTHERS = ("keys", "submit")  # have options of their own
_OPEN_REQUESTS_S = 3  # what open requests get at shutdown, before the workers drain
_SECRETS = ("database_url", "tineye_api_key")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 0, or 2 when a setting is not valid."""
    from pydantic import ValidationError

    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["keys"]:
        from artscraper_gateway.key_commands import main as manage_keys

        return manage_keys(given[1:])
    if given[:1] == ["submit"]:
        from artscraper_gateway.submit_command import main as submit

        return submit(given[1:])
    command = given.pop(0) if given and given[0] in _COMMANDS else "serve"
    options = _parser(command).parse_args(given)
    try:
        config = _config(options)
    except ValidationError as error:
        for found in error.errors():
            name = ".".join(str(part) for part in found["loc"])
            # A URL may hold a password, so what was found is not repeated for secrets.
            shown = "" if name in _SECRETS else f", found {found['input']!r}"
            print(f"error: {name}: {found['msg']}{shown}", file=sys.stderr)
        return 2
    logging.basicConfig(
        level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for library in ("dbos", "alembic"):  # their own INFO is of no use to operators
        logging.getLogger(library).setLevel("WARNING")
    from artscraper_gateway.migrations import DatabaseRefused
    from artscraper_gateway.object_storage import open_storage
    from artscraper_gateway.storage import StorageRefused

    try:
        open_storage(config)
        if command == "worker":
            return _work(config, options)
        return _serve(config)
    except (DatabaseRefused, StorageRefused) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser(command: str) -> argparse.ArgumentParser:
    from artscraper_gateway.config import GatewayConfig

    parser = argparse.ArgumentParser(
        prog="python -m artscraper_gateway",
        usage=f"%(prog)s [{' | '.join((*_COMMANDS, *_OTHERS))}] [options]",
        description="Protect pictures over HTTP. serve (the default) answers requests and looks"
        " after the workers; worker works the queues of an existing gateway, here or elsewhere."
        " keys manages API keys; submit sends pictures to a gateway.",
        argument_default=argparse.SUPPRESS,
    )
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
    else:
        parser.add_argument(
            "--no-worker",
            dest="worker_concurrency",
            action="store_const",
            const="0",
            help="only accept jobs; workers elsewhere work the queue",
        )
    for name, field in GatewayConfig.model_fields.items():
        default = field.default
        shown = ",".join(str(part) for part in default) if isinstance(default, tuple) else default
        parser.add_argument(
            *dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}")),
            dest=name,
            metavar="VALUE",
            help=f"{field.description} (default: {shown if shown != '' else 'none'})",
        )
    return parser


def _config(options: argparse.Namespace) -> GatewayConfig:
    from artscraper_gateway.config import GatewayConfig

    fields: dict[str, Any] = {
        name: value for name, value in vars(options).items() if name in GatewayConfig.model_fields
    }
    return GatewayConfig(**fields)


def _serve(config: GatewayConfig) -> int:
    import uvicorn

    from artscraper_gateway.api_keys import KeyStore
    from artscraper_gateway.app import create_app
    from artscraper_gateway.database import open_engine

    # Before the server, which would show a refused database as a traceback.
    engine = open_engine(config)
    if config.host not in _LOOPBACK and not KeyStore(engine).all():
        logging.getLogger(__name__).warning(
            "LISTENING ON %s WITHOUT API KEYS: everybody who reaches this address can submit,"
            " read and delete jobs; add a key: python -m artscraper_gateway keys add NAME",
            config.host,
        )
    engine.dispose()
    settings = uvicorn.Config(
        create_app(config),
        host=config.host,
        port=config.port,
        root_path=config.root_path,
        log_config=None,
        access_log=config.log_level == "debug",
        timeout_graceful_shutdown=_OPEN_REQUESTS_S,
    )

    class Server(uvicorn.Server):
        """Says where it listens once it does, in words; the port may have been 0."""

        async def startup(self, sockets: list[Any] | None = None) -> None:
            await super().startup(sockets)
            for listener in self.servers[0].sockets if self.started else ():
                host, port = listener.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                print(f"Artscraper Gateway listens on http://{shown}:{port}", flush=True)

    server = Server(settings)
    server.run()
    return 0 if server.started else 1


def _work(config: GatewayConfig, options: argparse.Namespace) -> int:
    if "slot" not in options:
        return _look_after_workers(config)
    from artscraper_gateway.worker import SlotTaken, run_worker

    try:
        run_worker(config, slot=options.slot, supervised="supervised" in options)
    except SlotTaken as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _look_after_workers(config: GatewayConfig) -> int:
    """Keeps workers running in slots that nobody else has, until told to stop."""
    from artscraper_gateway.database import open_engine
    from artscraper_gateway.workers import WorkerSupervisor

    open_engine(config).dispose()  # a database that is refused is told once, not by each worker
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    supervisor = WorkerSupervisor(config, roaming=True)
    supervisor.start()
    stop.wait()
    supervisor.stop()
    return 0
