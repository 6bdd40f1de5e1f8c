"""Check whether the gateway would start with the settings, and which of them are unwise.

Read-only: nothing is migrated or sent, and a running gateway is not disturbed.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from artscraper_gateway.auth.keys import KeyStore
from artscraper_gateway.db.migrations import IncompatibleDatabase, checked_revision
from artscraper_gateway.server import BindError, bind_address
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.settings.sources import DOTENV, settings_file, unknown_variables
from artscraper_gateway.storage.base import StorageUnavailable
from artscraper_gateway.storage.objects import open_storage
from artscraper_runner import recogniser_files

_LOW_BYTES, _LOW_SHARE = 2 * 1024**3, 0.05  # of free disk
_CONNECT_S = 5


@dataclass(frozen=True)
class Finding:
    """A result of the check; an `error` keeps the service from starting."""

    level: Literal["error", "warning"]
    text: str


def check_settings(config: GatewayConfig, *, gpu: bool) -> list[Finding]:
    """Return the findings, errors first; `gpu` is whether there is a CUDA device."""
    errors = [*_folders(config), *_storage(config), *_address(config)]
    has_keys, database_errors = _check_database(config)
    errors += database_errors
    warnings = [
        *_exposure(config, has_keys=has_keys),
        *_space(config),
        *_processes(config, gpu=gpu),
        *_files(config),
        *_names(config),
    ]
    return sorted(
        [Finding("error", text) for text in errors]
        + [Finding("warning", text) for text in warnings],
        key=lambda finding: finding.level,
    )


def _folders(config: GatewayConfig) -> Iterator[str]:
    for name in ("base_dir", "output_parent"):
        folder = getattr(config, name)
        if not isinstance(folder, Path):
            continue
        here = existing(folder)
        if not here.is_dir():
            yield f"{name}: {here} is not a folder"
        elif not os.access(here, os.W_OK | os.X_OK):
            yield f"{name}: {here} is not writable"
        elif reason := _creation_error(here):
            yield f"{name}: no folder can be created in {here}: {reason}"


def _creation_error(folder: Path) -> str:
    """Create and remove a folder; return the error. os.access alone is wrong about /proc."""
    try:
        Path(tempfile.mkdtemp(prefix=".check-", dir=folder)).rmdir()
    except OSError as error:
        return "" if error.errno == errno.ENOSPC else str(error.strerror)  # `_space` warns of it
    return ""


def _storage(config: GatewayConfig) -> Iterator[str]:
    try:
        open_storage(config)
    except StorageUnavailable as error:
        yield str(error)


def _address(config: GatewayConfig) -> Iterator[str]:
    try:
        for each in bind_address(config):
            each.close()
    except BindError as error:
        yield str(error)


def _check_database(config: GatewayConfig) -> tuple[bool, list[str]]:
    """Return whether there are API keys, and the errors of the database."""
    if config.database_url is not None:
        url = sa.make_url(config.database_url.get_secret_value())
        arguments = {"connect_timeout": _CONNECT_S}
        url = url.set(drivername="postgresql+psycopg")
    elif not os.access(config.database_path, os.F_OK):
        return False, []
    else:
        url = sa.make_url(f"sqlite:///file:{config.database_path}?mode=ro&uri=true")
        arguments = {}
    try:
        engine = sa.create_engine(url, connect_args=arguments, poolclass=sa.NullPool)
        with engine.connect() as connection:
            checked_revision(connection)
            has_keys = sa.inspect(connection).has_table("api_keys")  # older ones have it not yet
        return has_keys and bool(KeyStore(engine).all()), []
    except ModuleNotFoundError:
        command = "pip install 'artscraper-gateway[postgres]'"
        return False, [f"database_url needs psycopg: {command}"]
    except (sa.exc.SQLAlchemyError, IncompatibleDatabase) as error:
        where = "database_url" if config.database_url else str(config.database_path)
        reason = str(error.orig) if isinstance(error, sa.exc.DBAPIError) else str(error)
        return False, [f"{where}: {' '.join(reason.split())}"]


def _exposure(config: GatewayConfig, *, has_keys: bool) -> Iterator[str]:
    if not config.is_loopback and not has_keys:
        yield (
            f"host {config.host} is reachable from other machines and there are no API keys: every"
            f" caller may submit, read and delete jobs; {command_to_add_key(config)}"
        )
    if config.allow_private_addresses:
        yield (
            "allow_private_addresses: callers can make the gateway fetch from inside your network"
            + ("; turn it off, or set allowed_hosts" if not config.allowed_hosts else "")
        )
    if config.allow_downloads:
        yield (
            "allow_downloads: a job that names an encoder makes this machine download its weights;"
            " put them into models_dir and turn it off"
            if config.models_dir
            else "allow_downloads has no effect without models_dir"
        )
    if config.tineye_api_key and config.tineye_url.startswith("http://"):
        yield "tineye_url is http: TinEye's key and the pictures are sent in clear"
    for root in config.local_roots:
        resolved = root.resolve()
        private = [folder.resolve() for folder in (config.base_dir, config.output_folder)]
        if any(each.is_relative_to(resolved) or resolved.is_relative_to(each) for each in private):
            yield f"local_roots: {root} contains other callers' uploads or results"


def _space(config: GatewayConfig) -> Iterator[str]:
    if config.max_disk is None and config.job_ttl is None:
        yield "neither max_disk nor job_ttl is set: results are kept until they are deleted"
    for name, folder in (("base_dir", config.base_dir), ("output_parent", config.output_folder)):
        usage = shutil.disk_usage(existing(folder))
        if usage.free < max(_LOW_BYTES, _LOW_SHARE * usage.total):
            yield f"{name}: only {usage.free / 1024**3:.1f} GiB of its disk are free"
        if config.max_disk is not None and config.max_disk > usage.total:
            yield f"max_disk is more than the whole disk of {name}"


def _processes(config: GatewayConfig, *, gpu: bool) -> Iterator[str]:
    web_processes = os.environ.get("WEB_CONCURRENCY", "1")
    if config.database_url is None and web_processes.isdigit() and int(web_processes) > 4:
        yield f"SQLite with {web_processes} web processes: they block each other; set database_url"
    if config.database_url is None and config.worker_concurrency == 0:
        yield "worker_concurrency 0 with SQLite: only workers on this machine can take the jobs"
    if config.database_url is not None and isinstance(config.output_parent, Path):
        yield "database_url with a folder as output_parent: every machine must mount it"
    if config.worker_concurrency > (os.cpu_count() or 1):
        yield f"worker_concurrency {config.worker_concurrency} on {os.cpu_count()} cores"
    if "gpu" in config.queues and not gpu:
        yield "queues contains gpu, but this machine has no CUDA device"
    if config.gpu_queue and "gpu" not in config.queues:
        yield "gpu_queue: jobs with an encoder wait for a worker elsewhere whose queues contain gpu"


def _files(config: GatewayConfig) -> Iterator[str]:
    if (config.c2pa_certificate is None) != (config.c2pa_key is None):
        yield "c2pa_certificate and c2pa_key: set both or neither"
    yield from unreadable(config, "c2pa_certificate", "c2pa_key", "models_dir", "mist_model")
    for path in recogniser_files(config.recogniser):
        if not os.access(path, os.R_OK):
            yield f"recogniser: {path} cannot be read"
    for file in (Path(DOTENV), settings_file(), config.c2pa_key):
        if file is not None and file.is_file() and file.stat().st_mode & stat.S_IROTH:
            yield f"{file} is readable by every user of this machine; run chmod o-r"


def _names(config: GatewayConfig) -> Iterator[str]:
    for name in unknown_variables(type(config)):
        yield f"{name}, in the environment or in {DOTENV}, is not a setting"


def unreadable(config: GatewayConfig, *names: str) -> list[str]:
    """Return one sentence for each of these settings whose path cannot be read."""
    paths = {name: getattr(config, name) for name in names}
    return [
        f"{name}: {path} cannot be read"
        for name, path in paths.items()
        if path is not None and not os.access(path, os.R_OK)
    ]


def command_to_add_key(config: GatewayConfig) -> str:
    """Return the command that adds an API key to the gateway of these settings."""
    command = "python -m artscraper_gateway keys add NAME"
    if config.database_url is not None:  # it may hold a password
        return f"{command}, with the same database_url"
    return f"{command} --base-dir {shlex.quote(str(config.base_dir.absolute()))}"


def existing(path: Path) -> Path:
    """Return the path or its nearest existing parent."""
    while not os.access(path, os.F_OK) and path != path.parent:
        path = path.parent
    return path
