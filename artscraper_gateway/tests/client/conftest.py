"""Both clients behind one interface, so that every test runs with each."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from artscraper_gateway.client import AsyncGateway, Gateway

Connect = Callable[..., Any]


class Blocking:
    """An AsyncGateway whose methods block and whose iterators are lists made at once."""

    def __init__(self, url: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._gateway = AsyncGateway(url, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._gateway, name)

        def call(*given: Any, **named: Any) -> Any:
            made = method(*given, **named)
            return self._runner.run(made if inspect.iscoroutine(made) else _all(made))

        return call

    def close(self) -> None:
        self._runner.run(self._gateway.aclose())
        self._runner.close()


async def _all(made: Any) -> list[Any]:
    return [each async for each in made]


@pytest.fixture(params=["Gateway", "AsyncGateway"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Make clients of one kind; they are closed at the test's end."""
    kind = Gateway if request.param == "Gateway" else Blocking
    made: list[Any] = []

    def make(url: str, **options: Any) -> Any:
        made.append(kind(url, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()
