"""The one database of jobs and queue: how it is opened, and its tables.

A change here goes with a file in `migrations/versions/`; a test compares the two.
"""

from __future__ import annotations

import fcntl
from typing import Any

import sqlalchemy as sa

from artscraper_gateway.config import GatewayConfig
from artscraper_gateway.migrations import bring_up_to_date

metadata = sa.MetaData()

# `status` is what the API shows. A job in `deleting` is unknown to callers; the row stays until
# its folders are gone, so that an interrupted deletion is finished at the next start.
jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("status", sa.String, nullable=False, index=True),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("source", sa.String, nullable=False),  # the staged picture's file name
    sa.Column("submitted_at", sa.Float, nullable=False),  # these four: seconds since 1970, UTC
    sa.Column("updated_at", sa.Float, nullable=False),
    sa.Column("started_at", sa.Float),
    sa.Column("finished_at", sa.Float),
    sa.Column("stage", sa.String),  # the stage that runs, or ran last
    sa.Column("stage_attempts", sa.Integer, nullable=False, default=0),
    sa.Column("worker", sa.String),  # executor id while one holds the job, else null
    sa.Column("error", sa.Text),
    sa.Column("watermark", sa.String, index=True),  # hex of the number that the picture carries
)


def open_engine(config: GatewayConfig) -> sa.Engine:
    """Returns an engine on the database; makes its file and brings its tables up to date.

    Raises:
        DatabaseRefused: a newer release made it, or another program did.
    """
    config.base_dir.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        f"sqlite:///{config.database_path}", pool_size=1, max_overflow=0, pool_timeout=30
    )
    sa.event.listen(engine, "connect", _prepare_connection)
    # Several processes may start at once; whoever comes second finds the tables made.
    with (config.base_dir / ".schema.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver begins none before DDL
            bring_up_to_date(connection)
        _migrate_queue(config)
    return engine


def _prepare_connection(connection: Any, _record: object) -> None:
    """The queue's own engine sets all of these but the journal; a shared engine has to."""
    connection.isolation_level = "IMMEDIATE"
    connection.execute("PRAGMA journal_mode=WAL")
    # Commits survive kill -9; forcing each to disk would cost 4 ms with the write lock held.
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA busy_timeout=30000")
    connection.execute("PRAGMA foreign_keys=ON")


def _migrate_queue(config: GatewayConfig) -> None:
    from dbos import DBOS

    DBOS.migrate(f"sqlite:///{config.database_path}")
