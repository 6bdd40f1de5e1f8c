"""The oracle is the package invisible-watermark 0.2.0 itself, in both directions."""

import re
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest

from artscraper_runner.errors import PayloadSizeError, PictureTooSmall, UnsupportedPixels
from artscraper_runner.watermarks import Pixels
from artscraper_runner.watermarks.dwt_dct_svd import MIN_SIDE, bit_accuracy, embed, read

METHOD = "dwtDctSvd"
IMAGES = Path(__file__).resolve().parents[2].parent / "shared" / "images"
PAYLOAD = b"artist 7"
PRIMARIES = [(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)]
BLACK, WHITE = PRIMARIES[0], PRIMARIES[-1]


class Upstream:
    """The package, fed RGB and asked for the method under test."""

    def __init__(self, package: ModuleType) -> None:
        self.package = package

    def mark(self, pixels: Pixels, payload: bytes) -> Pixels:
        encoder = self.package.WatermarkEncoder(payload)
        bgr = encoder.encode(np.ascontiguousarray(pixels[:, :, ::-1]), METHOD)
        return np.ascontiguousarray(bgr[:, :, ::-1])

    def read(self, pixels: Pixels, payload_bytes: int) -> bytes:
        decoder = self.package.WatermarkDecoder("bytes", 8 * payload_bytes)
        found = decoder.decode(np.ascontiguousarray(pixels[:, :, ::-1]), METHOD)
        assert isinstance(found, bytes)
        return found


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    pytest.importorskip("cv2")
    pytest.importorskip("pywt")
    # The package imports torch for another method and uses none of it here.
    with patch.dict(sys.modules, {"torch": ModuleType("torch")}):
        yield Upstream(pytest.importorskip("imwatermark"))


def painting(height: int, width: int, *, seed: int = 0) -> Pixels:
    """Return smooth colour fields with brush-like noise, some of it saturated."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / 40
    phases = random.uniform(0, 2 * np.pi, (3, 2))
    fields = [140 + 90 * np.sin(x + a) * np.cos(y * (1 + i) + b) for i, (a, b) in enumerate(phases)]
    picture = np.stack(fields, axis=-1) + random.normal(0, 25, (height, width, 1))
    return np.clip(picture, 0, 255).astype(np.uint8)


def flat(colour: tuple[int, ...]) -> Pixels:
    return np.full((MIN_SIDE, MIN_SIDE, 3), colour, np.uint8)


def noise(seed: int) -> Pixels:
    shape = (MIN_SIDE, MIN_SIDE, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def psnr(before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8]) -> float:
    error = float(np.square(before.astype(np.float64) - after).mean())
    return float(10 * np.log10(255**2 / error))


def payload_of(length: int) -> bytes:
    return np.random.default_rng(length).bytes(length)


SIZES = [(256, 256), (257, 301), (303, 259), (260, 516), (512, 384), (164, 400)]


@pytest.mark.parametrize("length", [1, 3, 8, 16, 32])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_upstream_reads_our_marks(upstream: Upstream, height: int, width: int, length: int) -> None:
    marked = embed(painting(height, width), payload_of(length))
    assert upstream.read(marked, length) == payload_of(length)
    assert read(marked, length) == payload_of(length)


@pytest.mark.parametrize("length", [1, 3, 8, 16, 32])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_upstream_marks_are_read(upstream: Upstream, height: int, width: int, length: int) -> None:
    marked = upstream.mark(painting(height, width), payload_of(length))
    assert upstream.read(marked, length) == payload_of(length)
    assert read(marked, length) == payload_of(length)


@pytest.mark.parametrize("colour", [*PRIMARIES, (128, 128, 128), (250, 240, 3), (7, 90, 201)])
def test_flat_colours_carry_the_mark_for_both_readers(
    upstream: Upstream, colour: tuple[int, int, int]
) -> None:
    marked = embed(flat(colour), PAYLOAD)
    assert read(marked, len(PAYLOAD)) == PAYLOAD
    assert upstream.read(marked, len(PAYLOAD)) == PAYLOAD


@pytest.mark.parametrize("colour", [(32, 67, 231), (142, 105, 145), (160, 15, 238)])
def test_upstream_marks_in_flat_colour_are_read(
    upstream: Upstream, colour: tuple[int, int, int]
) -> None:
    """With an unrounded U these very colours read wrongly."""
    marked = upstream.mark(flat(colour), PAYLOAD)
    assert upstream.read(marked, len(PAYLOAD)) == PAYLOAD
    assert read(marked, len(PAYLOAD)) == PAYLOAD


@pytest.mark.parametrize("colour", [(128, 128, 128), (30, 90, 60), (200, 120, 77)])
def test_rounding_preserves_singular_values_of_flat_blocks(
    colour: tuple[int, int, int],
) -> None:
    marked = embed(flat(colour), PAYLOAD).astype(np.float64)
    red, green, blue = np.moveaxis(marked, 2, 0)
    u = 0.492 * (blue - (0.299 * red + 0.587 * green + 0.114 * blue)) + 128
    singular_values = 8 * u.reshape(32, 8, 32, 8).mean(axis=(1, 3))  # of near-constant blocks
    assert np.abs(singular_values % 18 - 9).max() < 0.5


def test_noise_and_saturated_noise_carry_the_mark_for_both_readers(upstream: Upstream) -> None:
    primaries = (noise(2) // 128 * 255).astype(np.uint8)
    for picture in noise(1), primaries:
        marked = embed(picture, PAYLOAD)
        assert read(marked, len(PAYLOAD)) == PAYLOAD
        assert upstream.read(marked, len(PAYLOAD)) == PAYLOAD


def test_mark_is_quieter_than_upstream(upstream: Upstream) -> None:
    picture = painting(300, 400)
    ours = psnr(picture, embed(picture, PAYLOAD))
    theirs = psnr(picture, upstream.mark(picture, PAYLOAD))
    assert ours > 43
    assert ours > theirs + 3


def test_shared_pictures_keep_their_quality_and_are_read_by_upstream(upstream: Upstream) -> None:
    image = pytest.importorskip("PIL.Image")
    paths = sorted(p for p in IMAGES.rglob("*") if p.suffix in {".png", ".jpg"})
    if not paths:
        pytest.skip(f"no sample pictures at {IMAGES}")
    qualities = []
    for number, path in enumerate(paths):
        picture = np.asarray(image.open(path).convert("RGB"))
        payload = payload_of(1 + number % 32)
        marked = embed(picture, payload)
        assert upstream.read(marked, len(payload)) == payload, path.name
        qualities.append(psnr(picture, marked))
    assert np.mean(qualities) > 43.5
    assert min(qualities) > 42


@pytest.mark.parametrize("colour", [BLACK, WHITE])
def test_black_and_white_change_by_few_levels(colour: tuple[int, int, int]) -> None:
    change = embed(flat(colour), PAYLOAD).astype(int) - flat(colour)
    assert 0 < np.abs(change).max() <= 8


def test_unmarked_picture_reads_as_noise() -> None:
    accuracies = [bit_accuracy(painting(256, 256, seed=s), payload_of(32)) for s in range(8)]
    assert 0.4 < np.mean(accuracies) < 0.6


def test_bit_accuracy_counts_equal_bits() -> None:
    marked = embed(painting(256, 320), b"\x0f\xff")
    assert bit_accuracy(marked, b"\x0f\xff") == 1.0
    assert bit_accuracy(marked, b"\x0f\xfe") == 15 / 16
    assert bit_accuracy(marked, b"\xf0\x00") == 0.0


def test_every_block_can_carry_its_own_bit() -> None:
    payload = payload_of(128)
    assert read(embed(painting(256, 256), payload), 128) == payload


def test_same_arguments_give_the_same_bytes() -> None:
    picture = painting(257, 301)
    assert np.array_equal(embed(picture, PAYLOAD), embed(picture, PAYLOAD))


def test_input_is_not_modified() -> None:
    picture = painting(256, 256)
    before = picture.copy()
    picture.flags.writeable = False
    marked = embed(picture, PAYLOAD)
    read(picture, len(PAYLOAD))
    assert np.array_equal(picture, before)
    assert not np.shares_memory(marked, picture)
    assert marked.shape == picture.shape
    assert marked.dtype == np.uint8


def test_memory_layout_does_not_matter() -> None:
    picture = painting(300, 280)
    expected = embed(picture, PAYLOAD)
    turned = np.ascontiguousarray(picture.transpose(1, 0, 2)).transpose(1, 0, 2)
    reversed_channels = np.ascontiguousarray(picture[:, :, ::-1])[:, :, ::-1]
    for same in turned, reversed_channels, np.asfortranarray(picture):
        assert not same.flags.c_contiguous
        assert np.array_equal(embed(same, PAYLOAD), expected)
    assert read(np.asfortranarray(expected), len(PAYLOAD)) == PAYLOAD


def test_pixels_beyond_the_last_block_are_unchanged() -> None:
    picture = painting(263, 271)
    marked = embed(picture, PAYLOAD)
    assert np.array_equal(marked[256:], picture[256:])
    assert np.array_equal(marked[:, 264:], picture[:, 264:])
    assert not np.array_equal(marked[:256, 256:264], picture[:256, 256:264])


def test_extra_memory_is_constant() -> None:
    picture = np.tile(painting(500, 500), (4, 6, 1))
    tracemalloc.start()
    try:
        marked = embed(picture, PAYLOAD)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - marked.nbytes < 32 * 2**20


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((256, 256), np.uint8),
        np.zeros((256, 256, 4), np.uint8),
        np.zeros((256, 256, 3), np.float32),
    ],
)
def test_invalid_arrays_are_refused(pixels: Pixels) -> None:
    for call in (lambda: embed(pixels, PAYLOAD), lambda: read(pixels, 8)):
        with pytest.raises(UnsupportedPixels, match=re.escape(f"{pixels.shape} of {pixels.dtype}")):
            call()


def test_minimum_size_matches_upstream(upstream: Upstream) -> None:
    small = painting(255, 256)
    for call in (lambda: embed(small, PAYLOAD), lambda: read(small, 8)):
        with pytest.raises(PictureTooSmall) as caught:
            call()
        assert (caught.value.height, caught.value.width) == (255, 256)
    with pytest.raises(RuntimeError, match="too small"):
        upstream.mark(small, PAYLOAD)
    assert read(embed(painting(255, 258), PAYLOAD), 8) == PAYLOAD


@pytest.mark.parametrize("payload", [b"", bytes(129)])
def test_empty_or_too_long_payload_is_refused(payload: bytes) -> None:
    picture = painting(256, 256)
    calls = (
        lambda: embed(picture, payload),
        lambda: read(picture, len(payload)),
        lambda: bit_accuracy(picture, payload),
    )
    for call in calls:
        with pytest.raises(PayloadSizeError, match=f"1 to 128 bytes .* found {len(payload)}"):
            call()
