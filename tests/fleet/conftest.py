"""Databases, object storage and fleets. What is not installed is skipped, loudly, or fails."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.settings.model import GatewayConfig
from tests.fleet.fleet import Fleet
from tests.fleet.servers import PostgresServer, S3Server, postgresql_binaries

REQUIRED = "ARTSCRAPER_REQUIRE_FLEET"  # set where everything was installed: nothing is skipped


def missing(reason: str) -> None:
    if os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, and {reason}")
    pytest.skip(f"NOT TESTED: {reason}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    binaries = postgresql_binaries()
    if binaries is None:
        missing("PostgreSQL is not installed: apt-get install postgresql")
    server = PostgresServer(binaries)
    server.start()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options of a gateway on an empty database of either kind."""
    if request.param == "sqlite":
        return {}
    server: PostgresServer = request.getfixturevalue("postgres")
    return {"database_url": server.new_database()}


@pytest.fixture
def engine(tmp_path: Path, database: dict[str, Any]) -> Iterator[sa.Engine]:
    engine = open_engine(GatewayConfig(base_dir=tmp_path, **database))
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    for package, install in (("moto", "moto[s3,server]"), ("s3fs", "s3fs")):
        if find_spec(package) is None:
            missing(f"{package} is not installed: pip install '{install}'")
    server = S3Server()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def start_fleet(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    started: list[Fleet] = []

    def start(options: dict[str, Any], environment: dict[str, str] | None = None) -> Fleet:
        started.append(Fleet(tmp_path, options, environment or {}))
        return started[-1]

    yield start
    for fleet in started:
        fleet.stop()


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Make the bytes of a noisy PNG."""

    def make(width: int = 64, height: int = 64) -> bytes:
        rng = np.random.default_rng(width * 10_000 + height)
        buffer = io.BytesIO()
        noise = rng.integers(40, 216, (height, width, 3), np.uint8)
        Image.fromarray(noise).save(buffer, "PNG")
        return buffer.getvalue()

    return make
