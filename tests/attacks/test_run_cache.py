"""Values that a run computes once, and their eviction."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from artscraper_runner.attacks import run_cache
from artscraper_runner.attacks.run_cache import RunCache


def test_value_is_computed_once_per_key() -> None:
    cache, calls = RunCache(), []

    def compute() -> int:
        calls.append(1)
        return len(calls)

    assert [cache.remember("kind", key, compute) for key in ("a", "a", "b", "a")] == [1, 1, 2, 1]
    assert cache.remember("other", "a", compute) == 3


def test_threads_wait_for_a_value_that_is_being_computed() -> None:
    cache, begun, go_on, calls = RunCache(), threading.Event(), threading.Event(), []

    def compute() -> int:
        calls.append(1)
        begun.set()
        assert go_on.wait(30)
        return 7

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(cache.remember, "kind", "a", compute)
        assert begun.wait(30)
        second = threads.submit(cache.remember, "kind", "a", compute)
        assert cache.remember("kind", "b", lambda: 8) == 8
        go_on.set()
        assert (first.result(30), second.result(30)) == (7, 7)
    assert len(calls) == 1


def test_recently_used_values_are_kept() -> None:
    cache = RunCache()
    first = cache.remember("kind", 0, object, keep=2)
    for key in (1, 2):
        cache.remember("kind", key, object, keep=2)
        assert cache.remember("kind", 0, object, keep=2) is first
    cache.remember("kind", 3, object, keep=2)
    cache.remember("kind", 4, object, keep=2)
    assert cache.remember("kind", 0, object, keep=2) is not first


def test_kinds_are_evicted_separately() -> None:
    cache = RunCache()
    first = cache.remember("a", 0, object)
    for key in range(100):
        cache.remember("b", key, object)
    assert cache.remember("a", 0, object) is first


def test_array_token_lasts_as_long_as_the_array() -> None:
    cache, pixels = RunCache(), np.zeros((2, 2, 3), np.uint8)
    token = cache.token(pixels)
    assert cache.token(pixels) == token
    assert cache.token(pixels.copy()) != token
    del pixels
    gc.collect()
    assert cache.token(np.zeros((2, 2, 3), np.uint8)) != token


def test_failed_computation_is_not_cached() -> None:
    cache = RunCache()

    def fail() -> int:
        raise ValueError

    for _ in range(2):
        try:
            cache.remember("kind", "a", fail)
        except ValueError:
            continue
        raise AssertionError("the error was lost")
    assert cache.remember("kind", "a", lambda: 5) == 5


def test_tokens_stay_when_dead_arrays_are_dropped() -> None:
    cache, kept = RunCache(), np.zeros(3, np.float32)
    token = cache.token(kept)
    for _ in range(500):
        cache.token(np.zeros(3, np.float32))
    assert cache.token(kept) == token
    assert len(cache._tokens) < 100


def test_digests_depend_on_shape_and_content_alone() -> None:
    cache, values = RunCache(), np.arange(12, dtype=np.float32).reshape(3, 4)
    assert cache.digest(values) == cache.digest(values.copy())
    assert cache.digest(values) == cache.digest(values.T.copy().T)
    assert cache.digest(values) != cache.digest(values.reshape(4, 3))
    assert cache.digest(values) != cache.digest(values + 1)


def test_array_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, values, calls = RunCache(), np.zeros(3, np.float32), []
    monkeypatch.setattr(run_cache, "_digest", lambda array: calls.append(array) or b"digest")
    assert [cache.digest(values) for _ in range(3)] == [b"digest"] * 3
    assert len(calls) == 1
