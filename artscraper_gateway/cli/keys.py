"""`python -m artscraper_gateway keys`: add, list and revoke API keys."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import ValidationError

from artscraper_gateway.auth.keys import (
    SCOPES,
    ApiKey,
    InvalidKeyOption,
    KeyStore,
    Rate,
    without_secret,
)
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.db.migrations import IncompatibleDatabase
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.settings.sources import FILE_VARIABLE, SettingsFileUnusable, wrong_settings
from artscraper_gateway.webhooks.repository import DeliveryLog

_WHERE = ("base_dir", "database_url")  # the settings that say which gateway's keys


def main(arguments: Sequence[str]) -> int:
    """Runs `keys ...`; returns 0, or 2 when something is not valid."""
    options = _parser().parse_args(arguments)
    if options.config:
        os.environ[FILE_VARIABLE] = options.config
    given = {name: value for name in _WHERE if (value := getattr(options, name, None))}
    try:
        config = GatewayConfig(**given)
        _look_for_database(config, may_be_new=options.may_be_new)
        engine = open_engine(config)
        try:
            status: int = options.run(options, KeyStore(engine), DeliveryLog(engine))
        finally:
            engine.dispose()
    except ValidationError as error:
        for line in wrong_settings(GatewayConfig, error):
            print(f"error: {line}", file=sys.stderr)
        return 2
    except (InvalidKeyOption, IncompatibleDatabase, SettingsFileUnusable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return status


def _look_for_database(config: GatewayConfig, *, may_be_new: bool) -> None:
    """Says so when these keys would be those of a gateway that nobody has started yet.

    Raises:
        InvalidKeyOption: that makes no sense for what is asked.
    """
    if config.database_url is not None or config.database_path.exists():
        return
    where = (
        f"there was no database at {config.database_path.absolute()}; a gateway that has another"
        " is named by its --base-dir, --database-url or --config, or its environment"
    )
    if not may_be_new:
        raise InvalidKeyOption(where)
    print(f"NOTE: {where}. What is made here is for one that is started there.", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m artscraper_gateway keys")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = commands.add_parser("add", help="add a key and print it, once")
    add.add_argument("name", metavar="NAME")
    add.add_argument(
        "--scope",
        default="submit,read,delete",
        help=f"what it may do, separated by commas: {', '.join(SCOPES)} (default: %(default)s)",
    )
    add.add_argument("--rate", help="requests, such as 60/min (default: any number)")
    add.add_argument("--max-queued", type=int, help="jobs that may wait (default: any number)")
    add.add_argument("--max-priority", type=int, help="highest priority of its jobs (default: any)")
    add.set_defaults(run=_add, may_be_new=True)
    listing = commands.add_parser("list", help="print all keys, not their secrets")
    listing.set_defaults(run=_list, may_be_new=False)
    revoke = commands.add_parser("revoke", help="make a key useless, within a second")
    revoke.add_argument("name", metavar="NAME", help="the key's name, or its id as list prints it")
    revoke.set_defaults(run=_revoke, may_be_new=False)
    secret = commands.add_parser(
        "webhook-secret", help="print what webhooks are signed with for jobs without a key"
    )
    secret.set_defaults(run=_webhook_secret, may_be_new=True)
    for command in (add, listing, revoke, secret):
        command.add_argument("--config", metavar="FILE", help="the gateway's TOML file")
        for name in _WHERE:
            description = GatewayConfig.model_fields[name].description
            command.add_argument(f"--{name.replace('_', '-')}", help=description)
    return parser


def _add(options: argparse.Namespace, keys: KeyStore, log: DeliveryLog) -> int:
    if options.max_queued is not None and options.max_queued < 1:
        raise InvalidKeyOption(f"expected --max-queued of at least 1, found {options.max_queued}")
    scopes = tuple(part.strip() for part in options.scope.split(",") if part.strip())
    rate = Rate.parse(options.rate) if options.rate else None
    token = keys.add(
        options.name,
        scopes=scopes,
        rate=rate,
        max_queued=options.max_queued,
        max_priority=options.max_priority,
    )
    print(f"API key:        {token}")
    print(f"webhook secret: {log.secret(token.split('_')[1])}")
    print("Keep them now; they are not shown again.", file=sys.stderr)
    return 0


def _list(_options: argparse.Namespace, keys: KeyStore, _log: DeliveryLog) -> int:
    for key in keys.all():
        print(_line(key))
    return 0


def _line(key: ApiKey) -> str:
    made = datetime.fromtimestamp(key.created_at, UTC).date().isoformat()
    scopes = ",".join(scope for scope in SCOPES if scope in key.scopes)
    parts = [f"ask_{key.id}_...", key.name, scopes, str(key.rate or "any rate")]
    parts.append("any queue" if key.max_queued is None else f"{key.max_queued} queued")
    return "\t".join([*parts, f"made {made}", "revoked" if key.revoked_at else "valid"])


def _revoke(options: argparse.Namespace, keys: KeyStore, _log: DeliveryLog) -> int:
    shown = without_secret(options.name)
    if not keys.revoke(options.name):
        raise InvalidKeyOption(
            f"there is no valid key with the name or id {shown!r}; keys list prints all"
        )
    print(f"revoked {shown}")
    return 0


def _webhook_secret(_options: argparse.Namespace, _keys: KeyStore, log: DeliveryLog) -> int:
    print(log.secret(""))
    return 0
