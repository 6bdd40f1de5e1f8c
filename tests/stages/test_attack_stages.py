"""The contract that every registered stage of one attack keeps, and the job's single budget."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from artscraper_runner.attacks.evaluation import Observer, random_signs
from artscraper_runner.attacks.presets import strength_named
from artscraper_runner.attacks.scaling import scaled_picture
from artscraper_runner.attacks.transforms import to_pixels
from artscraper_runner.attacks.visibility_budget import stage_bound
from artscraper_runner.errors import Cancelled, OutOfMemory, PictureError
from artscraper_runner.latent import encoders
from artscraper_runner.latent.attack import PictureAttack
from artscraper_runner.models import load_encoder
from artscraper_runner.models.taesd import TaesdNetwork
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.stages import load_stage, stage_names
from artscraper_runner.stages.latent_attack import LatentAttack
from artscraper_runner.stages.stage import StageInput
from artscraper_runner.types import Controls

ATTACKS = [name for name in stage_names() if isinstance(load_stage(name), LatentAttack)]


def shared_bound(name: str) -> float:
    """Return the bound of a stage in a job of all attacks at medium."""
    return stage_bound(strength_named("medium").visibility, name, ATTACKS)


def given_for(pixels, *, before=None, controls=None, **options) -> StageInput:
    alpha = options.pop("alpha", None)
    return StageInput(
        pixels if before is None else before,
        pixels,
        alpha,
        ProtectionOptions(**options),
        controls or Controls(),
        stages_before=("photoguard",) if before is not None else (),
    )


def applied(name, pixels, **options):
    return load_stage(name).apply(given_for(pixels, **options)).pixels


@cache
def _default_layer(name, content, shape):
    layer = applied(name, np.frombuffer(content, np.uint8).reshape(shape).copy())
    layer.setflags(write=False)
    return layer


def default_layer(name, pixels):
    """Return what `applied` makes with default options, attacked once for all tests."""
    return _default_layer(name, pixels.tobytes(), pixels.shape)


def reopened(pixels, how="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, how, **options)
    return np.asarray(Image.open(file))


def largest(before, after) -> int:
    return int(np.abs(before.astype(int) - after.astype(int)).max())


def test_attacks_are_registered_in_order():
    assert stage_names()[:4] == ("fawkes", "photoguard", "mist", "nightshade")
    assert ATTACKS == ["photoguard", "mist", "nightshade"]


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize(("strength", "budget"), [("low", 4), ("medium", 8), ("high", 16)])
def test_budget_holds_after_saving(name, strength, budget, textured):
    saved = reopened(applied(name, textured, strength=strength))
    assert saved.shape == textured.shape
    assert saved.dtype == np.uint8
    assert 0 < largest(textured, saved) <= budget


@pytest.mark.parametrize("name", ATTACKS)
def test_same_seed_gives_the_same_bytes(name, textured):
    first = applied(name, textured, seed=7)
    assert np.array_equal(first, applied(name, textured, seed=7))
    assert not np.array_equal(first, applied(name, textured, seed=8))


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
        stage, given = load_stage(name), given_for(kodak, before=layer)
        given = replace(given, visibility=shared_bound(name))
        layer = stage.apply(given).pixels
        measured = stage.measure(layer, given)
        assert largest(kodak, layer) <= 8
        assert measured["effective"] is True
        assert measured["own_times_noise"] >= 1.3
        assert measured["effect"]["plain"] >= 0.95 * measured["effect_before"]
        effects.append(measured["effect"]["plain"])
    assert effects[-1] >= 0.95 * max(effects)


@pytest.mark.parametrize("name", ATTACKS)
def test_measurements_compare_the_change_with_noise(name, kodak):
    stage, given = load_stage(name), given_for(kodak)
    layer = default_layer(name, kodak)
    measured = stage.measure(layer, given)
    assert measured["encoder"] == "bundled"
    assert set(measured["effect"]) == {"plain"}
    assert measured["unattacked"] is None
    assert stage.measure(kodak, given)["effective"] is False
    final = stage.measure_final(layer, given)["effect"]
    assert set(final) == {"plain", "jpeg_75", "halved"}
    assert final["plain"] == measured["effect"]["plain"]


@pytest.mark.parametrize("name", ATTACKS)
def test_change_matched_by_noise_is_not_effective(name, kodak):
    like = np.clip(kodak.astype(int) + 5, 0, 255).astype(np.uint8)
    size = kodak.shape[:2]
    noisy = random_signs(scaled_picture(kodak, size), like=scaled_picture(like, size))
    layer = to_pixels(noisy)
    measured = load_stage(name).measure(layer, given_for(kodak))
    assert measured["times_noise"]["plain"] == pytest.approx(1, abs=0.2)
    assert measured["effective"] is False


@pytest.mark.parametrize("name", ATTACKS[1:])
def test_stage_is_not_credited_for_the_previous_layer(name, kodak):
    before = default_layer("photoguard", kodak)
    measured = load_stage(name).measure(before, given_for(kodak, before=before))
    assert measured["times_noise"]["plain"] > 1.5
    assert measured["own_effect"] == 0
    assert measured["own_times_noise"] is None
    assert measured["effective"] is False


def test_stage_adding_noise_is_not_effective(kodak):
    before = default_layer("photoguard", kodak)
    signs = np.random.default_rng(4).choice([-2, 2], before.shape)
    layer = np.clip(before + signs, 0, 255).astype(np.uint8)
    measured = load_stage("mist").measure(layer, given_for(kodak, before=before))
    assert measured["times_noise"]["plain"] > 1.5
    assert measured["own_times_noise"] == pytest.approx(1, abs=0.2)
    assert measured["effective"] is False


def test_stage_undoing_the_previous_layer_is_not_effective(kodak):
    before = default_layer("photoguard", kodak)
    layer = ((kodak.astype(int) + before) // 2).astype(np.uint8)
    measured = load_stage("mist").measure(layer, given_for(kodak, before=before))
    assert min(measured["times_noise"]["plain"], measured["own_times_noise"]) > 1.5
    assert measured["effective"] is False


def test_own_effect_excludes_the_change_by_lossy_coding(kodak):
    stage, given = load_stage("mist"), given_for(kodak, before=default_layer("photoguard", kodak))
    given = replace(given, visibility=2 * strength_named("medium").visibility)
    layer = stage.apply(given).pixels
    saved = reopened(layer, "JPEG", quality=95, subsampling=0)
    measured = stage.measure(saved, replace(given, made=layer))
    assert measured["effect"] != stage.measure(layer, given)["effect"]
    assert measured["own_effect"] == stage.measure(layer, given)["own_effect"]
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
        stage, given = load_stage(name), given_for(original, before=layer, alpha=alpha)
        given = replace(given, visibility=shared_bound(name))
        layer = stage.apply(given).pixels
        measured = stage.measure(layer, given)
        assert np.array_equal(layer[alpha == 0], original[alpha == 0])
        assert largest(original, layer) <= 8
        assert measured["effective"] is True
    assert measured["times_noise"]["plain"] > 2
    final = stage.measure_final(layer, given)
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
    measured = load_stage("photoguard").measure(layer, given_for(original, alpha=alpha))
    assert measured["times_noise"]["plain"] == pytest.approx(1, abs=0.2)
    assert measured["effective"] is False


def test_transparent_picture_is_unchanged_and_not_effective(textured):
    alpha = np.zeros(textured.shape[:2], np.uint8)
    stage, given = load_stage("photoguard"), given_for(textured, alpha=alpha)
    layer = stage.apply(given).pixels
    assert np.array_equal(layer, textured)
    assert stage.measure(layer, given)["effective"] is False


@pytest.mark.parametrize("name", ATTACKS)
def test_opaque_alpha_changes_nothing(name, textured):
    alpha = np.full(textured.shape[:2], 255, np.uint8)
    stage, with_alpha, without = (
        load_stage(name),
        given_for(textured, alpha=alpha),
        given_for(textured),
    )
    layer = stage.apply(with_alpha).pixels
    assert np.array_equal(layer, default_layer(name, textured))
    assert stage.measure(layer, with_alpha) == stage.measure(layer, without)


def test_effect_is_measured_on_an_unattacked_encoder(kodak, models_dir):
    stage, given = load_stage("photoguard"), given_for(kodak, models_dir=models_dir)
    measured = stage.measure(stage.apply(given).pixels, given)["unattacked"]
    assert measured["encoder"] == "taef2"
    assert measured["times_noise"]["plain"] > 1


@pytest.mark.system
@pytest.mark.parametrize("encoder", ["taesd", "ensemble:taesd+taef2"])
def test_bundled_encoder_measures_attacks_on_others(encoder, textured, tmp_path):
    for name, channels, pooled in (("taesd", 4, False), ("taef2", 32, True)):
        network = TaesdNetwork(latent_channels=channels, pooled=pooled)
        torch.save(network.state_dict(), tmp_path / f"{name}_encoder.pth")
    if encoder == "taesd":
        (tmp_path / "taef2_encoder.pth").write_bytes(b"PK damaged")
    given = given_for(textured, encoder=encoder, models_dir=tmp_path)
    stage = load_stage("photoguard")
    layer = stage.apply(given).pixels
    for measured in (stage.measure(layer, given), stage.measure_final(layer, given)):
        assert measured["encoder"] == encoder
        assert measured["unattacked"]["encoder"] == "bundled"
        assert measured["unattacked"]["effect"]["plain"] > 0


@pytest.mark.parametrize("damage", ["bytes", "numbers"])
def test_damaged_measuring_encoder_is_only_noted(textured, tmp_path, damage):
    state = TaesdNetwork(latent_channels=32, pooled=True).state_dict()
    state["0.weight"][0] = float("nan")
    torch.save(state, tmp_path / "taef2_encoder.pth")
    if damage == "bytes":
        (tmp_path / "taef2_encoder.pth").write_bytes(b"PK damaged")
    stage, given = load_stage("photoguard"), given_for(textured, models_dir=tmp_path)
    layer = stage.apply(given).pixels
    for measured in (stage.measure(layer, given), stage.measure_final(layer, given)):
        assert measured["effect"]["plain"] > 0
        assert set(measured["unattacked"]) == {"encoder", "error"}
        assert measured["unattacked"]["encoder"] == "taef2"
        assert "taef2_encoder.pth is not usable" in measured["unattacked"]["error"]
        assert str(tmp_path) not in measured["unattacked"]["error"]


def test_damaged_measuring_encoder_is_replaced_by_the_next(textured, tmp_path):
    (tmp_path / "taef2_encoder.pth").write_bytes(b"")
    network = TaesdNetwork(latent_channels=4, pooled=False)
    torch.save(network.state_dict(), tmp_path / "taesd_encoder.pth")
    stage, given = load_stage("photoguard"), given_for(textured, models_dir=tmp_path)
    measured = stage.measure(stage.apply(given).pixels, given)["unattacked"]
    assert measured["encoder"] == "taesd"
    assert "plain" in measured["times_noise"]


ODD_PICTURES = {
    "1x1": np.full((1, 1, 3), 200, np.uint8),
    "flat": np.full((32, 32, 3), 128, np.uint8),
    "long": np.tile(np.arange(8000, dtype=np.uint16)[None, :, None] % 256, (20, 1, 3)),
    "black": np.zeros((40, 56, 3), np.uint8),
    "white": np.full((33, 47, 3), 255, np.uint8),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("kind", ODD_PICTURES)
def test_unusual_pictures_are_protected(name, kind):
    pixels = ODD_PICTURES[kind].astype(np.uint8)
    stage, given = load_stage(name), given_for(pixels)
    layer = stage.apply(given).pixels
    assert layer.shape == pixels.shape
    assert largest(pixels, layer) <= 8
    measured = stage.measure(layer, given)
    assert np.isfinite(list(measured["effect"].values())).all()


def test_grey_picture_has_no_grey_target_or_noise_after_jpeg():
    grey = ODD_PICTURES["flat"]
    stage, given = load_stage("photoguard"), given_for(grey)
    layer = stage.apply(given).pixels
    assert stage.measure(layer, given)["progress_to_target"] is None
    final = stage.measure_final(layer, given)
    assert final["effect"]["jpeg_75"] > 0.3
    assert final["times_noise"]["jpeg_75"] is None
    assert load_stage("mist").measure(grey, given)["progress_to_target"] == 0


def test_large_picture_is_changed_at_full_size(kodak):
    pixels = np.asarray(Image.fromarray(kodak).resize((900, 600)))
    result = load_stage("photoguard").apply(given_for(pixels))
    assert result.pixels.shape == pixels.shape
    assert result.processing_size == (768, 512)
    assert largest(pixels, result.pixels) <= 8


def test_nightshade_moves_towards_a_custom_target(kodak, textured, tmp_path):
    path = tmp_path / "target.png"
    Image.fromarray(textured).save(path)
    stage, given = load_stage("nightshade"), given_for(kodak, nightshade_target=path)
    assert stage.measure(stage.apply(given).pixels, given)["progress_to_target"] > 0.01


def test_invalid_target_picture_is_refused(textured, tmp_path):
    path = tmp_path / "target.png"
    path.write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"^nightshade_target: expected"):
        applied("nightshade", textured, nightshade_target=path)


def test_published_preset_has_the_papers_iterations(textured):
    result = load_stage("mist").apply(given_for(textured[:32, :32], preset="published"))
    assert result.metrics["iterations"] == 100


def test_cancellation_stops_within_one_iteration(textured):
    seen = []
    controls = Controls(seen.append, lambda: len(seen) >= 2)
    with pytest.raises(Cancelled):
        load_stage("photoguard").apply(given_for(textured, controls=controls))
    assert len(seen) == 2


def test_out_of_memory_is_retried_with_less(textured, monkeypatch):
    sizes = []

    def fails(self, size, *rest):
        sizes.append(size)
        raise MemoryError("out of memory")

    monkeypatch.setattr(PictureAttack, "_run_at", fails)
    with pytest.raises(OutOfMemory, match="smaller encoder"):
        applied("mist", textured)
    assert len(sizes) == 2
    assert sizes[0] == (96, 144)
    assert sizes[1][0] * sizes[1][1] < 96 * 144 / 2


@pytest.mark.parametrize("measure", ["measure", "measure_final"])
def test_evaluation_out_of_memory_is_retried_with_less(measure, textured, monkeypatch):
    sizes = []

    def fails(self, picture):
        sizes.append(tuple(picture.shape[2:]))
        raise MemoryError("out of memory")

    stage, given = load_stage("mist"), given_for(textured)
    monkeypatch.setattr(Observer, "latent", fails)
    with pytest.raises(OutOfMemory, match="smaller encoder"):
        getattr(stage, measure)(textured, given)
    assert sizes[0] == (96, 144)
    assert len(sizes) == 2
    assert sizes[1][0] * sizes[1][1] < 96 * 144 / 2


@pytest.mark.parametrize("measure", ["measure", "measure_final"])
def test_effect_is_measured_with_less_memory(measure, textured, monkeypatch):
    whole, failed = Observer.latent, []

    def fails_once(self, picture):
        if not failed:
            failed.append(picture)
            raise MemoryError("out of memory")
        return whole(self, picture)

    stage, given = load_stage("mist"), given_for(textured)
    layer = default_layer("mist", textured)
    monkeypatch.setattr(Observer, "latent", fails_once)
    assert getattr(stage, measure)(layer, given)["effect"]["plain"] > 0.05


def test_retry_with_less_memory_still_protects(textured, monkeypatch):
    whole = PictureAttack._run_at
    failed = []

    def fails_once(self, size, *rest):
        if not failed:
            failed.append(size)
            raise MemoryError("out of memory")
        return whole(self, size, *rest)

    monkeypatch.setattr(PictureAttack, "_run_at", fails_once)
    layer = applied("mist", textured)
    assert 0 < largest(textured, layer) <= 8


def test_layer_does_not_depend_on_thread_count(textured, monkeypatch):
    layers = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        encoders._kept.cache_clear()
        layers.append(applied("photoguard", textured, seed=3))
    encoders._kept.cache_clear()
    assert all(np.array_equal(layers[0], layer) for layer in layers[1:])
