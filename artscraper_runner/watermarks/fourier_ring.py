"""A mark without a message: keyed rings in the magnitudes of the picture's Fourier transform.

The plane of frequencies of the luma, at the reference size, is cut into pairs of neighbouring
rings. In each pair a key selects the ring that is amplified; the other is attenuated. Rings
stay rings when a picture is turned or mirrored, and where they are when it is resized.

`detect` compares the rings' mean log magnitudes. Its p-value is a permutation test: the same
statistic for `DECOYS` other keys on the same picture. It is exact over keys drawn at random, for
any one picture. The key that is used was drawn once, so over pictures the share below some p need
not be p: of clean crops of like pictures more or fewer come out small, as the table in the
documentation shows.

After Solachidis & Pitas, "Circularly symmetric watermark embedding in 2-D DFT domain" (IEEE Trans.
Image Processing 10(11), 2001). It is not Tree-Ring (Wen et al. 2023, arXiv:2305.20030), which
marks the noise that a diffusion model starts from. Not guaranteed: a crop moves the rings, and
ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from artscraper_runner.errors import PictureTooSmall
from artscraper_runner.watermarks import Pixels
from artscraper_runner.watermarks.folding import (
    REFERENCE_SIDE,
    Floats,
    reference_luma,
    reference_size,
)

MIN_SIDE = 256  # px; smaller pictures lack the outer rings
PAIRS = 32
LOWEST, HIGHEST = 14.0 / REFERENCE_SIDE, 170.0 / REFERENCE_SIDE  # cycles a px
RMS = 1.9  # levels of luma that the mark adds: 42.5 dB
DECOYS = 20_000
DETECTED = 0.001  # a p-value below it
_AXIS = 3.0  # frequencies nearer to the axes, in waves a side, are the picture's edges
_KEY = 0x52494E47
_LEAST_PAIRS = 8


@dataclass(frozen=True)
class Detection:
    """`score` is the statistic in standard deviations of the decoys'; `p_value` 5e-5 to 1."""

    score: float
    p_value: float

    @property
    def is_marked(self) -> bool:
        """Whether chance alone would do this less than once in a thousand pictures."""
        return self.p_value < DETECTED


def embed(pixels: Pixels) -> Pixels:
    """Return a copy of uint8 (H, W, 3) with the rings, about 42.5 dB from it.

    Raises:
        PictureTooSmall: a side is below MIN_SIDE.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise PictureTooSmall(height=height, width=width, min_pixels=MIN_SIDE**2)
    luma = reference_luma(pixels)
    spectrum = np.fft.rfft2(luma)
    ring = _rings(*luma.shape)
    pairs = np.stack([_key(), -_key()], axis=1)
    signs = np.append(pairs, np.float32(0))  # of no ring
    change = np.fft.irfft2(spectrum * signs[ring], luma.shape)
    change *= np.float32(RMS / max(float(np.sqrt(np.square(change).mean())), 0.1))
    if change.shape != (height, width):
        enlarged = Image.fromarray(change).resize((width, height), Image.Resampling.BICUBIC)
        change = np.asarray(enlarged)
    marked: Pixels = np.clip(np.rint(pixels + change[:, :, None]), 0, 255).astype(np.uint8)
    return marked


def detect(pixels: Pixels) -> Detection:
    """Return how surely uint8 (H, W, 3) carries the rings; a picture too small has p-value 1."""
    means = _ring_means(pixels)
    differences = means[0::2] - means[1::2]
    known = np.isfinite(differences)
    if known.sum() < _LEAST_PAIRS:
        return Detection(0.0, 1.0)
    place = np.flatnonzero(known).astype(np.float64)
    smooth = np.polyval(np.polyfit(place, differences[known], 2), place)  # the spectrum's slope
    rest = differences[known] - smooth
    decoys = _decoys()[:, known] @ rest
    score = float(_key()[known] @ rest)
    beaten = int((decoys >= score).sum())
    spread = float(decoys.std()) + 1e-12
    return Detection(score / spread, (1 + beaten) / (1 + DECOYS))


def _ring_means(pixels: Pixels) -> npt.NDArray[np.float64]:
    """Return the mean log magnitude of each ring, NaN where the picture cannot have it."""
    luma = reference_luma(pixels)
    height, width = luma.shape
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    magnitude = np.log(np.abs(np.fft.rfft2((luma - luma.mean()) * window)) + np.float32(1e-3))
    ring = _rings(height, width)
    rows = np.abs(np.fft.fftfreq(height, 1 / height))[:, None]
    columns = np.fft.rfftfreq(width, 1 / width)[None, :]
    inside = (rows > _AXIS) & (columns > _AXIS) & (ring < 2 * PAIRS)
    count = np.bincount(ring[inside], minlength=2 * PAIRS)
    total = np.bincount(ring[inside], magnitude[inside], minlength=2 * PAIRS)
    highest = 0.47 * min(pixels.shape[0] / reference_size(*pixels.shape[:2])[0], 1.0)
    known = (count > 20) & (_edges()[1:] < highest)
    return np.where(known, total / np.maximum(count, 1), np.nan)


def _rings(height: int, width: int) -> npt.NDArray[np.intp]:
    """Return the ring, 0 to 2 PAIRS - 1, of each frequency of an rfft2; 2 PAIRS = none."""
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    ring = np.searchsorted(_edges(), radius, side="right") - 1
    return np.where((ring < 0) | (ring >= 2 * PAIRS), 2 * PAIRS, ring)


def _edges() -> npt.NDArray[np.float64]:
    return np.linspace(LOWEST, HIGHEST, 2 * PAIRS + 1)


@cache
def _key() -> Floats:
    """Return +1 or -1 for each pair, as many of one as of the other; public."""
    balanced = np.repeat(np.array([1, -1], np.float32), PAIRS // 2)
    return np.random.default_rng(_KEY).permutation(balanced)


@cache
def _decoys() -> Floats:
    """Return (DECOYS, PAIRS): other keys, drawn in the way of the one that is used."""
    random = np.random.default_rng(_KEY + 1)
    balanced = np.repeat(np.array([1, -1], np.float32), PAIRS // 2)
    return random.permuted(np.tile(balanced, (DECOYS, 1)), axis=1)
