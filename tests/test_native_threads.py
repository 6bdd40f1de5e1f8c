"""The wait policy of native threads, by default and as chosen by the user."""

from __future__ import annotations

import os

import pytest

from artscraper_runner import NATIVE_THREAD_DEFAULTS, set_native_thread_defaults


def test_native_thread_defaults_keep_what_the_user_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    set_native_thread_defaults()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"
    assert os.environ["OMP_WAIT_POLICY"] == NATIVE_THREAD_DEFAULTS["OMP_WAIT_POLICY"]
