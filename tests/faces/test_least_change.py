"""A change keeps its room, and is no larger than what is enough."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from artscraper_runner.faces.minimum_norm import Room, least_change
from artscraper_runner.faces.presets import DEFAULT_CLOAK
from artscraper_runner.faces.wide_change import widest
from artscraper_runner.types import Controls

BUDGET = 8 / 255
ENOUGH = 0.002  # of the mean along the pattern below


class FineChecks:
    """Enough once the picture has moved by ENOUGH along fine checks."""

    def __init__(self, seen: torch.Tensor, *, enough: float = ENOUGH) -> None:
        rows, columns = torch.meshgrid(*map(torch.arange, seen.shape[2:]), indexing="ij")
        self.seen, self.enough = seen, enough
        self.checks = ((rows // 2 + columns // 2) % 2 * 2.0 - 1).expand_as(seen)

    def __call__(self, picture, iteration):
        share = ((picture - self.seen) * self.checks).mean() / self.enough
        return share, share.item()

    def reached(self, picture):
        return self(picture, 0)[1]


def changed(seen, objective, **numbers):
    change, taken = least_change(
        seen,
        room=Room.within(seen, seen, BUDGET),
        edge=torch.ones(1, 1, *seen.shape[2:]),
        objective=objective,
        numbers=replace(DEFAULT_CLOAK, **numbers),
        budget=BUDGET,
        controls=Controls(),
        what="test",
    )
    assert taken == DEFAULT_CLOAK.iterations
    return change


@pytest.fixture
def seen():
    return torch.rand(1, 3, 48, 56, generator=torch.Generator().manual_seed(0))


def test_it_is_just_enough(seen):
    objective = FineChecks(seen)
    assert 1 <= objective.reached(seen + changed(seen, objective)) < 1.1


def test_it_never_leaves_its_bounds_for_what_cannot_be_reached(seen):
    change = changed(seen, FineChecks(seen, enough=1.0), largest_size=2.0)
    assert change.abs().max() <= BUDGET + 1e-6
    assert (seen + change).min() >= 0 and (seen + change).max() <= 1
    assert widest(change, DEFAULT_CLOAK.blur) <= DEFAULT_CLOAK.wide * BUDGET + 1e-6


def test_a_layer_that_is_farther_off_may_not_go_farther():
    original, seen = torch.full((1, 3, 1, 1), 0.5), torch.full((1, 3, 1, 1), 0.6)
    room = Room.within(original, seen, BUDGET)
    assert room.high.max() == 0
    assert torch.allclose(room.low, torch.tensor(-0.1 - BUDGET))
    white = Room.within(torch.ones(1, 3, 1, 1), torch.ones(1, 3, 1, 1), BUDGET)
    assert white.high.max() == 0


def test_texture_loosens_the_bounds_up_to_a_limit():
    flat, some, much = (DEFAULT_CLOAK.hidden(times) for times in (0.6, 1.5, 40.0))
    assert flat == DEFAULT_CLOAK
    assert some.wide == pytest.approx(1.5 * DEFAULT_CLOAK.wide)
    assert some.first_size == pytest.approx(1.5 * DEFAULT_CLOAK.first_size)
    assert much.wide == pytest.approx(DEFAULT_CLOAK.most_hidden * DEFAULT_CLOAK.wide)
