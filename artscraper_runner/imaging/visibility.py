"""Measure how visible a change is in each place, and keep it within a bound.

A model of contrast masking (Legge and Foley 1980): the difference of two pictures in opponent
colours (the XYB space of JPEG XL, whose cube root stands for adaptation to dark and light) is split
into five octave bands. In each place of 4 x 4 px the energy of a band is divided by the square of
its limit: a threshold, raised by the original's own activity in that band where its calmest
neighbour has some, since an edge beside a flat side masks nothing. The square root of the sum over
bands and colours is the visibility of the place; that of the picture is the one of its worst place.

The numbers were fitted on crops of training and drawn pictures with ten kinds of changes, so that
the worst place predicts Butteraugli and means over the same places predict SSIMULACRA2 and FLIP
(`docs/protection.md`); none of these three is used at run time. So 1 is about Butteraugli's 1: not
visible. Pictures are float32 (3, H, W) sRGB in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.imaging.filters import (
    PLACE,
    expanded,
    gaussian_blur,
    in_places,
    means_of_four_by_four,
    reduced,
    window_mean,
    window_minimum,
)
from artscraper_runner.imaging.opponent import (
    LUMA_OF_BLACK,
    opponent_colours,
    opponent_rows,
    size_of,
)
from artscraper_runner.imaging.tiles import over_bands, reduced_copy

Pixels = NDArray[np.uint8]
Planes = NDArray[np.float32]
Places = NDArray[np.float32]  # (rows, columns), one value for each 4 x 4 px
Energies = NDArray[np.float32]  # (bands, colours, rows, columns)

MAX_PIXELS = 6_300_000  # larger pictures are looked at in a reduced copy
_REDUCED_PIXELS = 3_000_000  # of that copy, at most
_BANDS = 5
_NEAR = 5  # places; a change that is spread shows by what surrounds it, not by its peaks
_KEPT_PIXELS = 1 << 20  # of opponent colours that a model keeps
_UNIT = 2**_BANDS  # px; sides are padded to a multiple of it
# Rows are bands, the finest first; columns red-green, luma and blue-yellow.
_THRESHOLD = np.array(
    [
        (0.0596, 0.0070, 0.0270),
        (0.0059, 0.0025, 0.0174),
        (0.0062, 0.0034, 0.0094),
        (0.0065, 0.0033, 0.0095),
        (0.0038, 0.0030, 0.0097),
    ]
)
_MASKING = np.array(
    [
        (0.7427, 0.5315, 0.3685),
        (0.1110, 0.6999, 1.0327),
        (3.2303, 1.3014, 0.1905),
        (0.5927, 0.1633, 0.5993),
        (0.2066, 0.0282, 0.2053),
    ]
)
_LUMA_MASKS_COLOUR = np.array((0.0313, 0.0143, 0.0065, 0.0250, 0.0114))  # share of its energy
_NEXT_BAND_MASKS = 0.5700  # share of the energy of the band an octave below
_MOST_MASKING = np.array((2.0, 2.8, 2.0))  # times the threshold; the eye trusts texture less
_PLAIN = 0.544  # of the threshold, where there is no grain at all, as in flat art
_GRAIN = 0.0015  # of luma in the finest band: about one level of noise
_DARKER = 0.240  # how fast thresholds fall with luma
_POWERS = (1, 2, 3)  # of the share, in rounds: a small share of a small change is rounded away
_SHARE_BITS = 7
_WHOLE_SHARE = 1 << _SHARE_BITS  # times a change of 8 bits it still fits into 16
_TOLERANCE = np.float32(1.001)
_LEAST_RISE = 0.01  # of the squared visibility


class VisibilityModel:
    """The visibility of changes of one picture, of any size.

    Pictures are float32 (3, H, W) in [0, 1], or uint8 (H, W, 3).
    """

    def __init__(self, original: Planes | Pixels) -> None:
        seen = opponent_colours(original, multiple=_UNIT)
        self._size = rows, columns = size_of(original)
        self._colours: Callable[[slice], Planes] = lambda band: seen[:, band, :columns]
        if rows * columns > _KEPT_PIXELS:  # they take 12 bytes a pixel: converted anew then
            self._colours = partial(opponent_rows, original)
        self._places = tuple(side // PLACE for side in seen.shape[1:])
        luma = means_of_four_by_four(seen[1] - LUMA_OF_BLACK)
        self._weights = _limits(self._energies(seen), luma)
        np.reciprocal(self._weights, out=self._weights)

    def places(self, changed: Planes | Pixels) -> Places:
        """Return the visibility of the change to `changed` in every place, from 0."""
        change = opponent_colours(changed, multiple=_UNIT, less=self._colours)
        near = window_mean(self._energies(change), _NEAR)
        del change
        near *= self._weights
        total: Places = near.sum((0, 1))
        return np.sqrt(total, out=total)

    def amplitude(self, original: Planes) -> Places:
        """Return the amplitude of random signs with a visibility of 1 in each place, of [0, 1].

        `original` is the model's picture.
        """
        rng = np.random.default_rng(0)
        probe = np.float32(2 / 255)
        signs = probe * (2 * rng.integers(0, 2, original.shape, np.int8) - 1)
        seen = gaussian_blur(self.places(np.clip(original + signs, 0, 1)), 1.5)
        np.maximum(seen, np.float32(0.05), out=seen)
        return np.divide(probe, seen, out=seen)

    def share_within(
        self, changed: Planes, bound: float | Places, *, visible_before: Places
    ) -> Planes:
        """Return float32 (H, W) in 0..1: the share of a further change that keeps the bound.

        Visibility is convex in that share, so the chord to `changed` bounds it.

        Args:
            changed: the picture after the further change.
            bound: on the visibility of every place, or of each. Where the picture before has passed
                it nothing more is allowed.
            visible_before: `places` of the picture before.
        """
        seen = self.places(changed)
        return self.enlarged(_share_within(bound, before=visible_before, after=seen))

    def in_places(self, values: Planes) -> Places:
        """Return the means over places of values for each pixel, float32 (H, W)."""
        rows, columns = (PLACE * side for side in self._places)
        pads = [(0, rows - values.shape[0]), (0, columns - values.shape[1])]
        return means_of_four_by_four(np.pad(values, pads, mode="edge"))

    def fine_limits(self) -> Planes:
        """Return the squared limits of the finest band's energy for each pixel, (3, H, W)."""
        return np.stack([self.enlarged(np.reciprocal(weights)) for weights in self._weights[0]])

    def _energies(self, opponent: Planes) -> Energies:
        """Return the energy of each band and colour in every place, (bands, 3, rows, columns)."""
        energies = np.empty((_BANDS, 3, *self._places), np.float32)
        for colour, own in enumerate(opponent):  # a plane fits into a processor's own cache
            plane = own
            for band in range(_BANDS):
                coarse = reduced(reduced(plane).T).T
                detail = expanded(expanded(coarse.T).T)
                np.subtract(plane, detail, out=detail)
                detail *= detail
                energies[band, colour] = in_places(detail, band)
                plane = coarse
        return energies

    def enlarged(self, places: Places) -> Planes:
        """Return values of places for each pixel, float32 (H, W)."""
        height, width = (side * PLACE for side in places.shape)
        image = Image.fromarray(places).resize((width, height), Image.Resampling.BILINEAR)
        rows, columns = self._size
        return np.array(np.asarray(image)[:rows, :columns])


@dataclass(frozen=True)
class VisibleChange:
    """Visibility for pictures in 8 bits of any size; large ones are looked at in a reduced copy.

    Pictures are uint8 (H, W, 3).
    """

    model: VisibilityModel
    factor: int

    @classmethod
    def of(cls, original: Pixels) -> VisibleChange:
        """Return the visibility of changes of `original`."""
        pixels, factor = original.shape[0] * original.shape[1], 1
        if pixels > MAX_PIXELS:
            factor = math.ceil(math.sqrt(pixels / _REDUCED_PIXELS))
        return cls(VisibilityModel(reduced_copy(original, factor, factor)), factor)

    def room_for(self, noise: Planes, *, before: Pixels, bound: float) -> Planes:
        """Return how many times `noise` may be added to `before`, float32 (h, w) of the copy.

        Args:
            noise: float32, a change of luma in levels that is alike everywhere; of any size.
            before: the layer that it would be added to.
            bound: on the visibility of every place.
        """
        start = self._seen(before)
        size = (start.shape[1], start.shape[0])
        visible_before = np.square(self.model.places(start))
        added = np.asarray(Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)) / 255
        changed = to_planes(start)
        changed += added
        seen = self.model.places(np.clip(changed, 0, 1, out=changed))
        spare = np.maximum(bound**2 - visible_before, 0)
        room = np.sqrt(spare / np.maximum(np.square(seen) - visible_before, _LEAST_RISE))
        return self.model.enlarged(room.astype(np.float32))

    def worst(self, changed: Pixels) -> tuple[float, float, float]:
        """Return the visibility in the worst place, and its x and y as shares of the picture."""
        seen = self._seen(changed)
        places = self.model.places(seen)
        row, column = np.unravel_index(int(places.argmax()), places.shape)
        y, x = (np.array((row, column)) + 0.5) * PLACE / seen.shape[:2]
        return float(places[row, column]), min(1.0, float(x)), min(1.0, float(y))

    def within(
        self, bound: float, *, before: Pixels, changed: Pixels, overwrite: bool = False
    ) -> Pixels:
        """Return `changed` with its difference from `before` scaled back where it is too visible.

        Where `before` has passed the bound it stays as it is. Rounding to 8 bits may leave single
        places a little above the bound. It is `changed` itself where nothing was scaled back.
        `overwrite`: a large picture may be written into `changed`.
        """
        start, end = (self._seen(pixels) for pixels in (before, changed))
        visible_before = self.model.places(start)
        allowed = np.maximum(visible_before, bound) * _TOLERANCE
        share, result = np.ones_like(visible_before), end
        for power in _POWERS:
            visible = self.model.places(result)
            if (visible <= allowed).all():
                break
            share *= _share_within(bound, before=visible_before, after=visible) ** power
            result = _blended(start, end, share, place=PLACE)
        if result is end:
            return changed
        if self.factor == 1:
            return result
        place, into = PLACE * self.factor, changed[:] if overwrite else None
        return _blended(before, changed, share, place=place, into=into)

    def _seen(self, pixels: Pixels) -> Pixels:
        return reduced_copy(pixels, self.factor, self.factor)


def to_planes(pixels: Pixels) -> Planes:
    """Return uint8 (H, W, 3) as float32 (3, H, W) in [0, 1]."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32)
    planes /= 255
    return planes


def _blended(
    before: Pixels, changed: Pixels, share: Places, *, place: int, into: Pixels | None = None
) -> Pixels:
    """`before` plus a share of the change to `changed`, given for places of `place` px."""
    result = np.empty(before.shape, np.uint8) if into is None else into
    width = before.shape[1]
    image = Image.fromarray((share * np.float32(_WHOLE_SHARE)).astype(np.uint8))

    def blend(rows: slice) -> None:
        box = (0, rows.start / place, width / place, rows.stop / place)
        part = image.resize((width, rows.stop - rows.start), Image.Resampling.BILINEAR, box=box)
        shares = np.asarray(part)
        if shares.min() == _WHOLE_SHARE:
            result[rows] = changed[rows]
            return
        change = np.subtract(changed[rows], before[rows], dtype=np.int16)
        change *= shares[..., None]
        change += _WHOLE_SHARE // 2
        change >>= _SHARE_BITS
        np.add(change, before[rows], out=result[rows], casting="unsafe")

    over_bands(blend, len(before), reads=[before, changed])
    return result


def _share_within(bound: float | Places, *, before: Places, after: Places) -> Places:
    """Return the share of the way from one visibility to another that keeps a bound, smoothed."""
    rise, bound = np.maximum(after - before, np.float32(1e-6)), np.asarray(bound, np.float32)
    share = np.where(after <= bound, np.float32(1), (bound - before) / rise).clip(0, 1)
    if share.min() >= 1:
        return share
    return gaussian_blur(window_minimum(share, 3), 0.7)


def _limits(activity: Energies, luma: Places) -> Energies:
    """Return the squared limits of each band's energy, like `activity`."""
    calm = window_minimum(activity, 3)
    grain = np.minimum(calm[0, 1] * np.float32(_GRAIN**-2), 1)
    plain = _PLAIN**2 + np.float32(1 - _PLAIN**2) * grain
    plain *= np.exp(np.float32(_DARKER) * (np.float32(0.5) - luma))
    limits = np.empty_like(calm)
    for band, own in enumerate(calm):
        mask = own + np.float32(_NEXT_BAND_MASKS) * calm[min(band + 1, _BANDS - 1)]
        mask[::2] += _LUMA_MASKS_COLOUR[band] * own[1]
        threshold = np.square(_THRESHOLD[band])[:, None, None] * plain
        masking = np.square(_MASKING[band])[:, None, None] * mask
        most = np.square(_MOST_MASKING)[:, None, None] * threshold
        np.minimum(threshold + masking, most, out=limits[band])
    return limits
