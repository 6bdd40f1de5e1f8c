"""Validation of protection options."""

from __future__ import annotations

from pathlib import Path

import pytest

from artscraper_runner.errors import InvalidOption, UnknownName
from artscraper_runner.options import SEED_MAX, ProtectionOptions
from artscraper_runner.stages import check_options


@pytest.mark.parametrize(
    ("option", "value", "valid"),
    [("strength", "extreme", "low, medium, high"), ("preset", "fast", "default, published")],
)
def test_unknown_names_list_valid_ones(option, value, valid):
    with pytest.raises(UnknownName, match=valid):
        ProtectionOptions(**{option: value})


@pytest.mark.parametrize("seed", [-1, SEED_MAX + 1])
def test_seed_out_of_range_is_refused(seed):
    with pytest.raises(InvalidOption, match="seed"):
        ProtectionOptions(seed=seed)


@pytest.mark.parametrize("encoder", ["bundle", "vae:", "ensemble:bundled+nothing"])
def test_unknown_encoders_list_valid_ones(encoder):
    with pytest.raises(UnknownName, match="bundled, taesd"):
        check_options(ProtectionOptions(encoder=encoder))


@pytest.mark.parametrize(
    "encoder", ["bundled", "taef2", "vae:some/folder", "ensemble:bundled+taef2"]
)
def test_known_encoders_are_accepted(encoder):
    check_options(ProtectionOptions(encoder=encoder))


def test_target_text_is_a_concept_and_path_a_file():
    check_options(ProtectionOptions(nightshade_target=Path("cat.png")))
    with pytest.raises(UnknownName, match="forest, city, flower"):
        check_options(ProtectionOptions(nightshade_target="cat.png"))
