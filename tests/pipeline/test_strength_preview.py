"""A previewed part looks as the whole picture will look there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artscraper_runner import (
    PART_MAX_SIDE,
    PREVIEW_STAGES,
    PictureError,
    PicturePart,
    ProtectionOptions,
    protect,
)
from artscraper_runner.imaging.visibility import VisibleChange
from artscraper_runner.pipeline.strength_preview import Pixels
from artscraper_runner.stages import invisible_watermark

from ..watermarks.pictures import painting

ATTACKS = ("photoguard", "mist", "nightshade")
LOW, MEDIUM, HIGH = (ProtectionOptions(strength=name) for name in ("low", "medium", "high"))


def spread(change: Pixels) -> float:
    """Return how coarse a change is: the share of its energy that halving it leaves."""
    luma = change.astype(np.float32).mean(2)
    luma -= luma.mean()
    height, width = (side // 2 * 2 for side in luma.shape)
    halved = luma[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))
    return float((halved**2).mean() / (luma**2).mean())


def test_preview_grows_with_strength() -> None:
    part = PicturePart(painting(256, 256), (400, 600))
    sight = VisibleChange.of(part.pixels)
    low, medium, high = (
        sight.worst(part.preview(ATTACKS, options))[0] for options in (LOW, MEDIUM, HIGH)
    )
    assert 0 < low < medium < high
    assert low <= 0.58 * 1.2 and medium <= 0.9 * 1.2, "the bounds of the strengths"


@pytest.mark.system  # three attacks on three megapixels
def test_preview_matches_whole_picture(tmp_path: Path) -> None:
    whole = painting(1536, 2048)
    Image.fromarray(whole).save(tmp_path / "whole.png")
    with Image.open(
        protect(tmp_path / "whole.png", stages=PREVIEW_STAGES).save(tmp_path / "out.png")
    ) as image:
        protected = np.asarray(image)
    place = np.s_[512:1024, 768:1280]
    original, changed = (np.ascontiguousarray(each[place]) for each in (whole, protected))
    preview = PicturePart(original, whole.shape[:2]).preview(PREVIEW_STAGES, MEDIUM)
    expected, found = (each.astype(np.int16) - original for each in (changed, preview))
    # A large picture gets a quieter mark, more of which is the noise that dithers it.
    assert spread(found) == pytest.approx(spread(expected), abs=0.2)
    assert spread(found) > 0.7, "the change was enlarged three times"
    sight = VisibleChange.of(original)
    assert sight.worst(preview)[0] == pytest.approx(sight.worst(changed)[0], rel=0.3)
    assert found.std() == pytest.approx(expected.std(), rel=0.25)


def test_preview_repeats_with_seed() -> None:
    pixels = painting(128, 128)
    first, second = (PicturePart(pixels, (300, 300)).preview(ATTACKS, LOW) for _ in range(2))
    assert np.array_equal(first, second)


def test_preview_does_not_search_for_earlier_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ProtectionOptions(watermark_text="mark")
    part = PicturePart(painting(256, 256), (256, 256))
    marked = part.preview(("invisible-watermark",), options)
    monkeypatch.setattr(invisible_watermark, "find_earlier_mark", None)
    again = PicturePart(part.pixels, part.whole).preview(("invisible-watermark",), options)
    assert not np.array_equal(marked, part.pixels) and np.array_equal(marked, again)


def test_preview_of_small_picture_is_whole() -> None:
    part = PicturePart(painting(40, 30), (40, 30))
    preview = part.preview(PREVIEW_STAGES, MEDIUM)
    assert preview.shape == part.pixels.shape and not np.array_equal(preview, part.pixels)


def test_part_refuses_large_files(tmp_path: Path) -> None:
    Image.new("RGB", (PART_MAX_SIDE + 1, 8)).save(tmp_path / "part.png")
    with pytest.raises(PictureError, match="512"):
        PicturePart.opened(tmp_path / "part.png", (1000, 1000))
