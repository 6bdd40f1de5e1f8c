"""Layers look like their originals in every combination of format, depth and colour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.files.format_combinations import SCENES, Combination, combinations
from benchmarks.files.formats import MEAN_LIMIT, compare
from benchmarks.files.viewers import Viewers, missing_viewers, open_viewers

COMBINATIONS = [each for scene in SCENES for each in combinations(scene())]

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        bool(missing_viewers()), reason="needs Debian's packages chromium and imagemagick"
    ),
]


@pytest.fixture(scope="module")
def viewers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewers]:
    with open_viewers(tmp_path_factory.mktemp("viewers")) as opened:
        yield opened


def test_combinations_are_unique_and_many() -> None:
    names = [combination.name for combination in COMBINATIONS]
    assert len(names) == len(set(names)) >= 180


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda combination: combination.name)
def test_layer_resembles_its_original(
    combination: Combination, viewers: Viewers, tmp_path: Path
) -> None:
    difference = compare(combination, viewers, tmp_path)
    assert difference.mean <= MEAN_LIMIT, difference
