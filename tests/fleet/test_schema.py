"""The schema on PostgreSQL: as the code describes it, and made once by all that start at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from artscraper_gateway.config import GatewayConfig
from artscraper_gateway.database import open_engine
from artscraper_gateway.migrations import DatabaseRefused
from artscraper_gateway.tests.gateway_process import REPOSITORY
from artscraper_gateway.tests.test_migrations import OPEN, assert_tables_as_described
from tests.fleet.servers import PostgresServer


@pytest.fixture
def config(tmp_path: Path, postgres: PostgresServer) -> GatewayConfig:
    return GatewayConfig(base_dir=tmp_path, database_url=SecretStr(postgres.new_database()))


def test_many_processes_make_the_tables_that_the_code_describes(config: GatewayConfig) -> None:
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
    assert sorted(answers) == ["False", "False", "True"], "one of them has upgraded"
    assert_tables_as_described(config)


def test_a_newer_database_is_refused(config: GatewayConfig) -> None:
    engine = open_engine(config)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(DatabaseRefused, match="newer release"):
        open_engine(config)
