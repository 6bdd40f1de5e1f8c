"""Gateways, in this process or in their own, and pictures to send."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from artscraper_gateway.tests.gateway_process import REPOSITORY, GatewayProcess
from artscraper_gateway.tests.openapi_world import World, open_world
from artscraper_gateway.tests.support.in_process import InProcessGateway

SAMPLES = sorted(
    path for path in (REPOSITORY / "input").iterdir() if path.suffix in (".jpg", ".jpeg", ".png")
)


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessGateway]:
    """One gateway in this process that tests share; its local root holds the samples."""
    options = {"local_roots": str(REPOSITORY / "input")}
    app = InProcessGateway(tmp_path_factory.mktemp("gateway"), options).start()
    yield app
    app.stop()


@pytest.fixture
def client(gateway: InProcessGateway) -> Iterator[httpx.Client]:
    with gateway.client() as client:
        yield client


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One app with a job in every state, and clients of every kind of key."""
    with open_world(tmp_path_factory.mktemp("world")) as opened:
        yield opened


@pytest.fixture
def start_app(tmp_path: Path) -> Iterator[Callable[..., InProcessGateway]]:
    """Start gateways of a test's own in this process; stop them at its end."""
    started: list[InProcessGateway] = []

    def start(home: Path = tmp_path, **options: Any) -> InProcessGateway:
        started.append(InProcessGateway(home, options).start())
        return started[-1]

    yield start
    for app in reversed(started):
        app.stop()


@pytest.fixture(scope="session")
def process_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One gateway in processes of its own that tests share."""
    options = {"local_roots": str(REPOSITORY / "input")}
    process = GatewayProcess(tmp_path_factory.mktemp("gateway"), options).start()
    yield process
    process.stop()


@pytest.fixture
def process_client(process_gateway: GatewayProcess) -> Iterator[httpx.Client]:
    with process_gateway.client() as client:
        yield client


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    """Start gateways in processes of their own; stop them at the test's end."""
    with ExitStack() as started:

        def start(
            home: Path = tmp_path, *, with_stages_for_tests: bool = False, **options: Any
        ) -> GatewayProcess:
            process = GatewayProcess(home, options, with_stages_for_tests)
            started.callback(process.stop)  # each of them, also when one cannot be stopped
            return process.start()

        yield start


@pytest.fixture(scope="session")
def small_sample() -> bytes:
    """The sample portrait as a JPEG of 384x384 px: large enough for every stage, and quick."""
    buffer = io.BytesIO()
    with Image.open(SAMPLES[0]) as image:
        image.resize((384, 384)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Make the bytes of a noisy picture."""

    def make(
        width: int = 320, height: int = 280, *, kind: str = "PNG", mode: str = "RGB", **save: Any
    ) -> bytes:
        rng = np.random.default_rng(width * 10_000 + height)
        noise = rng.integers(40, 216, (height, width, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noise).convert(mode).save(buffer, kind, **save)
        return buffer.getvalue()

    return make
