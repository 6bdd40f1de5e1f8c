"""`keys`: add, list and revoke API keys."""

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

_LOCATION = ("base_dir", "database_url")  # the settings that name a gateway's database


def main(arguments: Sequence[str], *, prog: str = "python -m artscraper_gateway keys") -> int:
    """Run `keys ...`; return 0, or 2 if an argument or a setting is not valid."""
    options = _parser(prog).parse_args(arguments)
    if options.config:
        os.environ[FILE_VARIABLE] = options.config
    location = {name: value for name in _LOCATION if (value := getattr(options, name, None))}
    try:
        config = GatewayConfig(**location)
        _check_database(config, may_be_new=options.may_be_new)
        engine = open_engine(config)
        try:
            status: int = options.run(options, KeyStore(engine), DeliveryLog(engine))
        finally:
            engine.dispose()
    except (SettingsFileUnusable, ValidationError) as error:
        for line in wrong_settings(GatewayConfig, error):
            print(f"error: {line}", file=sys.stderr)
        return 2
    except (InvalidKeyOption, IncompatibleDatabase) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return status


def _check_database(config: GatewayConfig, *, may_be_new: bool) -> None:
    """Warn if no database exists yet: the keys then belong to a gateway that is started later.

    Raises:
        InvalidKeyOption: the command needs an existing database (`may_be_new` is off).
    """
    if config.database_url is not None or config.database_path.exists():
        return
    missing = (
        f"there was no database at {config.database_path.absolute()}; name the one of a running"
        " gateway by --base-dir, --database-url or --config, or its environment"
    )
    if not may_be_new:
        raise InvalidKeyOption(missing)
    print(f"NOTE: {missing}. A new one is created there.", file=sys.stderr)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Manage the API keys of a gateway.",
        epilog=f"Example: {prog} add web-shop --scope submit,read --rate 60/min",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = commands.add_parser("add", help="add a key and print it, once only")
    add.add_argument("name", metavar="NAME")
    add.add_argument(
        "--scope",
        default="submit,read,delete",
        help=f"permissions, separated by commas: {', '.join(SCOPES)} (default: %(default)s)",
    )
    add.add_argument(
        "--rate",
        help="allowed requests, such as 60/min; of a batch each job counts (default: unlimited)",
    )
    add.add_argument(
        "--max-queued", type=int, help="jobs that may wait at a time (default: unlimited)"
    )
    add.add_argument(
        "--max-priority", type=int, help="highest priority of its jobs (default: unlimited)"
    )
    add.set_defaults(run=_add, may_be_new=True)
    listing = commands.add_parser("list", help="print all keys without their secrets")
    listing.set_defaults(run=_list, may_be_new=False)
    revoke = commands.add_parser("revoke", help="revoke a key; effective within a second")
    revoke.add_argument(
        "name", metavar="NAME", help="name of the key, or its id as printed by list"
    )
    revoke.set_defaults(run=_revoke, may_be_new=False)
    secret = commands.add_parser(
        "webhook-secret", help="print the secret that signs webhooks of jobs without a key"
    )
    secret.set_defaults(run=_webhook_secret, may_be_new=True)
    for command in (add, listing, revoke, secret):
        command.add_argument("--config", metavar="FILE", help="settings file (TOML) of the gateway")
        for name in _LOCATION:
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
    print("Save them now; they are not shown again.", file=sys.stderr)
    return 0


def _list(_options: argparse.Namespace, keys: KeyStore, _log: DeliveryLog) -> int:
    for key in keys.all():
        print(_line(key))
    return 0


def _line(key: ApiKey) -> str:
    created = datetime.fromtimestamp(key.created_at, UTC).date().isoformat()
    scopes = ",".join(scope for scope in SCOPES if scope in key.scopes)
    parts = [f"ask_{key.id}_...", key.name, scopes, str(key.rate or "any rate")]
    parts.append("any queue" if key.max_queued is None else f"{key.max_queued} queued")
    return "\t".join([*parts, f"made {created}", "revoked" if key.revoked_at else "valid"])


def _revoke(options: argparse.Namespace, keys: KeyStore, _log: DeliveryLog) -> int:
    name = without_secret(options.name)
    if not keys.revoke(options.name):
        raise InvalidKeyOption(
            f"there is no valid key with the name or id {name!r}; keys list prints all"
        )
    print(f"revoked {name}")
    return 0


def _webhook_secret(_options: argparse.Namespace, _keys: KeyStore, log: DeliveryLog) -> int:
    print(log.secret(""))
    return 0
