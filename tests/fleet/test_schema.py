"""The schema on PostgreSQL: as the code describes it, and made once by all that start at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from artscraper_gateway.db.engine import open_engine, reading
from artscraper_gateway.db.migrations import IncompatibleDatabase
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import REPOSITORY
from artscraper_gateway.tests.test_migrations import OPEN, assert_tables_as_described
from tests.fleet.servers import PostgresServer


@pytest.fixture
def config(tmp_path: Path, postgres: PostgresServer) -> GatewayConfig:
    return GatewayConfig(base_dir=tmp_path, database_url=SecretStr(postgres.new_database()))


def test_queries_open_no_transaction(config: GatewayConfig) -> None:
    """Else psycopg would forget its prepared statements at each rollback."""
    engine = open_engine(config)

    def status(connection: sa.Connection) -> str:
        connection.execute(sa.select(1))
        driver: Any = connection.connection.driver_connection
        return str(driver.info.transaction_status.name)

    with reading(engine) as connection:
        assert status(connection) == "IDLE"
    with engine.connect() as connection:  # the same one, from the pool
        assert status(connection) == "INTRANS"
    engine.dispose()


def test_concurrent_processes_create_the_described_tables(config: GatewayConfig) -> None:
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **config.environment()},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=120)[0].strip() for process in openers]
    assert answers == ["False"] * 3, "a new database needs no Alembic"
    assert_tables_as_described(config)


def test_newer_database_is_refused(config: GatewayConfig) -> None:
    engine = open_engine(config)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(IncompatibleDatabase, match="newer release"):
        open_engine(config)
