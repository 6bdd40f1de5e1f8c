"""The contract that every registered stage of one attack keeps, and the job's single budget."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.attacks.evaluation import Observer, random_signs
from artscraper_runner.attacks.presets import STRENGTHS
from artscraper_runner.attacks.scaling import scaled_picture
from artscraper_runner.attacks.transforms import to_pixels
from artscraper_runner.errors import PictureError
from artscraper_runner.latent import encoders
from artscraper_runner.models import load_encoder
from artscraper_runner.stages import load_stage, stage_names

from .attack_layers import (
    ATTACKS,
    applied,
    default_layer,
    inputs_for,
    largest,
    reopened,
    shared_bound,
)


def test_attacks_are_registered_in_order():
    assert stage_names()[:4] == ("fawkes", "photoguard", "mist", "nightshade")
    assert ATTACKS == ["photoguard", "mist", "nightshade"]


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize(("strength", "budget"), [("low", 4), ("medium", 8), ("high", 16)])
def test_budget_holds_after_saving(name, strength, budget, textured):
    part = textured[24:72, 48:96]
    saved = reopened(applied(name, part, strength=strength))
    assert saved.shape == part.shape
    assert saved.dtype == np.uint8
    assert 0 < largest(part, saved) <= budget


@pytest.mark.parametrize("name", ATTACKS)
def test_same_seed_gives_the_same_bytes(name, textured):
    part = textured[24:72, 48:96]
    first = applied(name, part, seed=7)
    assert np.array_equal(first, applied(name, part, seed=7))
    assert not np.array_equal(first, applied(name, part, seed=8))


@pytest.mark.parametrize("name", ATTACKS)
def test_effect_beats_random_signs_of_the_same_error(name, kodak):
    layer = default_layer(name, kodak)
    seen = Observer(load_encoder("bundled"))
    original, changed = (scaled_picture(pixels, kodak.shape[:2]) for pixels in (kodak, layer))
    noise = seen.displacement(original, random_signs(original, like=changed))
    assert seen.displacement(original, changed) > 1.5 * noise


def test_stages_share_one_budget_and_keep_earlier_effects(kodak):
    layer, effects = kodak, []
    for name in ATTACKS:
        stage, inputs = load_stage(name), inputs_for(kodak, before=layer)
        inputs = replace(inputs, visibility=shared_bound(name))
        layer = stage.apply(inputs).pixels
        measured = stage.measure(layer, inputs)
        assert largest(kodak, layer) <= 8
        assert measured["effective"] is True
        assert measured["own_times_noise"] >= 1.3
        assert measured["effect"]["plain"] >= 0.95 * measured["effect_before"]
        effects.append(measured["effect"]["plain"])
    assert effects[-1] >= 0.95 * max(effects)


@pytest.mark.parametrize("name", ATTACKS)
def test_measurements_compare_the_change_with_noise(name, kodak):
    stage, inputs = load_stage(name), inputs_for(kodak)
    layer = default_layer(name, kodak)
    measured = stage.measure(layer, inputs)
    assert measured["encoder"] == "bundled"
    assert set(measured["effect"]) == {"plain"}
    assert measured["unattacked"] is None
    assert stage.measure(kodak, inputs)["effective"] is False
    final = stage.measure_final(layer, inputs)["effect"]
    assert set(final) == {"plain", "jpeg_75", "halved"}
    assert final["plain"] == measured["effect"]["plain"]


@pytest.mark.parametrize("name", ATTACKS)
def test_change_matched_by_noise_is_not_effective(name, kodak):
    like = np.clip(kodak.astype(int) + 5, 0, 255).astype(np.uint8)
    size = kodak.shape[:2]
    noisy = random_signs(scaled_picture(kodak, size), like=scaled_picture(like, size))
    layer = to_pixels(noisy)
    measured = load_stage(name).measure(layer, inputs_for(kodak))
    assert measured["times_noise"]["plain"] == pytest.approx(1, abs=0.2)
    assert measured["effective"] is False


@pytest.mark.parametrize("name", ATTACKS[1:])
def test_stage_is_not_credited_for_the_previous_layer(name, kodak):
    before = default_layer("photoguard", kodak)
    measured = load_stage(name).measure(before, inputs_for(kodak, before=before))
    assert measured["times_noise"]["plain"] > 1.5
    assert measured["own_effect"] == 0
    assert measured["own_times_noise"] is None
    assert measured["effective"] is False


def test_stage_adding_noise_is_not_effective(kodak):
    before = default_layer("photoguard", kodak)
    signs = np.random.default_rng(4).choice([-2, 2], before.shape)
    layer = np.clip(before + signs, 0, 255).astype(np.uint8)
    measured = load_stage("mist").measure(layer, inputs_for(kodak, before=before))
    assert measured["times_noise"]["plain"] > 1.5
    assert measured["own_times_noise"] == pytest.approx(1, abs=0.2)
    assert measured["effective"] is False


def test_stage_undoing_the_previous_layer_is_not_effective(kodak):
    before = default_layer("photoguard", kodak)
    layer = ((kodak.astype(int) + before) // 2).astype(np.uint8)
    measured = load_stage("mist").measure(layer, inputs_for(kodak, before=before))
    assert min(measured["times_noise"]["plain"], measured["own_times_noise"]) > 1.5
    assert measured["effective"] is False


def test_own_effect_excludes_the_change_by_lossy_coding(kodak):
    stage, inputs = load_stage("mist"), inputs_for(kodak, before=default_layer("photoguard", kodak))
    inputs = replace(inputs, visibility=2 * STRENGTHS["medium"].visibility)
    layer = stage.apply(inputs).pixels
    saved = reopened(layer, "JPEG", quality=95, subsampling=0)
    measured = stage.measure(saved, replace(inputs, made=layer))
    assert measured["effect"] != stage.measure(layer, inputs)["effect"]
    assert measured["own_effect"] == stage.measure(layer, inputs)["own_effect"]
    assert measured["effective"] is True


def cut_out(pixels):
    """`pixels` on black, and the alpha that shows a disc of them."""
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    middle = np.array(pixels.shape[:2]) / 2
    shown = np.hypot(rows - middle[0], columns - middle[1]) < min(middle) * 0.7
    return pixels * shown[..., None].astype(np.uint8), shown.astype(np.uint8) * 255


def test_cut_out_is_protected_where_visible(kodak):
    original, alpha = cut_out(kodak)
    layer = original
    for name in ATTACKS:
        stage, inputs = load_stage(name), inputs_for(original, before=layer, alpha=alpha)
        inputs = replace(inputs, visibility=shared_bound(name))
        layer = stage.apply(inputs).pixels
        measured = stage.measure(layer, inputs)
        assert np.array_equal(layer[alpha == 0], original[alpha == 0])
        assert largest(original, layer) <= 8
        assert measured["effective"] is True
    assert measured["times_noise"]["plain"] > 2
    final = stage.measure_final(layer, inputs)
    assert final["effect"]["plain"] == measured["effect"]["plain"]


def test_noise_of_a_cut_out_is_limited_to_visible_pixels(kodak):
    original, alpha = cut_out(kodak)
    like = np.clip(original.astype(int) + 5, 0, 255).astype(np.uint8)
    visible = (alpha == 255).astype(np.float32)[None, None]
    size = kodak.shape[:2]
    noisy = random_signs(
        scaled_picture(original, size), like=scaled_picture(like, size), visible=visible
    )
    layer = to_pixels(noisy)
    measured = load_stage("photoguard").measure(layer, inputs_for(original, alpha=alpha))
    assert measured["times_noise"]["plain"] == pytest.approx(1, abs=0.2)
    assert measured["effective"] is False


def test_transparent_picture_is_unchanged_and_not_effective(textured):
    alpha = np.zeros(textured.shape[:2], np.uint8)
    stage, inputs = load_stage("photoguard"), inputs_for(textured, alpha=alpha)
    layer = stage.apply(inputs).pixels
    assert np.array_equal(layer, textured)
    assert stage.measure(layer, inputs)["effective"] is False


@pytest.mark.parametrize("name", ATTACKS)
def test_opaque_alpha_changes_nothing(name, textured):
    alpha = np.full(textured.shape[:2], 255, np.uint8)
    stage, with_alpha, without = (
        load_stage(name),
        inputs_for(textured, alpha=alpha),
        inputs_for(textured),
    )
    layer = stage.apply(with_alpha).pixels
    assert np.array_equal(layer, default_layer(name, textured))
    assert stage.measure(layer, with_alpha) == stage.measure(layer, without)


ODD_PICTURES = {
    "1x1": np.full((1, 1, 3), 200, np.uint8),
    "flat": np.full((32, 32, 3), 128, np.uint8),
    "long": np.tile(np.arange(3000, dtype=np.uint16)[None, :, None] % 256, (20, 1, 3)),
    "black": np.zeros((40, 56, 3), np.uint8),
    "white": np.full((33, 47, 3), 255, np.uint8),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("kind", ODD_PICTURES)
def test_unusual_pictures_are_protected(name, kind):
    pixels = ODD_PICTURES[kind].astype(np.uint8)
    stage, inputs = load_stage(name), inputs_for(pixels)
    layer = stage.apply(inputs).pixels
    assert layer.shape == pixels.shape
    assert largest(pixels, layer) <= 8
    measured = stage.measure(layer, inputs)
    assert np.isfinite(list(measured["effect"].values())).all()


def test_grey_picture_has_no_grey_target_or_noise_after_jpeg():
    grey = ODD_PICTURES["flat"]
    stage, inputs = load_stage("photoguard"), inputs_for(grey)
    layer = stage.apply(inputs).pixels
    assert stage.measure(layer, inputs)["progress_to_target"] is None
    final = stage.measure_final(layer, inputs)
    assert final["effect"]["jpeg_75"] > 0.3
    assert final["times_noise"]["jpeg_75"] is None
    assert load_stage("mist").measure(grey, inputs)["progress_to_target"] == 0


@pytest.mark.usefixtures("one_iteration")
def test_large_picture_is_changed_at_full_size(kodak):
    pixels = np.asarray(Image.fromarray(kodak).resize((656, 640)))
    result = load_stage("photoguard").apply(inputs_for(pixels))
    assert result.pixels.shape == pixels.shape
    assert result.processing_size == (528, 512)
    assert result.metrics["iterations"] == 2, "one at each of its two sizes"
    assert 0 < largest(pixels, result.pixels) <= 8


def test_nightshade_moves_towards_a_custom_target(kodak, textured, tmp_path):
    path = tmp_path / "target.png"
    Image.fromarray(textured).save(path)
    stage, inputs = load_stage("nightshade"), inputs_for(kodak, nightshade_target=path)
    assert stage.measure(stage.apply(inputs).pixels, inputs)["progress_to_target"] > 0.01


def test_invalid_target_picture_is_refused(textured, tmp_path):
    path = tmp_path / "target.png"
    path.write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"^nightshade_target: expected"):
        applied("nightshade", textured, nightshade_target=path)


def test_published_preset_has_the_papers_iterations(textured):
    result = load_stage("mist").apply(inputs_for(textured[:32, :32], preset="published"))
    assert result.metrics["iterations"] == 100


def test_layer_does_not_depend_on_thread_count(textured, monkeypatch):
    layers = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        encoders._kept.cache_clear()
        layers.append(applied("photoguard", textured, seed=3))
    encoders._kept.cache_clear()
    assert all(np.array_equal(layers[0], layer) for layer in layers[1:])
