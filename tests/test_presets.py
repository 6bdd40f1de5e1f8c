"""The published rows hold the publications' numbers."""

from __future__ import annotations

import pytest

from artscraper_runner.attacks.presets import PRESETS, STRENGTHS
from artscraper_runner.options import PRESET_NAMES, STRENGTH_NAMES


@pytest.mark.parametrize(
    ("stage", "budget", "first_step", "last_step", "iterations"),
    [
        ("photoguard", 7.65, 2.55, 0.0255, 1000),
        ("mist", 16.0, 1.0, 1.0, 100),
        ("nightshade", 10.2, 10.2, 0.102, 500),
    ],
)
def test_published_presets_match_the_papers(stage, budget, first_step, last_step, iterations):
    preset = PRESETS[stage]["published"]
    assert preset.rule.first_step * budget == pytest.approx(first_step)
    assert preset.rule.last_step * budget == pytest.approx(last_step)
    assert preset.rule.iterations == iterations
    assert preset.rule.momentum == 0
    assert preset.weights.towards == 1
    assert preset.weights.away == preset.weights.along == 0
    assert preset.scales == (1.0,)
    assert not preset.is_bounded_by_sight


def test_option_names_match_the_tables():
    assert tuple(STRENGTHS) == STRENGTH_NAMES
    assert {tuple(presets) for presets in PRESETS.values()} == {PRESET_NAMES}


def test_strengths_are_4_8_and_16_of_255():
    assert [row.budget for row in STRENGTHS.values()] == [4, 8, 16]


def test_default_preset_uses_two_sizes_and_a_smooth_area_limit():
    preset = PRESETS["photoguard"]["default"]
    assert preset.scales == (1.0, 0.5)
    assert preset.is_bounded_by_sight


def test_only_other_encoders_than_the_bundled_one_get_more_iterations():
    preset = PRESETS["photoguard"]["default"]
    assert preset.rule_for("bundled") == preset.rule
    assert preset.rule_for("taef2").iterations > preset.rule.iterations
    published = PRESETS["photoguard"]["published"]
    assert published.rule_for("taef2") == published.rule


def test_later_attacks_run_fewer_steps():
    first = PRESETS["photoguard"]["default"]
    for stage in PRESETS:
        preset = PRESETS[stage]["default"]
        for encoder in ("bundled", "taef2"):
            assert preset.rule_for(encoder) == first.rule_for(encoder)
            later = preset.rule_for(encoder, after_attack=True)
            assert later.iterations == 6 < preset.rule_for(encoder).iterations
        published = PRESETS[stage]["published"]
        assert published.rule_for("taef2", after_attack=True) == published.rule


def test_large_picture_is_attacked_at_a_coarser_size_with_half_of_the_steps_first():
    preset = PRESETS["mist"]["default"]
    coarse, fine = preset.rules_for("bundled", is_large=True)
    assert (coarse.iterations, fine.iterations) == (4, 1)
    assert preset.rules_for("bundled") == (preset.rule,)
    published = PRESETS["mist"]["published"]
    assert published.rules_for("bundled", is_large=True) == (published.rule,)
