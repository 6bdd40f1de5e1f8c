"""Earlier marks are noticed whatever their method and where the picture went; others are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.stages.invisible_watermark import EarlierMark, find_earlier_mark
from artscraper_runner.watermarks import dwt_dct_svd, tiled_spread_spectrum

from .pictures import Pixels, cropped, painting, rotated, saved, shared_picture

PAYLOAD = bytes.fromhex("00112233445566ff")


def pasted(pixels: Pixels) -> Pixels:
    height, width, _ = pixels.shape
    canvas = np.full((height + 160, width + 200, 3), 90, np.uint8)
    canvas[70 : 70 + height, 110 : 110 + width] = pixels
    return canvas


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "as it was": lambda pixels: pixels,
    "cropped": lambda pixels: cropped(pixels, 0.2),
    "turned by 2 degrees": lambda pixels: rotated(pixels, 2),
    "turned by 90 degrees": lambda pixels: np.ascontiguousarray(np.rot90(pixels)),
    "stretched": lambda pixels: np.asarray(Image.fromarray(pixels).resize((740, 512))),
    "pasted": pasted,
}


@pytest.mark.parametrize("change", CHANGES)
def test_tiled_mark_is_detected_in_a_changed_picture(change: str) -> None:
    marked = tiled_spread_spectrum.embed(painting(512, 640), PAYLOAD, strength="high")
    assert find_earlier_mark(CHANGES[change](marked)) == EarlierMark("tiled", PAYLOAD.hex())


@pytest.mark.parametrize(
    "payload", [PAYLOAD, b"artscraper", b"a", bytes(range(60, 77)), bytes(range(32))]
)
def test_mark_of_dwt_dct_svd_is_detected(payload: bytes) -> None:
    marked = dwt_dct_svd.embed(painting(512, 640, seed=3), payload)
    assert find_earlier_mark(marked) == EarlierMark("dwtDctSvd", payload.hex())
    assert find_earlier_mark(saved(marked, "JPEG", 90)) == EarlierMark("dwtDctSvd", payload.hex())


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (12, 200, 80), (90, 90, 200)])
@pytest.mark.parametrize("width", [512, 640])
def test_flat_and_striped_pictures_carry_no_mark(colour: tuple[int, int, int], width: int) -> None:
    flat = np.full((512, width, 3), colour, np.uint8)
    assert find_earlier_mark(flat) is None
    striped = flat.copy()
    striped[:, ::16] = 255 - np.array(colour, np.uint8)
    striped[:, 8::24] = (200, 30, 90)
    assert find_earlier_mark(striped) is None


@pytest.mark.parametrize(
    "name",
    [f"photos/kodak_{number:02d}.png" for number in range(1, 13)]
    + ["paintings/mona_lisa.jpg", "paintings/kandinsky_composition_vii.jpg"],
)
def test_unmarked_picture_has_no_mark(name: str) -> None:
    picture = shared_picture(name)
    assert find_earlier_mark(picture[:512, :512].copy()) is None
    assert dwt_dct_svd.find(picture) is None
    assert dwt_dct_svd.find(saved(picture, "JPEG", 75)) is None
