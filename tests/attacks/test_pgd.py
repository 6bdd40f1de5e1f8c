"""The loop's steps against hand-computed ones, its bounds, and how it ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from artscraper_runner.attacks.constraints import Box
from artscraper_runner.attacks.pgd import optimise, sum_of
from artscraper_runner.attacks.presets import StepRule
from artscraper_runner.errors import Cancelled
from artscraper_runner.types import Controls, Progress

RULE = StepRule(iterations=3, first_step=0.5, last_step=0.5, momentum=0.0, start_noise=0.0)
PICTURE = np.full((1, 3, 4, 4), 0.5, np.float32)
BOUND = np.full((1, 1, 4, 4), 8 / 255, np.float32)


def linear(weights=1.0):
    """Return an objective with a constant gradient."""

    def objective(picture, iteration):
        return float((picture * weights).sum()), np.ones_like(picture) * np.float32(weights)

    return objective


def run(objective=None, *, picture=PICTURE, rule=RULE, seed=0, start=None, refine=None, **more):
    start = np.zeros_like(picture) if start is None else start
    more.setdefault("controls", Controls())
    return optimise(
        picture,
        start=start,
        constraint=Box(picture, start, BOUND, [refine] if refine else ()),
        objective=objective or linear(),
        rule=rule,
        seed=seed,
        **more,
    )


def test_sign_steps_accumulate_up_to_the_bound():
    one = run(rule=replace(RULE, iterations=1))[0]
    assert np.allclose(one, 4 / 255)
    assert np.allclose(run()[0], 8 / 255)


@pytest.mark.parametrize("sign", [1, -1])
def test_start_beyond_the_bound_may_stay_but_not_reverse(sign: int):
    start = np.full_like(PICTURE, sign * 12 / 255)
    rule = replace(RULE, iterations=9)
    up = run(start=start, rule=rule)[0]
    down = run(linear(-1.0), start=start, rule=rule)[0]
    assert np.allclose(up, start.clip(min=8 / 255))
    assert np.allclose(down, start.clip(max=-8 / 255))


def test_step_falls_linearly_to_its_last_value():
    rule = replace(RULE, first_step=0.3, last_step=0.1)
    assert np.allclose(run(rule=rule)[0], (0.3 + 0.2 + 0.1) * 8 / 255)


def test_momentum_continues_where_a_plain_step_reverses():
    def turning(picture, iteration):
        return linear(1.0 if iteration < 2 else -1.0)(picture, iteration)

    rule = replace(RULE, first_step=0.2, last_step=0.2)
    plain = run(turning, rule=rule)[0]
    carried = run(turning, rule=replace(rule, momentum=1.0))[0]
    assert np.allclose(plain, 0.2 * 8 / 255)
    assert np.allclose(carried, 0.6 * 8 / 255, atol=1e-6)


def test_soft_step_is_proportional_below_the_threshold():
    weights = np.ones_like(PICTURE)
    weights[..., 0] = 0.0
    weights[..., 1] = 7.0  # the mean is 2.25
    rule = replace(RULE, iterations=1, first_step=1.0, softness=2.0)
    moved = run(linear(weights), rule=rule)[0] * 255 / 8
    assert np.allclose(moved[..., 0], 0)
    assert np.allclose(moved[..., 1], 1)
    assert np.allclose(moved[..., 2], 1 / 4.5, atol=1e-4)


def test_picture_stays_in_range():
    assert np.abs(run(picture=np.ones_like(PICTURE))[0]).max() == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_gradient_leaves_the_picture_finite(value):
    assert np.isfinite(run(linear(value))[0]).all()


def test_uniform_start_follows_seed_and_keeps_earlier_changes():
    rule = replace(RULE, iterations=0, start_noise=1.0)
    start = np.zeros_like(PICTURE)
    start[..., 0] = 2 / 255
    first = run(rule=rule, seed=1, start=start)[0]
    assert np.array_equal(first, run(rule=rule, seed=1, start=start)[0])
    assert not np.array_equal(first, run(rule=rule, seed=2, start=start)[0])
    assert np.allclose(first[..., 0], start[..., 0], atol=1e-6)
    assert np.abs(first[..., 1:]).max() > 4 / 255


def test_plateau_ends_the_loop():
    rule = replace(RULE, iterations=50, plateau_span=2, plateau_gain=0.01)
    assert run(rule=rule)[1] < 8


def test_steps_are_refined_before_projection():
    refined, _ = run(refine=lambda change: change / 4 + 1, rule=replace(RULE, iterations=2))
    assert np.allclose(refined, 8 / 255)
    assert np.allclose(run(refine=lambda change: change * 0)[0], 0)


def test_terms_and_gradients_are_summed():
    score, gradient = sum_of(linear(2.0), linear(-0.5))(PICTURE, 0)
    assert score == pytest.approx(1.5 * PICTURE.sum())
    assert np.allclose(gradient, 1.5)


def test_start_is_not_modified():
    start = np.full_like(PICTURE, 2 / 255)
    run(start=start)
    assert np.allclose(start, 2 / 255)


def test_progress_is_reported_and_cancellation_stops_within_one_iteration():
    seen: list[Progress] = []

    def stop() -> bool:
        return len(seen) >= 2

    with pytest.raises(Cancelled):
        run(rule=replace(RULE, iterations=9), controls=Controls(seen.append, stop), what="mist")
    assert seen == [Progress("mist", 1, 9), Progress("mist", 2, 9)]
