"""Open the database of jobs and queue: SQLite in base_dir, or PostgreSQL."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from artscraper_gateway.db.migrations import IncompatibleDatabase, bring_up_to_date
from artscraper_gateway.settings.groups import ENVIRONMENT_PREFIX
from artscraper_gateway.settings.model import GatewayConfig

_SCHEMA_LOCK = 7_304_119  # any number that is not locked elsewhere in this database
# A process that is frozen inside a transaction may not keep its locks for longer.
_IDLE_MS = 5_000
_CONNECT_S = 10
SQLITE_BUSY_MS = 30_000  # wait for a lock of another process
CLOCKS_APART_S = 60.0  # largest skew within a fleet; beyond it the clock was set back
# Commits checkpoint only if `wal.py` does not: beyond 64 MiB.
_LOG_PAGES = 16_384
_WRITES_NOTHING = "UPDATE jobs SET status = status WHERE id = ''"
_READERS = 8  # connections of one process that only read SQLite
# The engines that only read, by the engine that writes.
_readers: WeakKeyDictionary[sa.Engine, sa.Engine] = WeakKeyDictionary()


def open_engine(config: GatewayConfig) -> sa.Engine:
    """Return an engine on the database, with its schema up to date.

    Raises:
        IncompatibleDatabase: it cannot be reached, or a newer release or another program made it,
            or base_dir is no folder that can be written.
    """
    try:
        config.base_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if config.database_url is None:
            return _open_sqlite(config)
    except OSError as error:
        raise IncompatibleDatabase(
            f"base_dir {config.base_dir} cannot be used: {error.strerror}; choose another with"
            f" --base-dir or {ENVIRONMENT_PREFIX}BASE_DIR"
        ) from error
    return _open_postgresql(config.database_url.get_secret_value())


def reading(engine: sa.Engine) -> sa.Connection:
    """Return a connection for queries that need no transaction.

    On SQLite it is not the one that writes: in WAL mode readers need not wait for writers. A
    server has to see the begin and end of each transaction, and psycopg forgets prepared
    statements when one is rolled back, which is how one that has only read ends.
    """
    connection = _readers.get(engine, engine).connect()
    if engine.dialect.name == "postgresql":
        connection.execution_options(isolation_level="AUTOCOMMIT")
    return connection


def migrate_queue(engine: sa.Engine) -> None:
    """Create or upgrade DBOS's tables, by a connection of its own; quick when they are current."""
    from dbos import DBOS

    DBOS.migrate(engine.url.render_as_string(hide_password=False))


def check_writable(engine: sa.Engine) -> None:
    """Begin to write, and write nothing. Does not wait for others that write.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be written.
    """
    if engine.dialect.name != "sqlite":
        with engine.begin() as connection:
            connection.exec_driver_sql(_WRITES_NOTHING)
        return
    try:
        with closing(_connect_probe(str(engine.url.database))) as probe:
            probe.execute("BEGIN IMMEDIATE")
            probe.execute(_WRITES_NOTHING)
            probe.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise sa.exc.OperationalError(_WRITES_NOTHING, None, error) from error


def _connect_probe(database: str) -> sqlite3.Connection:
    return sqlite3.connect(database, timeout=0, isolation_level=None)


def _open_sqlite(config: GatewayConfig) -> sa.Engine:
    _make_private(config.database_path)
    url = sa.URL.create("sqlite", database=str(config.database_path))
    # One connection: threads queue for it fairly, as they would not for SQLite's lock.
    engine = sa.create_engine(url, pool_size=1, max_overflow=0, pool_timeout=30)
    sa.event.listen(engine, "connect", _prepare_writer)
    # Several processes may start at once; the second one finds the schema up to date.
    with (config.base_dir / ".schema.lock").open("w") as lock, _disposed_on_error(engine):
        fcntl.flock(lock, fcntl.LOCK_EX)
        with engine.connect() as connection:
            # SQLite alters a table by recreating it, which must not empty tables that refer to it.
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver begins none before DDL
            bring_up_to_date(connection)
            connection.commit()
            connection.exec_driver_sql("PRAGMA foreign_keys=ON")
    readers = sa.create_engine(url, pool_size=_READERS, max_overflow=_READERS, pool_timeout=30)
    sa.event.listen(readers, "connect", _prepare_reader)
    sa.event.listen(engine, "engine_disposed", lambda _: readers.dispose())
    _readers[engine] = readers
    return engine


def _make_private(database: Path) -> None:
    """Create the database's file for this user alone; its log files take its mode over."""
    os.close(os.open(database, os.O_RDWR | os.O_CREAT, 0o600))
    for name in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError, PermissionError):
            database.with_name(database.name + name).chmod(0o600)


def _open_postgresql(address: str) -> sa.Engine:
    url = sa.make_url(address).set(drivername="postgresql+psycopg")
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
        with _disposed_on_error(engine), engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            bring_up_to_date(connection)
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        raise IncompatibleDatabase(
            "database_url needs the package psycopg: pip install 'artscraper-gateway[postgres]'"
        ) from error
    except sa.exc.OperationalError as error:
        raise IncompatibleDatabase(
            f"database {url.set(query={}).render_as_string()} cannot be used: {error.orig}"
        ) from None
    return engine


@contextmanager
def _disposed_on_error(engine: sa.Engine) -> Iterator[None]:
    try:
        yield
    except BaseException:
        engine.dispose()
        raise


def _prepare_writer(connection: Any, _record: object) -> None:
    """Set what the queue's own engine would set, except for the journal."""
    connection.isolation_level = "IMMEDIATE"
    connection.execute("PRAGMA journal_mode=WAL")
    # Commits survive kill -9; forcing each to disk would cost 4 ms with the write lock held.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
    connection.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_MS}")
    connection.execute("PRAGMA foreign_keys=ON")


def _prepare_reader(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # no transaction around a single query
    connection.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_MS}")
    connection.execute("PRAGMA query_only=ON")
