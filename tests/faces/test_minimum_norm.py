"""A change keeps its bounds, and is no larger than what is enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from artscraper_runner.attacks.transforms import YCC_TO_RGB
from artscraper_runner.faces.low_frequency import max_low_frequency
from artscraper_runner.faces.minimum_norm import Bounds, _Space, minimum_norm_attack
from artscraper_runner.faces.presets import DEFAULT_CLOAK
from artscraper_runner.types import Controls

BUDGET = 8 / 255
ENOUGH = 0.002  # of the mean along the pattern below


class FineChecks:
    """Enough once the picture has moved by ENOUGH along fine checks."""

    def __init__(self, before: np.ndarray, *, enough: float = ENOUGH) -> None:
        rows, columns = np.indices(before.shape[2:])
        checks = ((rows // 2 + columns // 2) % 2 * 2.0 - 1).astype(np.float32)
        self.before, self.enough = before, enough
        self.checks = np.broadcast_to(checks, before.shape)

    def __call__(self, picture, iteration):
        share = self.reached(picture)
        return share, self.checks / np.float32(picture.size * self.enough), share

    def reached(self, picture):
        return float(((picture - self.before) * self.checks).mean() / self.enough)


def changed(before, objective, **numbers):
    change, taken = minimum_norm_attack(
        before,
        bounds=Bounds.within(before, before, BUDGET),
        edge=np.ones((1, 1, *before.shape[2:]), np.float32),
        objective=objective,
        preset=replace(DEFAULT_CLOAK, **numbers),
        budget=BUDGET,
        controls=Controls(),
        what="test",
        share_within=None,
    )
    assert taken == DEFAULT_CLOAK.iterations
    return change


@pytest.fixture
def before():
    return np.random.default_rng(0).random((1, 3, 48, 56), np.float32)


def test_minimum_norm_reaches_the_target_closely(before):
    objective = FineChecks(before)
    assert 1 <= objective.reached(before + changed(before, objective)) < 1.1


def test_minimum_norm_stays_in_bounds_for_unreachable_targets(before):
    change = changed(before, FineChecks(before, enough=1.0), largest_size=2.0)
    assert np.abs(change).max() <= BUDGET + 1e-6
    assert (before + change).min() >= 0 and (before + change).max() <= 1
    assert (
        max_low_frequency(change, DEFAULT_CLOAK.blur) <= DEFAULT_CLOAK.low_frequency * BUDGET + 1e-6
    )


def test_visibility_bound_holds_for_the_result(before):
    places = np.zeros((1, 1, *before.shape[2:]), np.float32)
    places[..., : before.shape[3] // 2] = 1  # nothing may be seen in the right half
    bounds = Bounds.within(before, before, BUDGET)
    change, _ = minimum_norm_attack(
        before,
        bounds=bounds,
        edge=np.ones_like(places),
        objective=FineChecks(before, enough=1.0),
        preset=DEFAULT_CLOAK,
        budget=BUDGET,
        controls=Controls(),
        what="test",
        share_within=lambda _: places,
    )
    half = before.shape[3] // 2
    assert np.abs(change[..., half:]).max() == 0
    assert np.abs(change[..., :half]).max() > 0


def test_layer_beyond_the_budget_may_not_move_further():
    original = np.full((1, 3, 1, 1), 0.5, np.float32)
    bounds = Bounds.within(original, np.full_like(original, 0.6), BUDGET)
    assert bounds.high.max() == 0
    assert np.allclose(bounds.low, -0.1 - BUDGET)
    white = np.ones_like(original)
    assert Bounds.within(white, white, BUDGET).high.max() == 0


def test_gradient_of_planes_agrees_with_torch(before):
    rng = np.random.default_rng(1)
    planes, slope = (rng.standard_normal(before.shape).astype(np.float32) for _ in range(2))
    planes *= np.float32(BUDGET / 2)
    edge = rng.random((1, 1, *before.shape[2:]), np.float32)
    bounds = Bounds.within(before, before, BUDGET)
    space = _Space(bounds, edge, DEFAULT_CLOAK, BUDGET, lambda change: np.ones_like(edge))
    leaf = torch.from_numpy(planes).requires_grad_(True)
    units = torch.tensor([1.0, DEFAULT_CLOAK.colour, DEFAULT_CLOAK.colour]).view(1, 3, 1, 1)
    matrix = torch.tensor(YCC_TO_RGB, dtype=torch.float32)
    faded = torch.einsum("ij,njhw->nihw", matrix, leaf * units) * torch.from_numpy(edge)
    low, high = torch.from_numpy(bounds.low), torch.from_numpy(bounds.high)
    change = torch.minimum(torch.maximum(faded, low), high)
    (gradient,) = torch.autograd.grad((change * torch.from_numpy(slope)).sum(), leaf)
    assert np.allclose(space.change(planes), change.detach().numpy(), atol=1e-6)
    assert (space.change(planes) != faded.detach().numpy()).any()
    assert np.allclose(space.adjoint(planes, slope), gradient.numpy(), atol=1e-5)


def test_texture_widens_bounds_up_to_a_limit():
    flat, some, much = (DEFAULT_CLOAK.masked(times) for times in (0.6, 1.5, 40.0))
    assert flat == DEFAULT_CLOAK
    assert some.low_frequency == pytest.approx(1.5 * DEFAULT_CLOAK.low_frequency)
    assert some.first_size == pytest.approx(1.5 * DEFAULT_CLOAK.first_size)
    most = DEFAULT_CLOAK.most_masked * DEFAULT_CLOAK.low_frequency
    assert much.low_frequency == pytest.approx(most)
