"""The oracle is the package Stegano: under the GPL, so a tool of the tests alone."""

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.errors import PayloadSizeError
from artscraper_runner.watermarks.lsb_text import embed, holds, pixels_needed

from .pictures import painting


@pytest.mark.parametrize(
    "text", ["a", "artscraper", "0123456789abcdef", "dix: é", "日本", "x" * 100]
)
def test_stegano_reveals_the_text(text: str) -> None:
    lsb = pytest.importorskip("stegano.lsb")
    picture = painting(40, 50)
    marked = embed(picture, text)
    assert lsb.reveal(Image.fromarray(marked)) == text
    assert np.array_equal(np.asarray(lsb.hide(Image.fromarray(picture), text)), marked)


def test_format_is_length_colon_text() -> None:
    lowest = embed(np.zeros((4, 4, 3), np.uint8), "hi").reshape(-1)
    assert np.packbits(lowest[:32]).tobytes() == b"2:hi"
    assert not lowest[32:].any()
    assert pixels_needed("hi") == 11


def test_only_the_lowest_bits_change() -> None:
    picture = painting(30, 30)
    picture.flags.writeable = False
    marked = embed(picture, "artist 7")
    assert np.array_equal(marked & 0xFE, picture & 0xFE)
    assert holds(marked, "artist 7")
    assert not holds(picture, "artist 7")
    assert not holds(marked, "artist 8")


def test_too_long_texts_are_refused() -> None:
    for text in ("", "x" * 400):
        with pytest.raises(PayloadSizeError):
            embed(painting(30, 30), text)
    with pytest.raises(PayloadSizeError):
        embed(np.zeros((1, 1, 3), np.uint8), "a")
