"""Recognisers other than dlib's: a small program of torch.export, and an ensemble of two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from artscraper_runner import protect
from artscraper_runner.attacks.presets import STRENGTHS
from artscraper_runner.cli.main import main
from artscraper_runner.errors import MissingModel, UnknownName
from artscraper_runner.faces.cloak import Cloaking
from artscraper_runner.faces.detection import find_faces, landmark_alignment
from artscraper_runner.faces.geometry import aligned_face
from artscraper_runner.faces.network import CHIP_SIDE, distances
from artscraper_runner.faces.recognisers import Recogniser, load_recogniser, recogniser_files
from artscraper_runner.models.weights import UnusableModel
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.types import Controls


class SmallNetwork(torch.nn.Module):
    """Crop, shrink and embed a face, as a recogniser with an alignment of its own would."""

    def __init__(self, seed: int, length: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = torch.nn.Conv2d(3, 6, 5, stride=3)
        self.last = torch.nn.Linear(6 * 12 * 12, length)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        crop = functional.interpolate(faces[:, :, 15:135, 15:135], size=(40, 40), mode="bilinear")
        inner = torch.tanh(self.first(crop * 2 - 1)).flatten(1)
        return functional.normalize(self.last(inner))


def exported(path: Path, *, seed: int = 0, length: int = 8) -> str:
    """Write a small recogniser to `path` and return its name."""
    count = torch.export.Dim("count", min=1, max=64)
    example = (torch.rand(2, 3, CHIP_SIDE, CHIP_SIDE),)
    network = SmallNetwork(seed, length).eval()
    torch.export.save(torch.export.export(network, example, dynamic_shapes=({0: count},)), path)
    return f"torch:{path}"


@pytest.fixture(scope="module", params=["torch", "ensemble"])
def recogniser(request, tmp_path_factory) -> Recogniser:
    folder = tmp_path_factory.mktemp("recognisers")
    name = exported(folder / "first.pt2")
    if request.param == "ensemble":
        name = f"ensemble:{name}+{exported(folder / 'second.pt2', seed=1, length=5)}"
    return load_recogniser(name)


def test_gradients_are_those_of_finite_differences(recogniser):
    rng = np.random.default_rng(0)
    faces, others = rng.random((2, 3, 3, CHIP_SIDE, CHIP_SIDE), np.float32)
    references = recogniser.embeddings(others)
    embeddings, gradients = recogniser.distance_gradients(faces, references)
    np.testing.assert_allclose(embeddings, recogniser.embeddings(faces), atol=1e-5)
    way = gradients / np.sqrt(np.square(gradients).sum((1, 2, 3), keepdims=True))
    ahead, behind = (
        distances(recogniser.embeddings(faces + sign * way), references)
        for sign in (np.float32(0.2), np.float32(-0.2))
    )
    expected = np.sqrt(np.square(gradients).sum((1, 2, 3)))
    np.testing.assert_allclose((ahead - behind) / 0.4, expected, rtol=0.05)


def test_ensemble_distance_is_the_root_mean_square_of_its_members(tmp_path):
    names = [exported(tmp_path / f"{seed}.pt2", seed=seed, length=4 + seed) for seed in (0, 1)]
    faces = np.random.default_rng(0).random((2, 3, CHIP_SIDE, CHIP_SIDE), np.float32)
    apart = []
    for name in (*names, "ensemble:" + "+".join(names)):
        first, second = load_recogniser(name).embeddings(faces)
        apart.append(float(np.linalg.norm(first - second)))
    assert apart[2] == pytest.approx(np.sqrt((apart[0] ** 2 + apart[1] ** 2) / 2), rel=1e-5)


def test_cloak_moves_the_recogniser_it_was_given(portrait, tmp_path):
    pytest.importorskip("dlib")
    recogniser = load_recogniser(exported(tmp_path / "one.pt2"))
    options = ProtectionOptions(strength="medium")
    faces = find_faces(portrait)[:1]
    cloaking = Cloaking(portrait, None, options, recogniser=recogniser)
    pixels, _ = cloaking.run(portrait, faces, Controls())
    assert np.abs(pixels.astype(int) - portrait).max() <= STRENGTHS["medium"].budget
    pictures = (portrait, pixels, noisy(portrait, pixels))
    chips = [aligned_face(each, faces[0].alignment) for each in pictures]
    seen = [recogniser.embeddings(chip) for chip in chips]
    moved, by_noise = (float(distances(each, seen[0])[0]) for each in seen[1:])
    assert moved > 3 * by_noise


def noisy(original: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Return `original` with the values of the change shuffled."""
    change = changed.astype(int) - original
    np.random.default_rng(0).shuffle(change.reshape(-1))
    return np.clip(original + change, 0, 255).astype(np.uint8)


UNKNOWN = ["arcface", "torch:", "dlib:x", "ensemble:dlib", "ensemble:dlib+dlib", "ensemble:dlib+a"]


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_recognisers_are_refused(name, tmp_path, capsys):
    with pytest.raises(UnknownName):
        load_recogniser(name)
    Image.new("RGB", (64, 64)).save(tmp_path / "art.png")
    arguments = [str(tmp_path / "art.png"), "-o", str(tmp_path / "out.png")]
    assert main(["protect", *arguments, "--recogniser", name]) == 2
    assert "valid: " in capsys.readouterr().err


def test_option_chooses_the_recogniser_and_is_recorded_without_folders(portrait, tmp_path):
    pytest.importorskip("dlib")
    name = f"ensemble:dlib+{exported(tmp_path / 'one.pt2')}"
    Image.fromarray(portrait).save(tmp_path / "art.png")
    made = protect(tmp_path / "art.png", stages=("fawkes",), recogniser=name)
    assert "faces cloaked against dlib's recogniser of 2017;" in f"{made.verdict};"
    metrics = made.summary["layers"][-1]["metrics"]
    assert metrics["recogniser"] == "ensemble:dlib+torch:one.pt2"
    (face,) = metrics["faces"]
    assert face["attacked_distance"].keys() == face["distance"].keys()
    (found,) = find_faces(portrait)
    layer = np.asarray(Image.open(made.path).convert("RGB"))
    square = landmark_alignment(layer, found.box)
    chips = aligned_face(portrait, found.alignment), aligned_face(layer, square)
    first, second = load_recogniser(name).embeddings(np.concatenate(chips))
    expected = float(np.linalg.norm(first - second))
    assert face["attacked_distance"]["plain"] == pytest.approx(expected, abs=0.02)


def test_files_of_a_name_are_those_it_is_read_from():
    assert recogniser_files("dlib") == ()
    assert recogniser_files("ensemble:dlib+onnx:/d.onnx") == (Path("/d.onnx"),)
    files = recogniser_files("ensemble:dlib+torch:/a/b.pt2+torch:c.pt2")
    assert files == (Path("/a/b.pt2"), Path("c.pt2"))


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(MissingModel, match=r"absent\.pt2"):
        load_recogniser(f"torch:{tmp_path / 'absent.pt2'}")
    (tmp_path / "damaged.pt2").write_bytes(b"PK\x03\x04 no program")
    with pytest.raises(UnusableModel, match=r"torch\.export"):
        load_recogniser(f"torch:{tmp_path / 'damaged.pt2'}")


def test_default_recogniser_is_dlibs():
    pytest.importorskip("dlib")
    faces = np.zeros((1, 3, CHIP_SIDE, CHIP_SIDE), np.float32)
    assert load_recogniser().embeddings(faces).shape == (1, 128)
