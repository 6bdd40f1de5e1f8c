"""From a picture to the strength of each wave of the mark's tile.

A picture is resized to a reference size and its luma split into two bands. Each pixel of a band is
weighted by the mark expected there over the picture's own power (a matched filter: one bold edge
must not outvote a sky), and the tiles are added up. The mark adds up, the picture averages out.
The bands are weighted apart because a picture shrunk to a quarter keeps only the lower one, which
must then read as it did before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from artscraper_runner.imaging.filters import window_mean
from artscraper_runner.imaging.tiles import over_bands
from artscraper_runner.watermarks import Pixels
from artscraper_runner.watermarks.carriers import TILE_PX, layout
from artscraper_runner.watermarks.masking import amplitudes, local_activity

Floats = npt.NDArray[np.float32]
Complexes = npt.NDArray[np.complex64]

REFERENCE_SIDE = 512  # px of the short side, so that a mark has four tiles across
REFERENCE_PIXELS = 1 << 20  # at most; longer pictures than 1:4 get fewer tiles across
SPLIT = 15.0  # cycles a tile; a picture of 128 px shrunk from the reference size holds 16
HIGHEST_AT_REFERENCE = 0.96 * TILE_PX / 2  # cycles a tile
_NEIGHBOURS = 5  # waves
_FINE_SCALE = 1.5  # pictures up to that many times the reference size are searched at their own
_EDGE_PX = 24  # mirrored beyond each edge, so that the filters see no step there
_NOISE = 2.0  # levels that any change of the file adds to a band
# What a reader expects of the mark, whose strength it does not know; see `masking.amplitudes`.
_FLAT, _TEXTURE, _MOST = 0.25, 0.6, 2.4


@dataclass(frozen=True)
class Band:
    """A range of frequencies: its whitening filter and the window its contrast is taken in.

    The gain at frequency r (cycles a tile) is (r / pivot) ** SLOPE between `low` and `high`, with
    Butterworth edges of the orders given.
    """

    pivot: float
    low: float
    low_order: int
    high: float
    high_order: int
    window_px: int

    def gain(self, radius: Floats) -> Floats:
        """Return the filter's gain at `radius` cycles a tile, any shape."""
        at = np.maximum(radius, 0.5).astype(np.float64)
        gain = (at / self.pivot) ** _WHITENING
        gain /= 1 + (self.low / at) ** self.low_order
        gain /= 1 + (at / self.high) ** self.high_order
        return gain.astype(np.float32)


_WHITENING = 1.2  # pictures' amplitudes fall about as 1 / frequency ** 1.2
LOW_BAND = Band(pivot=10, low=3.5, low_order=6, high=SPLIT + 0.8, high_order=40, window_px=15)
HIGH_BAND = Band(pivot=22, low=SPLIT - 0.8, low_order=40, high=32, high_order=16, window_px=11)

BANDS = (LOW_BAND, HIGH_BAND)


@dataclass(frozen=True)
class Filtered:
    """One band of a picture, arrays float32 (h, w).

    `values` is the filtered luma, `contrast` its local standard deviation, `activity` the texture
    that hides a mark (`masking`), all in levels.
    """

    values: Floats
    contrast: Floats
    activity: Floats

    @property
    def weight(self) -> Floats:
        """Weight of each pixel: the mark expected there over the noise, per level."""
        power: Floats = np.square(self.contrast) + np.float32(_NOISE**2)
        return self.expected / power

    @property
    def expected(self) -> Floats:
        """Amplitude that a reader expects of the mark, in levels up to a factor."""
        return amplitudes(self.activity, flat=_FLAT, texture=_TEXTURE, most=_MOST)


def reference_size(height: int, width: int) -> tuple[int, int]:
    """Return (height, width) in px at which a picture of that shape is marked and read."""
    scale = min(REFERENCE_SIDE / min(height, width), (REFERENCE_PIXELS / (height * width)) ** 0.5)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def highest_kept(height: int, width: int) -> float:
    """Return the highest frequency, in cycles a tile, that a picture of that size can hold."""
    scale = height / reference_size(height, width)[0]
    return min(scale, 1.0) * HIGHEST_AT_REFERENCE


def reference_luma(pixels: Pixels) -> Floats:
    """Return the luma (BT.601, 0..255) of uint8 (H, W, 3) at its reference size."""
    return resized_luma(luma_image(pixels), reference_size(*pixels.shape[:2]))


def luma_image(pixels: Pixels) -> Image.Image:
    """Return the luma (BT.601) of uint8 (H, W, 3), mode L."""
    luma = np.empty(pixels.shape[:2], np.uint8)

    def convert(rows: slice) -> None:  # Pillow's copy of the whole picture takes 4 bytes a pixel
        luma[rows] = np.asarray(Image.fromarray(pixels[rows]).convert("L"))

    over_bands(convert, len(pixels), reads=[pixels])
    return Image.fromarray(luma)


def resized_luma(luma: Image.Image, size: tuple[int, int]) -> Floats:
    """Return a picture of luma (mode L) at (height, width) in px, float32 0..255."""
    height, width = size
    if luma.size != (width, height):
        smaller = width < luma.width
        how = Image.Resampling.LANCZOS if smaller else Image.Resampling.BICUBIC
        luma = luma.resize((width, height), how, reducing_gap=1.1)
    return np.asarray(luma, np.float32)


def fine_luma(pixels: Pixels) -> tuple[Floats, float]:
    """Return the luma at the picture's own size, and that size over the reference size.

    For large pictures, which lose nothing by it, both are of the reference size.
    """
    scale = pixels.shape[0] / reference_size(*pixels.shape[:2])[0]
    if scale > _FINE_SCALE:
        return reference_luma(pixels), 1.0
    return np.asarray(Image.fromarray(pixels).convert("L"), np.float32), scale


def fast_length(least: int) -> int:
    """Return the next length of which a Fourier transform is fast: a product of 2, 3 and 5."""
    length = least
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


def split(luma: Floats) -> list[Filtered]:
    """Return the two bands of float32 (h, w), the lower first."""
    height, width = luma.shape
    padded = [fast_length(side + 2 * _EDGE_PX) for side in luma.shape]
    room = [
        (_EDGE_PX, size - side - _EDGE_PX) for size, side in zip(padded, luma.shape, strict=True)
    ]
    fits = min(luma.shape) > max(max(pair) for pair in room)
    spectrum = np.fft.rfft2(np.pad(luma, room, mode="reflect" if fits else "edge"))
    inside = np.s_[_EDGE_PX : _EDGE_PX + height, _EDGE_PX : _EDGE_PX + width]
    bands = []
    for band, activity in zip(BANDS, local_activity(luma), strict=True):
        whole = np.fft.irfft2(spectrum * _gains(band, *padded), s=padded)
        values = np.asarray(whole[inside], np.float32)
        bands.append(Filtered(values, _local_deviation(values, band.window_px), activity))
    return bands


def evened(bands: list[Filtered]) -> Floats:
    """Return the sum of both bands, weighted and of mean power 1 each, float32 (h, w)."""
    total = np.zeros_like(bands[0].values)
    for band in bands:
        values = band.values * band.weight
        total += values / (np.float32(np.sqrt(np.square(values).mean())) + np.float32(1e-6))
    return total


def wave_spectrum(bands: list[Filtered], inside: Floats | None = None) -> Complexes:
    """Return the spectrum of the folded tile, complex64 (TILE_PX, TILE_PX).

    Args:
        bands: the lower and the upper one.
        inside: (h, w), 0..1: which pixels count; None: all alike.
    """
    low, high = (_spectrum_of(band, inside) for band in bands)
    return np.where(_radii() <= SPLIT, low, high)


def whitened(spectrum: Complexes, highest: float) -> Complexes:
    """Return a tile's spectrum with mean power 1 around each wave, and 0 above `highest`.

    Power is averaged over rings and then over neighbours, since pictures have more of it along the
    axes and across the direction of their strokes.
    """
    ring = np.rint(_radii()).astype(np.intp)
    power = np.square(np.abs(spectrum))
    mean = np.bincount(ring.ravel(), power.ravel()) / np.bincount(ring.ravel())
    expected = mean.astype(np.float32)[ring] + np.float32(1e-12)
    reach = _NEIGHBOURS // 2
    wrapped = np.pad(np.fft.fftshift(power / expected), reach, mode="wrap")
    near = window_mean(wrapped, _NEIGHBOURS)[reach:-reach, reach:-reach]
    expected = expected * np.fft.ifftshift(near) + np.float32(1e-12)
    keep = _radii() <= highest
    return np.where(keep, spectrum / np.sqrt(expected), 0).astype(np.complex64)


def wave_values(spectrum: Complexes) -> Floats:
    """Return each wave's share in its own phase, (n,) in the layout's order."""
    waves = layout()
    values: Floats = (spectrum.ravel()[waves.index] * waves.phase.conj()).real
    return values


def _spectrum_of(band: Filtered, inside: Floats | None) -> Complexes:
    weight = band.weight if inside is None else band.weight * inside
    power = float((weight * band.expected).sum()) + 1e-12
    height, width = band.values.shape
    rows, columns = -(-height // TILE_PX), -(-width // TILE_PX)
    whole = np.zeros((rows * TILE_PX, columns * TILE_PX), np.float32)
    whole[:height, :width] = band.values * weight
    folded = whole.reshape(rows, TILE_PX, columns, TILE_PX).sum(axis=(0, 2))
    return np.asarray(np.fft.fft2(folded) * np.float32(2 / power), np.complex64)


def _local_deviation(values: Floats, window_px: int) -> Floats:
    """Return the local deviation; two passes of a box come close to a smooth window."""
    power = window_mean(window_mean(values * values, window_px), window_px)
    deviation: Floats = np.sqrt(np.maximum(power, 0))
    return deviation


@lru_cache(maxsize=8)
def _gains(band: Band, height: int, width: int) -> Floats:
    rows = np.fft.rfftfreq(height, 1 / TILE_PX).astype(np.float32)
    columns = np.fft.rfftfreq(width, 1 / TILE_PX).astype(np.float32)
    upper = band.gain(np.hypot(rows[:, None], columns[None, :]))
    return np.concatenate([upper, upper[1 : (height + 1) // 2][::-1]])  # negative frequencies


@lru_cache(maxsize=1)
def _radii() -> Floats:
    frequency = np.fft.fftfreq(TILE_PX, 1 / TILE_PX).astype(np.float32)
    return np.hypot(frequency[:, None], frequency[None, :])
