"""Nothing is collected while a program imports its modules, and all is as before afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from artscraper_runner.cli import protect
from artscraper_runner.cli.main import main
from artscraper_runner.process import pause_collection, resume_collection


@pytest.fixture(autouse=True)
def _collecting() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


def test_collection_is_paused_and_resumed() -> None:
    pause_collection()
    assert not gc.isenabled()
    resume_collection()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_command_collects_again_once_it_has_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    monkeypatch.setattr(protect, "run", lambda options: states.append(gc.isenabled()) or 0)
    assert main(["protect", "a.png", "--out", "b"]) == 0
    assert states == [True]


def test_wrong_usage_leaves_the_collector_on() -> None:
    with pytest.raises(SystemExit):
        main(["protect"])
    assert gc.isenabled()
