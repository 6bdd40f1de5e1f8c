"""The loop's steps against hand-computed ones, its bounds, and how it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from artscraper_runner.attacks.pgd import optimise
from artscraper_runner.attacks.presets import StepRule
from artscraper_runner.errors import Cancelled
from artscraper_runner.types import Controls, Progress

RULE = StepRule(iterations=3, first_step=0.5, last_step=0.5, momentum=0.0, start_noise=0.0)
PICTURE = torch.full((1, 3, 4, 4), 0.5)
BOUND = torch.full((1, 1, 4, 4), 8 / 255)


def brighter(pictures: torch.Tensor, iteration: int) -> torch.Tensor:
    return pictures.sum()


def run(objective=brighter, *, picture=PICTURE, rule=RULE, seed=0, start=None, **more):
    more.setdefault("controls", Controls())
    begin = torch.zeros_like(picture) if start is None else start
    return optimise(
        picture, start=begin, bound=BOUND, objective=objective, rule=rule, seed=seed, **more
    )


def test_sign_steps_add_up_until_the_bound():
    one = run(rule=replace(RULE, iterations=1)).perturbation
    assert torch.allclose(one, torch.full_like(PICTURE, 4 / 255))
    assert torch.allclose(run().perturbation, torch.full_like(PICTURE, 8 / 255))


@pytest.mark.parametrize("sign", [1, -1])
def test_what_had_passed_the_bound_may_stay_and_not_turn_as_far_the_other_way(sign: int):
    start = sign * torch.full_like(PICTURE, 12 / 255)
    rule = replace(RULE, iterations=9)
    up = run(start=start, rule=rule).perturbation
    down = run(lambda pictures, _: -pictures.sum(), start=start, rule=rule).perturbation
    assert torch.allclose(up, start.clamp(min=8 / 255))
    assert torch.allclose(down, start.clamp(max=-8 / 255))


def test_the_step_falls_linearly_to_its_last_value():
    rule = replace(RULE, first_step=0.3, last_step=0.1)
    expected = (0.3 + 0.2 + 0.1) * 8 / 255
    assert torch.allclose(run(rule=rule).perturbation, torch.full_like(PICTURE, expected))


def test_momentum_goes_on_where_a_plain_step_turns_back():
    def turning(pictures: torch.Tensor, iteration: int) -> torch.Tensor:
        return pictures.sum() * (1.0 if iteration < 2 else -1.0)

    rule = replace(RULE, first_step=0.2, last_step=0.2)
    plain = run(turning, rule=rule).perturbation
    carried = run(turning, rule=replace(rule, momentum=1.0)).perturbation
    assert torch.allclose(plain, torch.full_like(PICTURE, 0.2 * 8 / 255))
    assert torch.allclose(carried, torch.full_like(PICTURE, 0.6 * 8 / 255), atol=1e-6)


def test_a_soft_step_is_in_proportion_below_the_threshold():
    weights = torch.ones_like(PICTURE)
    weights[..., 0] = 0.0
    weights[..., 1] = 7.0  # the mean is 2.25

    def weighted(pictures: torch.Tensor, iteration: int) -> torch.Tensor:
        return (pictures * weights).sum()

    rule = replace(RULE, iterations=1, first_step=1.0, softness=2.0)
    moved = run(weighted, rule=rule).perturbation * 255 / 8
    assert torch.allclose(moved[..., 0], torch.tensor(0.0))
    assert torch.allclose(moved[..., 1], torch.tensor(1.0))
    assert torch.allclose(moved[..., 2], torch.tensor(1 / 4.5), atol=1e-4)


def test_the_picture_stays_in_range():
    white = torch.ones_like(PICTURE)
    assert run(picture=white).perturbation.abs().max() == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_gradient_leaves_the_picture_finite(value):
    def broken(pictures: torch.Tensor, iteration: int) -> torch.Tensor:
        return pictures.sum() * value

    assert run(broken).perturbation.isfinite().all()


def test_the_uniform_start_follows_the_seed_and_spares_what_was_changed_before():
    rule = replace(RULE, iterations=0, start_noise=1.0)
    start = torch.zeros_like(PICTURE)
    start[..., 0] = 2 / 255
    first = run(rule=rule, seed=1, start=start).perturbation
    assert torch.equal(first, run(rule=rule, seed=1, start=start).perturbation)
    assert not torch.equal(first, run(rule=rule, seed=2, start=start).perturbation)
    assert torch.allclose(first[..., 0], start[..., 0], atol=1e-6)
    assert first[..., 1:].abs().max() > 4 / 255


def test_a_plateau_ends_the_loop():
    rule = replace(RULE, iterations=50, plateau_span=2, plateau_gain=0.01)
    assert run(rule=rule).iterations < 8


def test_progress_is_told_and_cancelling_stops_within_one_iteration():
    seen: list[Progress] = []

    def stop() -> bool:
        return len(seen) >= 2

    with pytest.raises(Cancelled):
        run(rule=replace(RULE, iterations=9), controls=Controls(seen.append, stop), what="mist")
    assert seen == [Progress("mist", 1, 9), Progress("mist", 2, 9)]
