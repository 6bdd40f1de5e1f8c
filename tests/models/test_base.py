"""The frame around every encoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from artscraper_runner.models.base import Encoder, is_bfloat16_native, padded_to_multiple
from artscraper_runner.models.request import LoadRequest


@pytest.fixture
def encoder() -> Encoder:
    network = nn.Conv2d(3, 4, 8, stride=8)
    return Encoder(network, name="toy", latent_channels=4, stride=8, request=LoadRequest())


@pytest.mark.parametrize(
    "pictures",
    [
        torch.rand(3, 8, 8),
        torch.rand(1, 4, 8, 8),
        torch.rand(1, 3, 0, 8),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
    ],
)
def test_other_shapes_and_types_are_refused(encoder: Encoder, pictures: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected floating point pictures \(N, 3, H, W\)"):
        encoder(pictures)


def test_padding_reflects_to_the_right_and_below() -> None:
    row = torch.arange(5.0).view(1, 1, 1, 5).repeat(1, 1, 5, 1)
    padded = padded_to_multiple(row, 8)
    assert padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]


def test_padding_repeats_the_edge_of_what_is_too_small_to_reflect() -> None:
    padded = padded_to_multiple(torch.full((1, 3, 1, 2), 0.25), 8)
    assert padded.shape == (1, 3, 8, 8)
    assert (padded == 0.25).all()


def test_a_picture_of_fitting_size_is_left_as_it_is() -> None:
    picture = torch.rand(1, 3, 16, 8)
    assert padded_to_multiple(picture, 8) is picture


def test_bfloat16_can_be_asked_for_and_declined() -> None:
    network = nn.Conv2d(3, 4, 8, stride=8)
    for wanted in (True, False):
        request = LoadRequest(bfloat16=wanted)
        made = Encoder(network, name="toy", latent_channels=4, stride=8, request=request)
        assert made.is_bfloat16 is wanted
    asked = Encoder(network, name="toy", latent_channels=4, stride=8, request=LoadRequest())
    assert asked.is_bfloat16 is is_bfloat16_native(torch.device("cpu"))
