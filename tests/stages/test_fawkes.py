"""Cloaked faces: another person to the recogniser, within the budget, through every border."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from artscraper_runner.attacks.evaluation import random_signs
from artscraper_runner.attacks.transforms import RGB_TO_YCC, to_picture, to_pixels
from artscraper_runner.errors import Cancelled, InvalidOption, MissingDependency, StageFailed
from artscraper_runner.faces import network
from artscraper_runner.faces.detection import find_faces, landmark_alignment
from artscraper_runner.faces.evaluation import face_records
from artscraper_runner.faces.geometry import aligned_face
from artscraper_runner.faces.network import face_network
from artscraper_runner.faces.presets import (
    DEFAULT_CLOAK,
    DEGRADED_TARGET_DISTANCE,
    PLAIN_TARGET_DISTANCE,
)
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.protection_pipeline import WorkflowConfig, protect_picture
from artscraper_runner.stages import load_stage
from artscraper_runner.stages.stage import StageInput
from artscraper_runner.types import Controls
from tests.faces.conftest import images, opened, portrait  # noqa: F401  fixtures

pytestmark = pytest.mark.system

ROUNDING = 0.2  # of 255; what whole levels add to a blurred change


def inputs_for(
    pixels, *, alpha=None, controls=None, stages_explicit=False, **options
) -> StageInput:
    return StageInput(
        pixels,
        pixels,
        alpha,
        ProtectionOptions(**options),
        controls or Controls(),
        stages_explicit=stages_explicit,
    )


def cloaked(pixels, **options):
    return load_stage("fawkes").apply(inputs_for(pixels, **options)).pixels


def largest(before, after) -> int:
    return int(np.abs(before.astype(int) - after.astype(int)).max())


@pytest.fixture(scope="module")
def smooth(portrait):  # noqa: F811
    """The portrait without texture that could hide a change of low frequency."""
    return ndimage.gaussian_filter(portrait, (2, 2, 0))


def max_low_frequency(before, after) -> float:
    """Return the largest luma or chroma that the blur leaves of a change, of 255."""
    change = (after.astype(np.float64) - before) @ np.array(RGB_TO_YCC).T
    blur = (DEFAULT_CLOAK.blur, DEFAULT_CLOAK.blur, 0)
    return float(np.abs(ndimage.gaussian_filter(change, blur, truncate=3)).max())


@pytest.fixture(scope="module")
def layer(portrait):  # noqa: F811
    return cloaked(portrait)


def test_face_is_recognised_as_another_within_the_budget(portrait, layer):  # noqa: F811
    assert 0 < largest(portrait, layer) <= 8
    (record,) = load_stage("fawkes").measure(layer, inputs_for(portrait))["faces"]
    for view in ("plain", "jpeg_75", "halved"):
        assert record["distance"][view] > 0.75
        assert record["distance"][view] > 3 * record["noise_distance"][view]
        assert record["is_another_person"][view] is True
    assert 0 < record["dssim"] < 0.1


def test_random_signs_do_not_cloak(portrait, layer):  # noqa: F811
    noisy = to_pixels(random_signs(to_picture(portrait), like=to_picture(layer)))
    (record,) = face_records(portrait, noisy, find_faces(portrait))
    assert record["distance"]["plain"] < 0.3
    assert record["is_another_person"]["plain"] is False


def test_same_seed_gives_the_same_bytes(portrait, layer):  # noqa: F811
    assert np.array_equal(layer, cloaked(portrait))
    assert not np.array_equal(layer, cloaked(portrait, seed=1))


def test_cloak_stays_near_the_face(portrait, layer):  # noqa: F811
    change = np.abs(layer.astype(int) - portrait).max(2)
    (face,) = find_faces(portrait)
    low = np.floor(face.alignment.corners().min(0)).astype(int)
    high = np.ceil(face.alignment.corners().max(0)).astype(int) + 1
    inside = np.zeros(change.shape, bool)
    inside[max(0, low[1]) : high[1], max(0, low[0]) : high[0]] = True
    assert change[~inside].max(initial=0) == 0
    row = min(high[1] - 3, change.shape[0] - 1)
    assert change[row, low[0] : high[0]].max() <= 2


@pytest.mark.parametrize(("strength", "budget"), [("low", 4), ("medium", 8), ("high", 16)])
def test_strength_bounds_the_change_and_its_low_frequencies(smooth, tmp_path, strength, budget):
    Image.fromarray(cloaked(smooth, strength=strength)).save(tmp_path / "layer.png")
    saved = opened(tmp_path / "layer.png")
    assert 0 < largest(smooth, saved) <= budget
    assert (
        0
        < max_low_frequency(smooth, saved)
        <= 1.2 * DEFAULT_CLOAK.low_frequency * budget + ROUNDING
    )


def test_cloak_is_no_stronger_than_needed(portrait, layer):  # noqa: F811
    (record,) = load_stage("fawkes").measure(layer, inputs_for(portrait))["faces"]
    enough = dict.fromkeys(("jpeg_75", "halved"), DEGRADED_TARGET_DISTANCE)
    enough["plain"] = PLAIN_TARGET_DISTANCE
    shares = [record["distance"][view] / enough[view] for view in enough]
    assert 0.9 < min(shares) < 1.06


def test_picture_without_face_is_skipped(textured):
    result = load_stage("fawkes").apply(inputs_for(textured))
    assert result.pixels is None and result.reason == "no face found"


def test_several_faces_are_cloaked(portrait):  # noqa: F811
    (face,) = find_faces(portrait)
    cut = portrait[face.box[1] - 8 :, :]
    both = np.zeros((len(cut), 520, 3), np.uint8)
    both[:, :260], both[:, 260:] = cut, cut[:, ::-1]
    assert len(find_faces(both)) == 2
    records = load_stage("fawkes").measure(cloaked(both), inputs_for(both))["faces"]
    assert all(record["distance"]["plain"] > 0.7 for record in records)


def test_overlapping_faces_are_all_cloaked(portrait):  # noqa: F811
    (face,) = find_faces(portrait)
    left, _, width, _ = face.box
    one = portrait[:, left - 8 : left + width + 8]
    both = np.hstack([one, one])
    faces = find_faces(both)
    assert len(faces) == 2
    reach = [face.alignment.corners()[:, 0] for face in sorted(faces, key=lambda each: each.box)]
    assert reach[0].max() > reach[1].min()
    records = load_stage("fawkes").measure(cloaked(both), inputs_for(both))["faces"]
    assert all(record["distance"]["plain"] > 0.7 for record in records)


def test_transparent_pixels_are_unchanged(portrait, layer):  # noqa: F811
    alpha = np.full(portrait.shape[:2], 255, np.uint8)
    alpha[:, :110] = 0
    changed = cloaked(portrait, alpha=alpha)
    assert np.array_equal(changed[:, :110], portrait[:, :110])
    assert not np.array_equal(layer[:, :110], portrait[:, :110])
    assert largest(portrait, changed) > 0


def test_cancellation_stops_within_one_iteration(portrait):  # noqa: F811
    seen = []
    controls = Controls(seen.append, lambda: len(seen) >= 2)
    with pytest.raises(Cancelled):
        cloaked(portrait, controls=controls)
    assert len(seen) == 2
    assert seen[0].what.startswith("fawkes, face 1 of 1")


def test_published_preset_keeps_dssim_and_budget(portrait):  # noqa: F811
    inputs = inputs_for(portrait, preset="published", strength="low")
    result = load_stage("fawkes").apply(inputs)
    assert result.metrics["iterations"] == [40]
    assert 0 < largest(portrait, result.pixels) <= 4
    (record,) = load_stage("fawkes").measure(result.pixels, inputs)["faces"]
    assert record["dssim"] <= 1.2 * 0.004
    assert record["distance"]["plain"] > 2 * record["noise_distance"]["plain"]


def test_cloak_approaches_a_target(portrait, images, tmp_path):  # noqa: F811
    path = images / "photos" / "kodak_04.png"
    changed = cloaked(portrait, fawkes_target=path)
    (face,), (other,) = find_faces(portrait), find_faces(other_pixels := opened(path))
    recogniser = face_network()
    aim = recogniser.embeddings(aligned_face(other_pixels, other.alignment))
    before = recogniser.embeddings(aligned_face(portrait, face.alignment))
    alignment = landmark_alignment(changed, face.box)
    after = recogniser.embeddings(aligned_face(changed, alignment))
    assert np.linalg.norm(after - aim) < 0.6 * np.linalg.norm(before - aim)


def test_target_must_show_another_person(portrait, textured, tmp_path):  # noqa: F811
    Image.fromarray(portrait).save(tmp_path / "same.png")
    with pytest.raises(InvalidOption, match="another person"):
        cloaked(portrait, fawkes_target=tmp_path / "same.png")
    Image.fromarray(textured).save(tmp_path / "none.png")
    with pytest.raises(InvalidOption, match="found none"):
        cloaked(portrait, fawkes_target=tmp_path / "none.png")


def test_later_attacks_keep_the_cloak(portrait, layer):  # noqa: F811
    pixels, before = layer, ["fawkes"]
    for name in ("photoguard", "mist", "nightshade"):
        inputs = replace(inputs_for(portrait), pixels=pixels, stages_before=tuple(before))
        pixels = load_stage(name).apply(inputs).pixels
        before.append(name)
    assert largest(portrait, pixels) <= 8
    (record,) = load_stage("fawkes").measure_final(pixels, inputs_for(portrait))["faces"]
    assert record["distance"]["plain"] >= 0.7


@pytest.fixture
def without_faces(monkeypatch):
    """Simulate a missing extra: neither dlib nor the package of weights is found."""
    real = network.importlib.util.find_spec
    missing = {"dlib", "face_recognition_models"}
    monkeypatch.setattr(
        network.importlib.util,
        "find_spec",
        lambda name, *rest: None if name in missing else real(name, *rest),
    )
    monkeypatch.setitem(sys.modules, "dlib", None)


def test_requested_without_extra_fails_with_install_command(portrait, without_faces):  # noqa: F811
    with pytest.raises(MissingDependency, match=r"pip install .*\[faces\]"):
        cloaked(portrait, stages_explicit=True)


def test_job_requesting_it_without_extra_fails(textured, without_faces, tmp_path):
    Image.fromarray(textured).save(tmp_path / "art.png")
    with pytest.raises(StageFailed, match=r"fawkes.*pip install .*\[faces\]"):
        protect_picture(
            tmp_path / "art.png", tmp_path / "out", config=WorkflowConfig(stages=("fawkes",))
        )


def test_default_without_extra_is_skipped_with_reason(textured, without_faces, tmp_path):
    Image.fromarray(textured).save(tmp_path / "art.png")
    summary = protect_picture(
        tmp_path / "art.png",
        tmp_path / "out",
        config=WorkflowConfig(),
        include_hash_analysis=False,
    )
    row = summary["layers"][1]
    assert row["stage"] == "fawkes" and row["applied"] is False
    assert "[faces]" in row["reason"]
    assert row["path"].endswith("layers/01-fawkes/image.png")
    (project,) = (row for row in summary["projects"] if row["name"] == "Fawkes")
    assert project["applied"] is False and "[faces]" in project["notes"]


def test_summary_has_metrics_of_every_face(portrait, tmp_path):  # noqa: F811
    Image.fromarray(portrait).save(tmp_path / "art.png")
    config = WorkflowConfig(stages=("fawkes", "photoguard"))
    summary = protect_picture(
        tmp_path / "art.png", tmp_path / "out", config=config, include_hash_analysis=False
    )
    metrics = summary["layers"][1]["metrics"]
    assert metrics["linf"] <= 8
    (own,), (final,) = metrics["faces"], metrics["final"]["faces"]
    assert own["distance"]["plain"] > 0.55 and final["distance"]["plain"] >= 0.5
    (project,) = (row for row in summary["projects"] if row["name"] == "Fawkes")
    assert project["applied"] is True


def test_large_face_is_evaluated_in_a_reduced_copy(portrait, layer):  # noqa: F811
    large, changed = (
        np.asarray(Image.fromarray(each).resize((2600, 2600), Image.Resampling.BICUBIC))
        for each in (portrait, layer)
    )
    (small,) = face_records(portrait, layer, find_faces(portrait))
    (record,) = face_records(large, changed, find_faces(large))
    assert (small["shrunk"], record["shrunk"]) == (1, 4)
    assert record["box"][2] > 5 * small["box"][2]
    assert record["distance"]["plain"] == pytest.approx(small["distance"]["plain"], abs=0.15)
    assert record["noise_distance"]["plain"] < 0.3
