"""The perturbations that a student is trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from training.attacks import AttackMix, draw_bounds, perturbed

PICTURES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
BUDGETS = torch.tensor([4.0, 8.0, 16.0]).view(-1, 1, 1, 1) / 255


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.Tanh())


def attack(network: nn.Module, *, steps: int, towards: bool, two_sizes: bool) -> torch.Tensor:
    return perturbed(
        network,
        PICTURES,
        steps=steps,
        budget=BUDGETS,
        towards=torch.full((3,), towards),
        two_sizes=two_sizes,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.mark.parametrize("steps", [0, 1, 4])
@pytest.mark.parametrize("two_sizes", [False, True])
def test_each_picture_keeps_its_budget_and_range(
    network: nn.Module, steps: int, two_sizes: bool
) -> None:
    attacked = attack(network, steps=steps, towards=False, two_sizes=two_sizes)
    change = (attacked - PICTURES).abs().amax((1, 2, 3), keepdim=True)
    assert (change <= BUDGETS + 1e-6).all()
    assert (change > BUDGETS / 2).all()
    assert attacked.min() >= 0
    assert attacked.max() <= 1


def test_away_moves_latents_further_than_the_start(network: nn.Module) -> None:
    start = attack(network, steps=0, towards=False, two_sizes=False)
    end = attack(network, steps=4, towards=False, two_sizes=False)
    original = network(PICTURES)
    far = (network(end) - original).norm() / (network(start) - original).norm()
    assert far > 3


def test_towards_approaches_the_next_latent(network: nn.Module) -> None:
    aims = network(PICTURES).roll(1, 0)
    start = attack(network, steps=0, towards=True, two_sizes=False)
    end = attack(network, steps=4, towards=True, two_sizes=False)
    distances = [(network(x) - aims).square().mean((1, 2, 3)) for x in (end, start)]
    assert (distances[0] < distances[1]).all()


def test_same_seed_makes_the_same_attack(network: nn.Module) -> None:
    first, second = (attack(network, steps=2, towards=False, two_sizes=True) for _ in range(2))
    assert torch.equal(first, second)


def test_bounds_are_uniform_budgets_or_perceptual_maps() -> None:
    pictures = torch.rand(30, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pictures[:, :, :, :16] = 0.5
    mix = AttackMix(budgets=(16,), mapped=0.5, mapped_budgets=(4, 8))
    bounds = draw_bounds(np.random.default_rng(0), mix, pictures) * 255
    assert bounds.shape == (30, 1, 32, 32)
    is_uniform = (bounds == bounds[:, :, :1, :1]).flatten(1).all(1)
    assert 5 < int(is_uniform.sum()) < 25
    assert torch.allclose(bounds[is_uniform], torch.tensor(16.0))
    mapped = bounds[~is_uniform]
    assert (mapped > 0).all()
    assert (mapped <= 8 + 1e-4).all()
    assert (mapped[:, :, 16, 2] < mapped[:, :, 16, 30]).all()
