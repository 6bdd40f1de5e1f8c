"""The attacks on a picture that is larger than the size they begin at, here 256 px."""

from __future__ import annotations

from functools import partial

import numpy as np

from artscraper_runner.attacks.evaluation import Observer, random_signs
from artscraper_runner.attacks.scaling import scaled_picture, working_size
from artscraper_runner.latent import attack
from artscraper_runner.models import load_encoder
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.stages import load_stage
from artscraper_runner.stages.stage import StageInput
from artscraper_runner.types import Controls


def attacked(pixels, controls):
    inputs = StageInput(pixels, pixels, None, ProtectionOptions(), controls)
    return load_stage("mist").apply(inputs)


def test_large_picture_is_refined_at_a_finer_size(textured, monkeypatch):
    large, seen = np.tile(textured, (4, 3, 1))[:320, :320], []
    monkeypatch.setattr(attack, "working_size", partial(working_size, short_side=256))
    monkeypatch.setattr(attack, "fine_size", lambda height, width: (height, width))
    result = attacked(large, Controls(seen.append))
    assert result.metrics["iterations"] == 5
    assert [(each.done, each.total) for each in seen] == [(step, 5) for step in range(1, 6)]
    monkeypatch.setattr(attack, "fine_size", lambda height, width: None)
    coarse = attacked(large, Controls())
    assert coarse.metrics["iterations"] == 8
    observer = Observer(load_encoder("bundled"))
    original, refined, unrefined = (
        scaled_picture(each, large.shape[:2]) for each in (large, result.pixels, coarse.pixels)
    )
    times_noise, unrefined_times_noise = (
        observer.displacement(original, each)
        / observer.displacement(original, random_signs(original, like=each))
        for each in (refined, unrefined)
    )
    assert times_noise > 1.2 * unrefined_times_noise
