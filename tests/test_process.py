"""The process of a program: garbage collection pauses during imports; native threads' defaults."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from artscraper_runner import NATIVE_THREAD_DEFAULTS, set_native_thread_defaults
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


def test_native_thread_defaults_keep_what_the_user_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    set_native_thread_defaults()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"
    assert os.environ["OMP_WAIT_POLICY"] == NATIVE_THREAD_DEFAULTS["OMP_WAIT_POLICY"]
