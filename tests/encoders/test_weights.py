"""Looking weights up and reading them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from artscraper_runner.encoders.weights import UnusableModel, first_file, folders_of, read_state


def test_an_encoders_own_folder_comes_first(tmp_path: Path) -> None:
    folders = folders_of("name", tmp_path)
    assert folders == (tmp_path / "name", tmp_path)
    (tmp_path / "a").touch()
    assert first_file(folders, ["b", "a"]) == tmp_path / "a"
    folders[0].mkdir()
    (folders[0] / "a").touch()
    assert first_file(folders, ["b", "a"]) == folders[0] / "a"


def test_without_a_folder_nothing_is_searched() -> None:
    assert folders_of("name", None) == ()
    assert first_file((), ["a"]) is None


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}])
def test_what_is_no_dict_of_tensors_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UnusableModel, match="expected a dict of tensors"):
        read_state(tmp_path / "a.pth")
