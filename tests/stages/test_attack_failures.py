"""Cancelled attacks, and those for which memory does not suffice at first."""

from __future__ import annotations

import pytest

from artscraper_runner.attacks.evaluation import Observer
from artscraper_runner.errors import Cancelled, OutOfMemory
from artscraper_runner.latent.attack import PictureAttack
from artscraper_runner.stages import load_stage
from artscraper_runner.types import Controls

from .attack_layers import (
    applied,
    default_layer,
    inputs_for,
    largest,
)


def test_cancellation_stops_within_one_iteration(textured):
    seen = []
    controls = Controls(seen.append, lambda: len(seen) >= 2)
    with pytest.raises(Cancelled):
        load_stage("photoguard").apply(inputs_for(textured, controls=controls))
    assert len(seen) == 2


def test_out_of_memory_is_retried_with_less(textured, monkeypatch):
    sizes = []

    def fails(self, size, *rest):
        sizes.append(size)
        raise MemoryError("out of memory")

    monkeypatch.setattr(PictureAttack, "_run_at", fails)
    with pytest.raises(OutOfMemory, match="smaller encoder"):
        applied("mist", textured)
    assert len(sizes) == 2
    assert sizes[0] == (96, 144)
    assert sizes[1][0] * sizes[1][1] < 96 * 144 / 2


@pytest.mark.parametrize("measure", ["measure", "measure_final"])
def test_evaluation_out_of_memory_is_retried_with_less(measure, textured, monkeypatch):
    sizes = []

    def fails(self, picture):
        sizes.append(tuple(picture.shape[2:]))
        raise MemoryError("out of memory")

    stage, inputs = load_stage("mist"), inputs_for(textured)
    monkeypatch.setattr(Observer, "latent", fails)
    with pytest.raises(OutOfMemory, match="smaller encoder"):
        getattr(stage, measure)(textured, inputs)
    assert sizes[0] == (96, 144)
    assert len(sizes) == 2
    assert sizes[1][0] * sizes[1][1] < 96 * 144 / 2


@pytest.mark.parametrize("measure", ["measure", "measure_final"])
def test_effect_is_measured_with_less_memory(measure, textured, monkeypatch):
    whole, failed = Observer.latent, []

    def fails_once(self, picture):
        if not failed:
            failed.append(picture)
            raise MemoryError("out of memory")
        return whole(self, picture)

    stage, inputs = load_stage("mist"), inputs_for(textured)
    layer = default_layer("mist", textured)
    monkeypatch.setattr(Observer, "latent", fails_once)
    assert getattr(stage, measure)(layer, inputs)["effect"]["plain"] > 0.05


def test_retry_with_less_memory_still_protects(textured, monkeypatch):
    whole = PictureAttack._run_at
    failed = []

    def fails_once(self, size, *rest):
        if not failed:
            failed.append(size)
            raise MemoryError("out of memory")
        return whole(self, size, *rest)

    monkeypatch.setattr(PictureAttack, "_run_at", fails_once)
    layer = applied("mist", textured)
    assert 0 < largest(textured, layer) <= 8
