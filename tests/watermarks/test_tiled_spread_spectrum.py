"""The mark is read after what the web does to pictures, and never from a picture without one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from artscraper_runner.errors import InvalidOption, PictureTooSmall, UnsupportedPixels
from artscraper_runner.imaging.visibility import VisibleChange
from artscraper_runner.watermarks.tiled_spread_spectrum import (
    STRENGTHS,
    bit_accuracy,
    embed,
    least_side,
    read,
)

from .pictures import (
    IMAGES,
    Pixels,
    cropped,
    painting,
    psnr,
    resized,
    rotated,
    saved,
    shared_picture,
)

NUMBER = bytes.fromhex("0123456789abcdef")
TEXT = b"artscraper"


@pytest.fixture(scope="module", params=["photos/kodak_04.png", "paintings/vangogh_02.png"])
def marked(request: pytest.FixtureRequest) -> Pixels:
    return embed(shared_picture(request.param), NUMBER, strength="high")


def blurred(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1)))


def noisy(pixels: Pixels) -> Pixels:
    noise = np.random.default_rng(1).normal(0, 10, pixels.shape)
    return np.clip(pixels + noise, 0, 255).round().astype(np.uint8)


QUICK: dict[str, Callable[[Pixels], Pixels]] = {
    "nothing": lambda pixels: pixels,
    "JPEG 30": lambda pixels: saved(pixels, "JPEG", 30),
    "WebP 60": lambda pixels: saved(pixels, "WEBP", 60),
    "half": lambda pixels: resized(pixels, 0.5),
    "quarter": lambda pixels: resized(pixels, 0.25),
    "0.73": lambda pixels: resized(pixels, 0.73),
    "brighter": lambda pixels: np.clip(pixels * 1.1, 0, 255).round().astype(np.uint8),
    "grey": lambda pixels: np.repeat(
        np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None], 3, axis=2
    ),
    "noise": noisy,
    "blur": blurred,
    "mirrored": lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
    "upside down": lambda pixels: np.ascontiguousarray(pixels[::-1]),
    "turned": lambda pixels: np.ascontiguousarray(np.rot90(pixels)),
}
SLOW: dict[str, Callable[[Pixels], Pixels]] = {
    "crop 10 %": lambda pixels: cropped(pixels, 0.1),
    "crop 25 %": lambda pixels: cropped(pixels, 0.25),
    "2 degrees": lambda pixels: rotated(pixels, 2),
    "narrower": lambda pixels: np.asarray(
        Image.fromarray(pixels).resize((pixels.shape[1] * 9 // 10, pixels.shape[0]))
    ),
    "mirrored crop": lambda pixels: np.ascontiguousarray(cropped(pixels, 0.1)[:, ::-1]),
}


@pytest.mark.parametrize("change", QUICK)
def test_quick_reader_survives_changes(marked: Pixels, change: str) -> None:
    found = read(QUICK[change](marked), search=False)
    assert found is not None
    assert found.payload == NUMBER
    assert 0.35 <= found.confidence <= 1


@pytest.mark.parametrize("change", SLOW)
def test_search_survives_changes(marked: Pixels, change: str) -> None:
    found = read(SLOW[change](marked))
    assert found is not None
    assert found.payload == NUMBER


def test_text_frame_is_read_as_text() -> None:
    found = read(saved(embed(painting(512, 640), TEXT), "JPEG", 50))
    assert found is not None
    assert found.payload == TEXT


def test_marks_of_release_0_1_are_readable() -> None:
    path = Path(__file__).with_name("marked_by_0_1.jpg")
    found = read(np.asarray(Image.open(path).convert("RGB")), search=False)
    assert found is not None
    assert found.payload == NUMBER


def test_no_watermark_is_embedded_beside_an_edge() -> None:
    """A line hides nothing in the flat places beside it."""
    picture = np.full((512, 512, 3), 200, np.uint8)
    picture[:, 250:254] = 20
    change = np.abs(embed(picture, NUMBER, strength="high").astype(int) - picture)
    assert change.max() <= 2


@pytest.mark.parametrize(("strength", "most"), [("low", 4), ("medium", 6), ("high", 10)])
def test_change_is_bounded_by_strength(strength: str, most: int) -> None:
    picture = painting(300, 400)
    change = embed(picture, NUMBER, strength=strength).astype(int) - picture
    assert most / 2 <= np.abs(change).max() <= most


def test_mark_is_no_stronger_than_needed() -> None:
    picture = painting(512, 512)
    values = [psnr(picture, embed(picture, NUMBER, strength=name)) for name in STRENGTHS]
    assert values == sorted(values, reverse=True)


def test_mark_follows_texture() -> None:
    flat = np.full((512, 512, 3), 128, np.uint8)
    noise = np.random.default_rng(0).integers(-4, 5, flat.shape)
    noisy_flat = (flat + noise).astype(np.uint8)
    change = np.abs(embed(noisy_flat, NUMBER, original=flat).astype(int) - noisy_flat)
    assert change.max() <= 2


@pytest.mark.parametrize("name", ["photos/kodak_01.png", "paintings/munch_the_scream.jpg"])
def test_clean_pictures_and_crops_have_no_watermark(name: str) -> None:
    picture = shared_picture(name)
    assert read(picture) is None
    random = np.random.default_rng(0)
    for _ in range(10):
        top, left = (int(random.integers(0, side - 300)) for side in picture.shape[:2])
        crop = np.ascontiguousarray(picture[top : top + 300, left : left + 300])
        assert read(crop, search=False) is None


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_flat_colour_carries_the_mark(shade: int) -> None:
    flat = np.full((300, 400, 3), shade, np.uint8)
    marked = embed(flat, NUMBER)
    found = read(marked, search=False)
    assert found is not None
    assert found.payload == NUMBER
    assert psnr(flat, marked) > 50


@pytest.mark.parametrize(("height", "width"), [(256, 256), (257, 1031), (2048, 256), (1500, 2200)])
def test_all_shapes_are_marked(height: int, width: int) -> None:
    picture = painting(height, width)
    picture.flags.writeable = False
    marked = embed(picture, NUMBER)
    assert marked.shape == picture.shape
    assert marked.dtype == np.uint8
    assert not np.shares_memory(marked, picture)
    assert bit_accuracy(marked, NUMBER) == 1
    found = read(marked, search=False)
    assert found is not None
    assert found.payload == NUMBER


def test_same_arguments_give_the_same_bytes() -> None:
    picture = painting(300, 400)
    turned = np.asfortranarray(picture)
    assert np.array_equal(embed(picture, NUMBER), embed(turned, NUMBER))


def test_later_mark_replaces_an_earlier_one() -> None:
    twice = embed(embed(painting(512, 512), NUMBER), b"\x55" * 8)
    found = read(twice, search=False)
    assert found is not None
    assert found.payload == b"\x55" * 8


def test_unmarked_picture_agrees_by_chance() -> None:
    assert 0.2 < bit_accuracy(painting(300, 300), NUMBER) < 0.8


@pytest.mark.parametrize(("height", "width"), [(255, 600), (600, 255), (256, 4097)])
def test_too_small_and_too_long_pictures_are_refused(height: int, width: int) -> None:
    assert min(height, width) < least_side(height, width)
    with pytest.raises(PictureTooSmall):
        embed(np.zeros((height, width, 3), np.uint8), NUMBER)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 7), (40, 40), (10, 20_000)])
def test_read_accepts_pictures_of_any_size(height: int, width: int) -> None:
    assert read(np.full((height, width, 3), 200, np.uint8)) is None


def test_invalid_arrays_and_payloads_are_refused() -> None:
    for pixels in (np.zeros((300, 300), np.uint8), np.zeros((300, 300, 3), np.float32)):
        with pytest.raises(UnsupportedPixels):
            embed(pixels, NUMBER)  # type: ignore[arg-type]
        with pytest.raises(UnsupportedPixels):
            read(pixels)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption):
        embed(painting(256, 256), b"")


@pytest.mark.slow
def test_no_false_reading_in_2000_clean_crops() -> None:
    if not IMAGES.is_dir():
        pytest.skip("needs shared/images beside the repository")
    names = sorted(path for path in IMAGES.rglob("*") if path.suffix in {".png", ".jpg"})
    pictures = [shared_picture(str(path.relative_to(IMAGES))) for path in names]
    random = np.random.default_rng(11)
    for _ in range(2000):
        picture = pictures[int(random.integers(len(pictures)))]
        height, width = (int(random.integers(200, min(side, 500))) for side in picture.shape[:2])
        top = int(random.integers(0, picture.shape[0] - height + 1))
        left = int(random.integers(0, picture.shape[1] - width + 1))
        crop = np.ascontiguousarray(picture[top : top + height, left : left + width])
        assert read(crop) is None


def test_modified_picture_is_folded_again(marked: Pixels) -> None:
    pixels = marked.copy()
    assert read(pixels, search=False) is not None
    pixels[:] = 128
    assert read(pixels, search=False) is None
    assert bit_accuracy(pixels, NUMBER) < 1


def test_read_only_picture_is_folded_once(marked: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = marked.copy()
    pixels.flags.writeable = False
    found = read(pixels, search=False)
    monkeypatch.setattr(
        "artscraper_runner.watermarks.folding.reference_luma", lambda pixels: pytest.fail("again")
    )
    assert read(pixels, search=False) == found
    assert bit_accuracy(pixels, NUMBER) == 1


@pytest.mark.parametrize("bound", [0.5, 1.0])
def test_mark_keeps_the_visibility_bound(bound: float) -> None:
    pixels = painting(384, 448)
    sight = VisibleChange.of(pixels)
    marked = embed(pixels, NUMBER, strength="high", sight=sight, visibility=bound)
    assert 0.3 * bound < sight.worst(marked)[0] < 1.5 * bound  # stages scale the worst back
    assert sight.worst(embed(pixels, NUMBER, strength="high"))[0] > sight.worst(marked)[0]


@pytest.mark.parametrize("strength", STRENGTHS)
def test_mark_of_a_large_picture_is_read_from_smaller_copies(strength: str) -> None:
    large = resized(painting(512, 640), 3)
    marked = embed(large, NUMBER, strength=strength, visibility=0.6)
    small = resized(marked, 1 / 3)
    for copy in (marked, saved(marked, "JPEG", 75), resized(marked, 2 / 3), small):
        found = read(copy, search=False)
        assert found is not None and found.payload == NUMBER


def test_large_picture_gets_a_finer_and_quieter_mark() -> None:
    strength, large = STRENGTHS["medium"], STRENGTHS["medium"].at_scale(4)
    assert STRENGTHS["medium"].at_scale(1) == strength
    assert large.fine > 2 * strength.fine and large.quietest < strength.quietest
    assert large.bounds[0] < 1, "less than the bound is tried first"
    assert large.trials[-1].scale == 1 / 4, "it is read from a copy of the reference size, too"
    assert large.copies == (("jpeg-75", "half"),), "a crop is worth no further bound there"
    assert strength.at_scale(1.9).copies == strength.copies


def test_mark_has_no_room_beyond_the_bound() -> None:
    pixels = painting(384, 448)
    grain = np.random.default_rng(1).choice([-9, 9], pixels.shape)
    layer = np.clip(pixels.astype(int) + grain, 0, 255).astype(np.uint8)
    marked = embed(layer, NUMBER, original=pixels, visibility=0.2)
    assert np.array_equal(marked, layer)
