"""Choose how a lossy layer is coded, so that it looks like its original before any change.

A JPEG is coded as its original was. A picture of dense colour loses detail whenever its chroma is
halved once more: what coding would add is then subtracted before it, and if that is not enough, the
tables get finer. Pixels that were converted to other colours no longer lie on the original's grid
and get finer tables at once, the finest for which the file stays small. The difference is measured
in sRGB, as viewers show both, on a sample of large pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.imaging.colour import Colour, render
from artscraper_runner.imaging.formats.jpeg import JpegCoding, divided
from artscraper_runner.imaging.formats.jpeg_buffer import save_image
from artscraper_runner.imaging.tiles import over_bands

if TYPE_CHECKING:
    from artscraper_runner.imaging.decode import Picture

MEAN_LIMIT = 1.0  # of 255, over all pixels and channels
_AIM, _AIM_OF_SAMPLE = 0.97, 0.9  # viewers round a little differently, and samples vary
_TILE, _TILES = 256, 4  # px a side, and tiles in each direction
_STRIP_ROWS = 512  # px
_CORRECTIONS = (0, 1, 2, 4, 8)
_DIVISORS = (1, 1.5, 2, 3, 4, 6, 8, 16)
_CONVERTED_DIVISORS = (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_FINE_DIVISOR = 4  # beyond it converted pixels gain little
_ROOMY = 1.3  # times the original's bytes; a change of the picture adds a tenth or two
_WEBP_QUALITY, _AVIF_QUALITIES, _JPEG_QUALITY = 99, (99, 100), 95


@dataclass(frozen=True)
class Coding:
    """The encoding of a lossy file: `quality`, 0..100, or `jpeg`.

    `corrections`: how often what coding adds is subtracted before it. `divisor`: how much finer
    than the original's the tables are.
    """

    quality: int | None = None
    jpeg: JpegCoding | None = None
    corrections: int = 0
    divisor: float = 1

    def options(self, name: str, *, is_grey: bool, has_alpha: bool) -> dict[str, Any]:
        """Return Pillow's options for the format `name`."""
        if self.jpeg is not None:
            return {
                "qtables": [list(table) for table in self.jpeg.tables],
                "subsampling": self.jpeg.subsampling,
                "progressive": self.jpeg.progressive,
                "optimize": True,
            }
        quality = _JPEG_QUALITY if self.quality is None else self.quality
        if name == "AVIF":
            exact_alpha = {"advanced": {"alpha:lossless": "1"}} if has_alpha else {}
            subsampling = "4:0:0" if is_grey else "4:4:4"
            return {"quality": quality, "speed": 8, "subsampling": subsampling, **exact_alpha}
        if name == "WEBP":
            return {"quality": quality, "exact": True}
        return {"quality": quality, "subsampling": 0}


@dataclass(frozen=True)
class _Trial:
    coding: Coding
    difference: float  # of 255, mean
    growth: float  # bytes for each of the original's
    is_near: bool


def choose_coding(picture: Picture, name: str, *, file_bytes: int) -> Coding | None:
    """Return the coding for layers of `picture` in the lossy format `name`.

    None: no lossy coding comes within MEAN_LIMIT, and the format has a lossless one. `file_bytes`
    is the size of the original's file.
    """
    trials = _Trials(picture, name, file_bytes)
    if name == "WEBP":
        trial = trials.of(Coding(quality=_WEBP_QUALITY))
        return trial.coding if trial.is_near else None
    if name == "AVIF":
        return trials.first_near([Coding(quality=quality) for quality in _AVIF_QUALITIES])
    if picture.coding is None:
        return Coding(quality=_JPEG_QUALITY)
    if picture.is_converted:
        return _for_converted(trials, picture.coding)
    return trials.first_near(_like_the_original(picture.coding))


def _like_the_original(coding: JpegCoding) -> list[Coding]:
    same = [Coding(jpeg=coding, corrections=rounds) for rounds in _CORRECTIONS]
    return [*same, *(_finer(coding, divisor) for divisor in _DIVISORS)]


def _finer(coding: JpegCoding, divisor: float) -> Coding:
    return Coding(jpeg=divided(coding, divisor), divisor=divisor)


def _for_converted(trials: _Trials, coding: JpegCoding) -> Coding:
    """Return the finest coding of a small file; if that is not near enough, the first that is."""
    chosen = _finer(coding, _CONVERTED_DIVISORS[-1])
    is_near = False
    for divisor in _CONVERTED_DIVISORS:
        trial = trials.of(_finer(coding, divisor))
        if is_near and (trial.growth > _ROOMY or divisor > _FINE_DIVISOR):
            break
        if trial.is_near:
            chosen, is_near = trial.coding, True
    return chosen


class _Trials:
    """Codes a sample of the picture, as it is stored, and compares."""

    def __init__(self, picture: Picture, name: str, file_bytes: int) -> None:
        self._name = name
        self._profile = picture.colour.profile
        self._is_grey = picture.is_grey and self._profile is None and name != "WEBP"
        sample = sample_tiles(picture.pixels)
        image = Image.fromarray(sample[..., 0] if self._is_grey else sample)
        self._image = picture.as_stored(image)
        self._shown = self._show(self._image)
        self._share_of_bytes = file_bytes * sample.size / picture.pixels.size
        self._aim = _AIM if sample is picture.pixels else _AIM_OF_SAMPLE

    def first_near(self, codings: list[Coding]) -> Coding:
        """Return the first coding that is near enough, else the last."""
        for coding in codings:
            if self.of(coding).is_near:
                return coding
        return codings[-1]

    def of(self, coding: Coding) -> _Trial:
        options = coding.options(self._name, is_grey=self._is_grey, has_alpha=False)
        image = corrected(self._image, self._name, options, coding.corrections)
        coded, size = _coded(image, self._name, options)
        difference = float(np.abs(self._show(coded) - self._shown).mean())
        growth = size / max(1.0, self._share_of_bytes)
        return _Trial(coding, difference, growth, difference <= self._aim)

    def _show(self, image: Image.Image) -> NDArray[np.int16]:
        """Return the pixels in sRGB."""
        from PIL import ImageCms

        if self._profile is not None:
            profile, srgb = BytesIO(self._profile), ImageCms.createProfile("sRGB")
            try:
                shown = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
            except ImageCms.PyCMSError:  # of a class that viewers do not apply either
                shown = None
            image = shown or image
        return np.asarray(image).astype(np.int16)


def corrected(image: Image.Image, name: str, options: dict[str, Any], rounds: int) -> Image.Image:
    """Return the picture to code instead of `image` so that the coded one resembles it more."""
    if not rounds:
        return image
    wanted = np.asarray(image).astype(np.int16)
    current = wanted
    for _ in range(rounds):
        coded, _ = _coded(image, name, options)
        current = np.clip(current + wanted - np.asarray(coded), -64, 319)
        image = Image.fromarray(np.clip(current, 0, 255).astype(np.uint8))
    return image


def sample_tiles(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture (H, W, 3), or evenly spaced tiles of a large one as one picture."""
    height, width = pixels.shape[:2]
    if height * width <= (_TILE * _TILES) ** 2:
        return pixels
    lefts = list(_starts(width))
    rows = [
        np.concatenate([pixels[top : top + _TILE, left : left + _TILE] for left in lefts], axis=1)
        for top in _starts(height)
    ]
    return np.concatenate(rows, axis=0)


def _starts(side: int) -> Iterator[int]:
    """Yield where tiles begin, at multiples of 16 px, as subsampled blocks do."""
    count = min(_TILES, max(1, side // _TILE))
    room = max(0, side - _TILE)
    for index in range(count):
        yield room * index // max(1, count - 1) // 16 * 16


def _coded(image: Image.Image, name: str, options: dict[str, Any]) -> tuple[Image.Image, int]:
    """Return the picture as the coded file shows it, and the bytes of the file."""
    buffer = BytesIO()
    save_image(image, buffer, name, options)
    size = buffer.tell()
    buffer.seek(0)
    with Image.open(buffer, formats=[name]) as coded:
        return coded.convert(image.mode), size


def as_coded(
    pixels: NDArray[np.uint8],
    name: str,
    options: dict[str, Any],
    *,
    corrections: int = 0,
    in_one_channel: bool = False,
) -> NDArray[np.uint8]:
    """Return the luma that `open_picture` reads from a file of the format, as grey (H, W, 3).

    Coded in strips of whole blocks, which takes little memory; beside the border between two of
    them a level may differ. All three channels would take another 48 MB of 24 megapixels.

    Args:
        pixels: uint8 (H, W, 3).
        name: Pillow's name of the format.
        options: Pillow's, with the profile.
        corrections: as in `Coding`.
        in_one_channel: the file is grey, as the pixels are.
    """
    luma = np.empty(pixels.shape[:2], np.uint8)

    def code(rows: slice) -> None:
        strip = Image.fromarray(pixels[rows, :, 0] if in_one_channel else pixels[rows])
        coded, _ = _coded(corrected(strip, name, options, corrections), name, options)
        shown = render(coded, Colour(options.get("icc_profile"))).pixels
        luma[rows] = np.asarray(Image.fromarray(shown).convert("L"))

    over_bands(code, len(pixels), rows=_STRIP_ROWS, reads=[pixels])
    return np.broadcast_to(luma[..., None], pixels.shape)
