"""The log of SQLite is emptied beside the work: nothing is lost, and no commit does it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from artscraper_gateway import create_app
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.db.wal import Checkpoints
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import until

COPY, EMPTY = "PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(TRUNCATE)"
# More than sets the thread to work, and more than what SQLite's own default lets a log have.
ROWS, ROW_BYTES = 300, 64 * 1024


@pytest.fixture
def config(tmp_path: Path) -> GatewayConfig:
    return GatewayConfig(base_dir=tmp_path)


@pytest.fixture
def engine(config: GatewayConfig) -> Iterator[sa.Engine]:
    engine = open_engine(config)
    with engine.begin() as connection:
        connection.exec_driver_sql("create table written (content blob)")
    yield engine
    engine.dispose()


def write_rows(engine: sa.Engine, rows: int = ROWS) -> None:
    for _ in range(rows):
        with engine.begin() as connection:
            connection.exec_driver_sql(f"insert into written values (randomblob({ROW_BYTES}))")


def log_bytes(config: GatewayConfig) -> int:
    path = config.database_path
    return path.with_name(f"{path.name}-wal").stat().st_size


def rows_without_the_log(config: GatewayConfig, copy: Path) -> int:
    """Return how many rows the database file alone has."""
    copy.write_bytes(config.database_path.read_bytes())
    with closing(sqlite3.connect(copy)) as connection:
        return int(connection.execute("select count(*) from written").fetchone()[0])


@contextmanager
def asked(checkpoints: Checkpoints) -> Iterator[list[str]]:
    """Collect the statements that are sent to the database meanwhile."""
    statements: list[str] = []
    connect = checkpoints._connect

    def traced() -> sqlite3.Connection:
        connection = connect()
        connection.set_trace_callback(statements.append)
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "_connect", traced)
        yield statements


def test_commits_do_not_checkpoint(config: GatewayConfig, engine: sa.Engine) -> None:
    write_rows(engine)
    assert log_bytes(config) > ROWS * ROW_BYTES


def test_checkpoint_truncates_the_log(
    config: GatewayConfig, engine: sa.Engine, tmp_path: Path
) -> None:
    write_rows(engine)
    Checkpoints(config.database_path).checkpoint()
    assert log_bytes(config) == 0
    assert rows_without_the_log(config, tmp_path / "copy") == ROWS


def test_checkpoint_waits_for_a_reader(
    config: GatewayConfig, engine: sa.Engine, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(config.database_path)
    with closing(sqlite3.connect(config.database_path)) as reader:
        reader.execute("begin")
        assert reader.execute("select count(*) from written").fetchone() == (0,)
        write_rows(engine)
        with asked(checkpoints) as statements:
            checkpoints.checkpoint()
        assert statements and set(statements) == {COPY}, "emptying it would hold commits up"
        assert reader.execute("select count(*) from written").fetchone() == (0,)
        assert log_bytes(config) > 0
    checkpoints.checkpoint()
    assert log_bytes(config) == 0
    assert rows_without_the_log(config, tmp_path / "copy") == ROWS


def test_slow_disk_postpones_truncation(
    config: GatewayConfig, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(engine, 3)
    checkpoints, seconds = Checkpoints(config.database_path), count(step=0.2)
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    with asked(checkpoints) as statements:
        checkpoints.checkpoint()
    assert set(statements) == {COPY}
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    with asked(checkpoints) as statements:
        checkpoints.checkpoint()
    assert statements == [COPY, EMPTY]


def test_one_process_checkpoints_at_a_time(
    config: GatewayConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy:
        """A connection that finds another checkpoint being made."""

        statements: ClassVar[list[str]] = []

        def execute(self, statement: str) -> Busy:
            self.statements.append(statement)
            return self

        def fetchone(self) -> tuple[int, int, int]:
            return 1, -1, -1

        def close(self) -> None:
            pass

    checkpoints = Checkpoints(config.database_path)
    monkeypatch.setattr(checkpoints, "_connect", Busy)
    checkpoints.checkpoint()
    assert Busy.statements == [COPY]


def test_checkpoints_do_not_recreate_a_removed_database(config: GatewayConfig) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        Checkpoints(config.database_path).checkpoint()
    assert not config.database_path.exists()


def test_checkpoints_continue_after_a_failure(
    config: GatewayConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints, tries, again = Checkpoints(config.database_path), count(1), threading.Event()

    def checkpoint() -> None:
        if next(tries) > 1:
            again.set()
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("artscraper_gateway.db.wal._POLL_S", 0.01)
    monkeypatch.setattr(checkpoints, "is_due", lambda: True)
    monkeypatch.setattr(checkpoints, "checkpoint", checkpoint)
    checkpoints.start()
    assert again.wait(30)
    checkpoints.stop()
    assert "disk I/O error" in caplog.text


def test_gateway_on_sqlite_runs_the_checkpoint_thread(config: GatewayConfig) -> None:
    before = set(threading.enumerate())  # gateways of other tests may run in this process

    def runs() -> bool:
        return "checkpoints" in [thread.name for thread in set(threading.enumerate()) - before]

    assert not runs()
    with TestClient(create_app(config.model_copy(update={"worker_concurrency": 0}))):
        assert runs()
    assert not runs()


def test_checkpoints_truncate_a_grown_log(config: GatewayConfig, engine: sa.Engine) -> None:
    write_rows(engine)
    checkpoints, enough = Checkpoints(config.database_path), threading.Event()
    written = ROWS

    def go_on_writing() -> None:
        nonlocal written
        while not enough.is_set():
            write_rows(engine, 1)
            written += 1

    writer = threading.Thread(target=go_on_writing)
    before = log_bytes(config)
    checkpoints.start()
    writer.start()
    try:
        until(lambda: log_bytes(config) < before / 2, what="an emptied log")
    finally:
        enough.set()
        writer.join()
        checkpoints.stop()
    with engine.connect() as connection:
        found = connection.exec_driver_sql("select count(*) from written").scalar_one()
    assert found == written


def test_short_log_needs_no_checkpoint(config: GatewayConfig, tmp_path: Path) -> None:
    checkpoints = Checkpoints(config.database_path)
    assert not checkpoints.is_due()  # there is no database yet
    engine = open_engine(config)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("create table written (content blob)")
        assert log_bytes(config) > 0
        assert not checkpoints.is_due()
        write_rows(engine)
        assert checkpoints.is_due()
    finally:
        engine.dispose()
