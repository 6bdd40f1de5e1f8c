"""Whether the gateway would start with these settings, and what of them is unwise.

Looks only: nothing is migrated or sent, nothing that is made stays, and a gateway that runs
meanwhile is not disturbed.
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

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LOW_BYTES, _LOW_SHARE = 2 * 1024**3, 0.05  # of free disk
_CONNECT_S = 5


@dataclass(frozen=True)
class Finding:
    """An `error` keeps the service from starting, a `warning` does not."""

    level: Literal["error", "warning"]
    text: str


def check_settings(config: GatewayConfig, *, gpu: bool) -> list[Finding]:
    """Returns what is wrong or unwise, errors first; `gpu` is whether there is a CUDA device."""
    errors = [*_folders(config), *_storage(config), *_address(config)]
    has_keys, database_errors = _look_into_database(config)
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
            yield f"{name}: {here} is no folder"
        elif not os.access(here, os.W_OK | os.X_OK):
            yield f"{name}: {here} may not be written to"
        elif reason := _why_nothing_can_be_made(here):
            yield f"{name}: nothing can be made in {here}: {reason}"


def _why_nothing_can_be_made(folder: Path) -> str:
    """Makes a folder and removes it: /proc, for one, says that it may be written to, and lies."""
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


def _look_into_database(config: GatewayConfig) -> tuple[bool, list[str]]:
    """Returns whether there are API keys, and why the database cannot be used."""
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
    open_to_all = config.host not in LOOPBACK
    if open_to_all and not has_keys:
        yield (
            f"host {config.host} is reachable from elsewhere and there are no API keys: everybody"
            f" may submit, read and delete jobs; {adding_a_key(config)}"
        )
    if config.allow_private_addresses:
        yield (
            "allow_private_addresses: callers can make the gateway fetch from inside your network"
            + ("; leave it off, or set allowed_hosts" if not config.allowed_hosts else "")
        )
    if config.allow_downloads:
        yield (
            "allow_downloads: a job that names an encoder makes this machine fetch its weights; put"
            " them into models_dir and turn it off"
            if config.models_dir
            else "allow_downloads has no effect without models_dir"
        )
    if config.tineye_api_key and config.tineye_url.startswith("http://"):
        yield "tineye_url is http: TinEye's key and the pictures are sent in clear"
    for root in config.local_roots:
        at = root.resolve()
        private = [folder.resolve() for folder in (config.base_dir, config.output_folder)]
        if any(each.is_relative_to(at) or at.is_relative_to(each) for each in private):
            yield f"local_roots: {root} holds other callers' uploads or results"


def _space(config: GatewayConfig) -> Iterator[str]:
    if config.max_disk is None and config.job_ttl is None:
        yield "neither max_disk nor job_ttl is set: results are kept until somebody deletes them"
    for name, folder in (("base_dir", config.base_dir), ("output_parent", config.output_folder)):
        usage = shutil.disk_usage(existing(folder))
        if usage.free < max(_LOW_BYTES, _LOW_SHARE * usage.total):
            yield f"{name}: only {usage.free / 1024**3:.1f} GiB of its disk are free"
        if config.max_disk is not None and config.max_disk > usage.total:
            yield f"max_disk is more than the whole disk of {name}"


def _processes(config: GatewayConfig, *, gpu: bool) -> Iterator[str]:
    web_processes = os.environ.get("WEB_CONCURRENCY", "1")
    if config.database_url is None and web_processes.isdigit() and int(web_processes) > 4:
        yield f"SQLite with {web_processes} web processes: they wait for each other; database_url"
    if config.database_url is None and config.worker_concurrency == 0:
        yield "worker_concurrency 0 with SQLite: only workers of this machine can take the jobs"
    if config.database_url is not None and isinstance(config.output_parent, Path):
        yield "database_url with a folder as output_parent: each machine has to have it mounted"
    if config.worker_concurrency > (os.cpu_count() or 1):
        yield f"worker_concurrency {config.worker_concurrency} on {os.cpu_count()} cores"
    if "gpu" in config.queues and not gpu:
        yield "queues: takes gpu, and there is no CUDA device here"
    if config.gpu_queue and "gpu" not in config.queues:
        yield "gpu_queue: jobs with an encoder wait until a worker elsewhere takes gpu"


def _files(config: GatewayConfig) -> Iterator[str]:
    if (config.c2pa_certificate is None) != (config.c2pa_key is None):
        yield "c2pa_certificate and c2pa_key have to be set both, or neither"
    yield from unreadable(config, "c2pa_certificate", "c2pa_key", "models_dir", "mist_model")
    for file in (Path(DOTENV), settings_file(), config.c2pa_key):
        if file is not None and file.is_file() and file.stat().st_mode & stat.S_IROTH:
            yield f"{file} may be read by every user of this machine; chmod o-r"


def _names(config: GatewayConfig) -> Iterator[str]:
    for name in unknown_variables(type(config)):
        yield f"{name}, in the environment or in {DOTENV}, is no setting"


def unreadable(config: GatewayConfig, *names: str) -> list[str]:
    """Returns which of these settings name something that cannot be read, one sentence each."""
    paths = {name: getattr(config, name) for name in names}
    return [
        f"{name}: {path} cannot be read"
        for name, path in paths.items()
        if path is not None and not os.access(path, os.R_OK)
    ]


def adding_a_key(config: GatewayConfig) -> str:
    """Returns the command that gives this very gateway its first API key."""
    command = "python -m artscraper_gateway keys add NAME"
    if config.database_url is not None:  # it may hold a password
        return f"{command}, with the same database_url"
    return f"{command} --base-dir {shlex.quote(str(config.base_dir.absolute()))}"


def existing(path: Path) -> Path:
    """Returns the path, or the nearest of the folders above it that exists."""
    while not os.access(path, os.F_OK) and path != path.parent:
        path = path.parent
    return path
