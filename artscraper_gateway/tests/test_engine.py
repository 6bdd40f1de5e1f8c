"""The opening of the database: private, in any folder, with separate readers."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from artscraper_gateway.db import engine as engine_module
from artscraper_gateway.db.engine import check_writable, open_engine, reading
from artscraper_gateway.errors import DatabaseAway
from artscraper_gateway.jobs.listing import JobListing
from artscraper_gateway.observability.readiness import Readiness
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import Storage, StorageHealth


@pytest.fixture
def config(tmp_path: Path) -> GatewayConfig:
    return GatewayConfig(base_dir=tmp_path / "jobs", output_parent=tmp_path / "out")


@pytest.fixture
def engine(config: GatewayConfig) -> Iterator[sa.Engine]:
    engine = open_engine(config)
    yield engine
    engine.dispose()


def test_readers_do_not_wait_for_a_writer(config: GatewayConfig, engine: sa.Engine) -> None:
    """Another process has the write lock, and a submission waits for it with the connection."""
    listing = JobListing(engine)
    with closing(sqlite3.connect(config.database_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with engine.connect():  # the connection that writes is taken
            page = listing.page(owner=None, status=None, size=5, token=None)
            assert page.jobs == [] and listing.show("0" * 32) is None
        other.execute("ROLLBACK")


def test_reading_connections_cannot_write(engine: sa.Engine) -> None:
    with reading(engine) as connection, pytest.raises(sa.exc.OperationalError, match="readonly"):
        connection.execute(sa.text("DELETE FROM jobs"))


@pytest.mark.anyio
async def test_readiness_reports_a_read_only_database(
    config: GatewayConfig, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = StorageHealth(config, Storage(config))
    await Readiness(config, engine, health).check()

    def connect_readonly(database: str) -> sqlite3.Connection:
        """Connect as SQLite opens the file of a read-only file system."""
        return sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None)

    monkeypatch.setattr(engine_module, "_connect_probe", connect_readonly)
    with pytest.raises(sa.exc.OperationalError, match="readonly"):
        check_writable(engine)
    with pytest.raises(DatabaseAway):
        await Readiness(config, engine, health).check()


@pytest.mark.parametrize("name", ["what?", "100%", "a b#c", "%41?x=1"])
def test_base_dir_may_have_any_name(tmp_path: Path, name: str) -> None:
    config = GatewayConfig(base_dir=tmp_path / name)
    open_engine(config).dispose()
    engine = open_engine(config)
    check_writable(engine)
    engine.dispose()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_database_and_folder_are_private_with_any_umask(tmp_path: Path) -> None:
    config = GatewayConfig(base_dir=tmp_path / "jobs")
    before = os.umask(0)
    try:
        engine = open_engine(config)
        check_writable(engine)
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in config.base_dir.iterdir()
            if path.name.startswith("gateway.sqlite3")
        }
        engine.dispose()
    finally:
        os.umask(before)
    assert stat.S_IMODE(config.base_dir.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600} and len(modes) == 3
