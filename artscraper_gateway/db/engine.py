"""The one database of jobs and queue: how it is opened, and its tables.

A change here goes with a file in `migrations/versions/`; a test compares the two.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from artscraper_gateway.db.migrations import DatabaseRefused, bring_up_to_date
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.settings.sources import ENVIRONMENT_PREFIX

_SCHEMA_LOCK = 7_304_119  # any number that nobody else locks in this database
# A process that is frozen inside a transaction may not hold its locks for longer.
_IDLE_MS = 5_000
_CONNECT_S = 10
SQLITE_PATIENCE_MS = 30_000  # for what another process holds locked
CLOCKS_APART_S = 60.0  # of a fleet's machines, at most; what lies farther ahead is a clock put back
# Commits copy the log themselves only where nothing else does (`checkpoints.py`): of 64 MiB.
_LOG_PAGES = 16_384


def open_engine(config: GatewayConfig) -> sa.Engine:
    """Returns an engine on the database, whose tables are brought up to date.

    Raises:
        DatabaseRefused: it cannot be reached; or a newer release made it, or another program did;
            or base_dir can be no folder, or not be written to.
    """
    try:
        config.base_dir.mkdir(parents=True, exist_ok=True)
        if config.database_url is None:
            return _open_sqlite(config)
    except OSError as error:
        raise DatabaseRefused(
            f"base_dir {config.base_dir} cannot be used: {error.strerror}; choose another with"
            f" --base-dir or {ENVIRONMENT_PREFIX}BASE_DIR"
        ) from error
    return _open_postgresql(config.database_url.get_secret_value())


def _open_sqlite(config: GatewayConfig) -> sa.Engine:
    url = f"sqlite:///{config.database_path}"
    engine = sa.create_engine(url, pool_size=1, max_overflow=0, pool_timeout=30)
    sa.event.listen(engine, "connect", _prepare_connection)
    # Several processes may start at once; whoever comes second finds the tables made.
    with (config.base_dir / ".schema.lock").open("w") as lock, _disposed_on_error(engine):
        fcntl.flock(lock, fcntl.LOCK_EX)
        with engine.connect() as connection:
            # A table is altered by making it anew, which must not empty those that refer to it.
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver begins none before DDL
            bring_up_to_date(connection)
            connection.commit()
            connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        _migrate_queue(url)
    return engine


def _open_postgresql(given: str) -> sa.Engine:
    url = sa.make_url(given).set(drivername="postgresql+psycopg")
    try:
        engine = sa.create_engine(
            url,
            pool_size=10,
            max_overflow=10,
            connect_args={
                "connect_timeout": _CONNECT_S,
                "tcp_user_timeout": _CONNECT_S * 1000,
                "options": f"-c idle_in_transaction_session_timeout={_IDLE_MS}",
            },
        )
        with _disposed_on_error(engine):
            with engine.begin() as connection:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
                bring_up_to_date(connection)
            _migrate_queue(given)
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        raise DatabaseRefused(
            "database_url needs the package psycopg: pip install 'artscraper-gateway[postgres]'"
        ) from error
    except sa.exc.OperationalError as error:
        raise DatabaseRefused(
            f"database {url.set(query={}).render_as_string()} cannot be used: {error.orig}"
        ) from None
    return engine


def reading(engine: sa.Engine) -> sa.Connection:
    """Returns a connection for questions that need no transaction around them.

    A server has to be told of the begin and of the end of each, and psycopg forgets the statements
    that it has prepared when one is rolled back, which is how one that has only read ends.
    """
    connection = engine.connect()
    if engine.dialect.name == "postgresql":
        connection.execution_options(isolation_level="AUTOCOMMIT")
    return connection


@contextmanager
def _disposed_on_error(engine: sa.Engine) -> Iterator[None]:
    try:
        yield
    except BaseException:
        engine.dispose()
        raise


def _prepare_connection(connection: Any, _record: object) -> None:
    """The queue's own engine sets all of these but the journal; a shared engine has to."""
    connection.isolation_level = "IMMEDIATE"
    connection.execute("PRAGMA journal_mode=WAL")
    # Commits survive kill -9; forcing each to disk would cost 4 ms with the write lock held.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
    connection.execute(f"PRAGMA busy_timeout={SQLITE_PATIENCE_MS}")
    connection.execute("PRAGMA foreign_keys=ON")


def _migrate_queue(url: str) -> None:
    from dbos import DBOS

    DBOS.migrate(url)
