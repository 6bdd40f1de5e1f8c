"""The command line: `serve` (the default) and `worker`, with every setting as an option."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artscraper_gateway.config import GatewayConfig

_COMMANDS = ("serve", "worker")
_OPEN_REQUESTS_S = 3  # what open requests get at shutdown, before the workers drain
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 0, or 2 when a setting is not valid."""
    from pydantic import ValidationError

    given = list(sys.argv[1:] if arguments is None else arguments)
    command = given.pop(0) if given and given[0] in _COMMANDS else "serve"
    options = _parser(command).parse_args(given)
    try:
        config = _config(options)
    except ValidationError as error:
        for found in error.errors():
            name = ".".join(str(part) for part in found["loc"])
            print(f"error: {name}: {found['msg']}, found {found['input']!r}", file=sys.stderr)
        return 2
    logging.basicConfig(
        level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("dbos").setLevel("WARNING")  # its own INFO is of no use to operators
    from artscraper_gateway.migrations import DatabaseRefused

    try:
        if command == "worker":
            return _work(config, options.slot, supervised="supervised" in options)
        return _serve(config)
    except DatabaseRefused as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser(command: str) -> argparse.ArgumentParser:
    from artscraper_gateway.config import GatewayConfig

    parser = argparse.ArgumentParser(
        prog="python -m artscraper_gateway",
        usage=f"%(prog)s [{' | '.join(_COMMANDS)}] [options]",
        description="Protect pictures over HTTP. serve (the default) answers requests and looks"
        " after the workers; worker works the queue of an existing gateway.",
        argument_default=argparse.SUPPRESS,
    )
    if command == "worker":
        parser.add_argument("--slot", type=int, required=True, help="number that only it uses")
        parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
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

    from artscraper_gateway.app import create_app
    from artscraper_gateway.database import open_engine

    # Before the server, which would show a refused database as a traceback.
    open_engine(config).dispose()

    if config.host not in _LOOPBACK:
        logging.getLogger(__name__).warning(
            "LISTENING ON %s WITHOUT API KEYS: everybody who reaches this address can submit,"
            " read and delete jobs; put a proxy with authentication in front",
            config.host,
        )
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


def _work(config: GatewayConfig, slot: int, *, supervised: bool) -> int:
    from artscraper_gateway.worker import SlotTaken, run_worker

    try:
        run_worker(config, slot=slot, supervised=supervised)
    except SlotTaken as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
