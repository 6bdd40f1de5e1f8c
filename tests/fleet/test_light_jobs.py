"""Light jobs have no workflow: their rows are the queue, on both kinds of database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.jobs.leases import Heartbeats, WorkerGivenUp
from artscraper_gateway.jobs.models import NewJob, Outcome
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.request import JobRequest
from artscraper_gateway.settings.model import GatewayConfig
from tests.fleet.fleet import given_up, registered

REQUEST = JobRequest()


@pytest.fixture
def store(tmp_path: Path, database: dict[str, Any]) -> Iterator[JobStore]:
    """With six jobs: a to f, submitted in this order, of which d is urgent."""
    engine = open_engine(GatewayConfig(base_dir=tmp_path, **database))
    store = JobStore(engine)
    with engine.begin() as connection:
        for letter in "abcdef":
            new = NewJob(letter, "image.png", REQUEST, "light", priority=50 * (letter == "d"))
            store.add(connection, new)
        store.add(connection, NewJob("heavy", "image.png", REQUEST, "heavy"))
    yield store
    engine.dispose()


def taken(store: JobStore, by: Heartbeats, at_most: int = 2) -> list[str]:
    found = store.take("light", "original", worker=by.id, at_most=at_most)
    assert all(job.worker == by.id and job.status == "running" for job in found)
    return sorted(job.id for job in found)


def test_each_is_taken_by_one_worker_the_urgent_first(store: JobStore) -> None:
    one, other = registered(store.engine, 0), registered(store.engine, 1)
    assert taken(store, one) == ["d"]  # one priority at a time
    assert taken(store, other) == ["a", "b"]
    assert taken(store, one) == ["c", "e"]
    assert taken(store, other, at_most=9) == ["f"]
    assert taken(store, one) == []


def test_those_of_a_dead_worker_come_first_and_are_counted(store: JobStore) -> None:
    dead, other = registered(store.engine, 0), registered(store.engine, 1)
    assert taken(store, dead) == ["d"]
    assert taken(store, dead) == ["a", "b"]
    given_up(dead)
    again = store.take("light", "original", worker=other.id, at_most=1)
    assert [(job.id, job.stage_attempts) for job in again] == [("d", 2)]
    assert taken(store, other, at_most=3) == ["a", "b", "c"]
    with pytest.raises(WorkerGivenUp):
        store.take("light", "original", worker=dead.id, at_most=1)
    assert store.finish_all([Outcome("a", None, 1)], worker=dead.id) == set()


def test_several_end_together_and_each_by_its_holder_alone(store: JobStore) -> None:
    one, other = registered(store.engine, 0), registered(store.engine, 1)
    taken(store, one)
    taken(store, one)
    outcomes = [Outcome("d", None, 5), Outcome("a", "it broke", None), Outcome("c", None, 5)]
    assert store.finish_all(outcomes, worker=other.id) == set()
    assert store.finish_all(outcomes, worker=one.id) == {"d", "a"}
    done, broken = store.find("d"), store.find("a")
    assert done is not None and (done.status, done.disk_bytes, done.worker) == ("done", 5, None)
    assert broken is not None and (broken.status, broken.error) == ("error", "it broke")
