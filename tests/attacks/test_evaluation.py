"""Effects against hand-computed ones, and the noise they are held against."""

from __future__ import annotations

import numpy as np
import pytest

from artscraper_runner.attacks.evaluation import (
    VIEWS,
    Observer,
    effect_record,
    incremental_effect,
    random_signs,
)
from artscraper_runner.errors import NoNumbers
from artscraper_runner.models.protocol import QuadraticObjective


class Means:
    """The mean of each channel: latents that can be computed by hand."""

    name, stride, calls = "means", 1, 0

    def latents(self, pictures):
        self.calls += 1
        return pictures.mean((2, 3))

    def value_and_gradient(self, picture, objective: QuadraticObjective):
        raise AssertionError("nothing is optimised here")


class Broken(Means):
    name = "broken"

    def latents(self, pictures):
        return pictures.mean((2, 3)) * np.float32("nan")


def observer() -> Observer:
    return Observer(Means())


def flat(value: float) -> np.ndarray:
    return np.full((1, 3, 16, 16), value, np.float32)


def noise_like(side: int = 64) -> np.ndarray:
    return np.random.default_rng(2).random((1, 3, side, side), np.float32)


def test_effect_is_the_relative_displacement():
    assert observer().displacement(flat(0.5), flat(0.6)) == pytest.approx(0.2, abs=1e-5)


def test_displacement_since_another_picture_is_relative_to_the_original():
    way = observer().displacement(flat(0.5), flat(0.7), since=flat(0.6))
    assert way == pytest.approx(0.2, abs=1e-5)


def textured(level: float, texture: float) -> np.ndarray:
    return np.float32(level) + np.float32(texture) * (noise_like(16) - np.float32(0.5))


def test_record_separates_own_effect_from_earlier_effect():
    record = incremental_effect(observer(), flat(0.5), flat(0.6), flat(0.6) + np.float32(0.1))
    assert record["effect_before"] == pytest.approx(0.2, abs=1e-4)
    assert record["own_effect"] == pytest.approx(0.2, abs=1e-4)
    assert record["own_times_noise"] > 10


def test_stage_that_reduces_the_effect_is_not_effective():
    back = incremental_effect(observer(), flat(0.5), flat(0.7), textured(0.6, 0.2))
    assert back["own_times_noise"] > 1.3
    assert back["effective"] is False


def test_shaped_noise_is_the_stronger_baseline():
    """A change of random texture is shaped noise itself: it may beat signs, but never that."""
    changed = textured(0.5, 0.2)
    record = effect_record(observer(), flat(0.5), changed, views=("plain",))
    assert record["times_shaped_noise"]["plain"] == pytest.approx(1, abs=0.6)


def test_record_has_the_effect_of_jpeg_for_scale():
    picture = noise_like()
    record = effect_record(observer(), picture, picture, views=("plain",))
    alone = observer().displacement(picture, VIEWS["jpeg_75"](picture))
    assert record["clean_jpeg_75_effect"] == pytest.approx(alone, abs=1e-4)


def test_progress_is_relative_to_the_target_distance():
    seen = observer()
    target = seen.latent(flat(0.6))
    assert seen.progress(flat(0.2), flat(0.4), target) == pytest.approx(0.5, abs=1e-5)
    assert seen.progress(flat(0.2), flat(0.1), target) == pytest.approx(-0.25, abs=1e-5)


@pytest.mark.parametrize("target", [0.2, 0.201])
def test_progress_is_zero_if_the_target_is_the_picture(target):
    seen = observer()
    assert seen.progress(flat(0.2), flat(0.3), seen.latent(flat(target))) is None


def test_black_picture_has_no_relative_displacement():
    assert observer().displacement(flat(0.0), flat(0.5)) == 0


def test_latents_are_computed_once():
    seen = observer()
    for _ in range(3):
        seen.latent(flat(0.5))
    assert seen.encoder.calls == 1


def test_noise_has_the_requested_mean_square_error():
    original = noise_like()
    changed = (original + 0.03).clip(0, 1)
    noisy = random_signs(original, like=changed)
    wanted = np.square(changed - original).mean()
    assert np.square(noisy - original).mean() == pytest.approx(float(wanted), rel=0.01)
    assert noisy.min() >= 0
    assert noisy.max() <= 1


def test_noise_is_limited_to_visible_pixels():
    original = noise_like()
    visible = np.zeros((1, 1, 64, 64), np.float32)
    visible[..., 10:30, 20:50] = 1
    changed = (original + 0.03).clip(0, 1)
    noisy = random_signs(original, like=changed, visible=visible)
    assert ((noisy != original) <= visible.astype(bool)).all()
    wanted = np.square((changed - original) * visible).mean()
    assert np.square(noisy - original).mean() == pytest.approx(float(wanted), rel=0.01)


def test_noise_is_zero_at_hidden_pixels():
    noisy = random_signs(flat(0.5), like=flat(0.9), visible=np.zeros((1, 1, 16, 16), np.float32))
    assert np.array_equal(noisy, flat(0.5))


def test_record_is_recomputed_for_another_visible_part():
    seen, visible = observer(), np.zeros((1, 1, 16, 16), np.float32)
    visible[..., :8] = 1
    changed = flat(0.5) + 0.1 * visible
    whole, part = (
        effect_record(seen, flat(0.5), changed, **how) for how in ({}, {"visible": visible})
    )
    assert whole["effect"] == part["effect"]
    assert whole["noise_effect"] != part["noise_effect"]


def test_record_has_every_view_and_no_effect_without_change():
    record = effect_record(observer(), flat(0.5), flat(0.5))
    assert set(record["effect"]) == set(VIEWS)
    assert record["times_noise"] == dict.fromkeys(VIEWS)
    assert np.allclose(list(record["effect"].values()), 0)


def test_encoder_returning_nan_is_named():
    with pytest.raises(NoNumbers, match="the encoder broken"):
        Observer(Broken()).latent(flat(0.5))
