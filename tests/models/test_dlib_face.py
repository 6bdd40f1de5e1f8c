"""The face network agrees with dlib's own; a file that is not its weights is refused."""

from __future__ import annotations

import os
from pathlib import Path

import dlib
import numpy as np
import pytest
import torch
from PIL import Image

from artscraper_runner.faces.model_files import LANDMARKS, RECOGNITION, model_file
from artscraper_runner.faces.network import load_face_network
from artscraper_runner.models.weight_cache import user_cache
from artscraper_runner.models.weights import UnusableModel

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = REPOSITORY.parent / "shared" / "images"
PICTURES = [REPOSITORY / "input" / "astronaut.jpg", *sorted(IMAGES.glob("*/*.*"))]


@pytest.fixture(scope="module")
def network():
    return load_face_network(model_file(RECOGNITION), cache=None)


def test_it_agrees_with_dlib_on_every_face_of_the_samples(network):
    detector = dlib.get_frontal_face_detector()
    landmarks = dlib.shape_predictor(str(model_file(LANDMARKS)))
    recogniser = dlib.face_recognition_model_v1(str(model_file(RECOGNITION)))
    seen = 0
    for path in PICTURES:
        pixels = np.array(Image.open(path).convert("RGB"))
        for box in detector(pixels, 0):
            chip = dlib.get_face_chip(pixels, landmarks(pixels, box), 150, 0.25)
            expected = np.array(recogniser.compute_face_descriptor(chip))
            picture = torch.from_numpy(chip).permute(2, 0, 1)[None].float() / 255
            assert np.abs(network(picture)[0].numpy() - expected).max() < 1e-3, path.name
            seen += 1
    assert seen >= (6 if IMAGES.is_dir() else 1)


def test_it_is_differentiable_in_the_picture(network):
    picture = torch.full((1, 3, 150, 150), 0.4).requires_grad_(True)
    (gradient,) = torch.autograd.grad(network(picture).square().sum(), picture)
    assert gradient.isfinite().all() and gradient.abs().max() > 0


def test_weights_are_read_once_and_kept_for_their_owner_alone(network, tmp_path):
    cache = tmp_path / "new" / "cache"
    source = tmp_path / "weights.dat"
    source.write_bytes(model_file(RECOGNITION).read_bytes())
    first = load_face_network(source, cache=cache)
    (kept,) = cache.iterdir()
    assert kept.suffix == ".safetensors" and cache.stat().st_mode & 0o077 == 0
    written = kept.stat().st_mtime_ns
    second = load_face_network(source, cache=cache)
    assert kept.stat().st_mtime_ns == written
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_damaged_copy_is_made_again(tmp_path):
    load_face_network(model_file(RECOGNITION), cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    size = kept.stat().st_size
    kept.write_bytes(b"not tensors")
    load_face_network(model_file(RECOGNITION), cache=tmp_path / "cache")
    assert kept.stat().st_size == size


def test_a_folder_that_others_can_write_to_is_not_used(tmp_path):
    cache = tmp_path / "open"
    cache.mkdir()
    cache.chmod(0o777)
    load_face_network(model_file(RECOGNITION), cache=cache)
    assert not list(cache.iterdir())


def test_the_users_cache_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "artscraper"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert user_cache().is_absolute()


def _cut(content: bytes) -> bytes:
    return content[:-2_000_000]


def _other_numbers(content: bytes) -> bytes:
    start = content.find(bytes([1, 2, 2, 0x80, 0x12])) + 12
    return content[:start] + b"\xff" * 400 + content[start + 400 :]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_cut, "the file ends within"),
        (lambda content: b"", "found none"),
        (lambda content: os.urandom(100_000), "found none"),
        (lambda content: content[:5000] + content[30_000:], "found none|finite"),
        (_other_numbers, "finite"),
    ],
)
def test_a_file_that_is_not_dlibs_is_refused(damage, said, tmp_path):
    path = tmp_path / "weights.dat"
    path.write_bytes(damage(model_file(RECOGNITION).read_bytes()))
    with pytest.raises(UnusableModel, match=said):
        load_face_network(path, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UnusableModel, match="No such file"):
        load_face_network(tmp_path / "none.dat", cache=tmp_path / "cache")


def test_a_face_has_the_same_gradient_each_time(network, gradients):
    """The last block has two convolutions of a single cell, whose own passes differ."""
    features = torch.rand(1, 256, 4, 4, generator=torch.Generator().manual_seed(0))
    assert len(gradients(network.blocks[-1], features, passes=120)) == 1
