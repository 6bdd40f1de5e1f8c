"""Looking weights up and reading them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from artscraper_runner.models.torch_encoder import read_state
from artscraper_runner.models.weights import UnusableModel, folders_of, published_file


def test_encoder_folder_has_precedence(tmp_path: Path) -> None:
    folders = folders_of("name", tmp_path)
    assert folders == (tmp_path / "name", tmp_path)
    (tmp_path / "name.pth").touch()
    assert published_file("name", tmp_path) == tmp_path / "name.pth"
    (tmp_path / "name_encoder.pth").touch()
    assert published_file("name", tmp_path) == tmp_path / "name_encoder.pth"
    folders[0].mkdir()
    (folders[0] / "name.pth").touch()
    assert published_file("name", tmp_path) == folders[0] / "name.pth"


def test_no_folder_is_searched_by_default() -> None:
    assert folders_of("name", None) == ()
    assert published_file("name", None) is None


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}])
def test_weights_must_be_a_dict_of_tensors(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UnusableModel, match="expected a dict of tensors"):
        read_state(tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "missing.pth", "missing.safetensors"])
def test_public_error_names_the_damaged_file_and_no_folder(name: str, tmp_path: Path) -> None:
    if not name.startswith("missing"):
        (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(UnusableModel, match="expected tensors") as caught:
        read_state(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert caught.value.public == f"{name} is not usable: expected tensors"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_weights_are_refused(value: float, tmp_path: Path) -> None:
    torch.save({"weight": torch.tensor([1.0, value])}, tmp_path / "a.pth")
    with pytest.raises(UnusableModel, match="expected finite weights"):
        read_state(tmp_path / "a.pth")
