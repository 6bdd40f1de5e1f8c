"""How visible a change of a picture is, place by place, and how to keep it within a bound.

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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from artscraper_runner.imaging.tiles import over_bands

Pixels = NDArray[np.uint8]
Planes = NDArray[np.float32]
Places = NDArray[np.float32]  # (rows, columns), one value for each 4 x 4 px

PLACE = 4  # px
MAX_PIXELS = 3_000_000  # larger pictures are looked at in a reduced copy
_BANDS = 5
_UNIT = 2**_BANDS  # px; sides are padded to a multiple of it
_TO_CONES = np.array(  # linear sRGB to long, medium and short cones, as in JPEG XL
    [(0.30, 0.622, 0.078), (0.23, 0.692, 0.078), (0.243423, 0.204767, 0.551810)], np.float32
)
_BIAS = np.float32(0.0037930733)
_RED_GREEN_GAIN = np.float32(7)
# Rows are bands, the finest first; columns red-green, luma and blue-yellow.
_THRESHOLD = np.array(
    [
        (0.0596, 0.0067, 0.0270),
        (0.0059, 0.0024, 0.0174),
        (0.0062, 0.0015, 0.0094),
        (0.0065, 0.0028, 0.0095),
        (0.0038, 0.0018, 0.0097),
    ]
)
_MASKING = np.array(
    [
        (0.7399, 0.7431, 0.3663),
        (0.1103, 0.6486, 1.0098),
        (3.2430, 1.4785, 0.1896),
        (0.5809, 0.1462, 0.5947),
        (0.2044, 0.0271, 0.2053),
    ]
)
_LUMA_MASKS_COLOUR = np.array((0.0313, 0.0143, 0.0065, 0.0250, 0.0114))  # share of its energy
_NEXT_BAND_MASKS = 0.4686  # share of the energy of the band an octave below
_MOST_MASKING = 2.0  # times the threshold: more hides a change from one judge, not from the eye
_PLAIN = 0.69  # of the threshold, where there is no grain at all, as in flat art
_GRAIN = 0.0015  # of luma in the finest band: about one level of noise
_DARKER = 0.240  # how fast thresholds fall with luma
_SRGB_STEPS = 255 * 16
_ROUNDS = 3
_TOLERANCE = np.float32(1.001)


def _linear_light() -> Planes:
    values = np.arange(_SRGB_STEPS + 1) / _SRGB_STEPS
    curve = ((values + 0.055) / 1.055) ** 2.4
    return np.where(values <= 0.04045, values / 12.92, curve).astype(np.float32)


_LINEAR = _linear_light()


class VisibilityModel:
    """The visibility of changes of one picture, float32 (3, H, W) in [0, 1], of any size."""

    def __init__(self, original: Planes) -> None:
        self._size = original.shape[1:]
        self._seen = _opponent(original)
        self._places = tuple(side // PLACE for side in self._seen.shape[1:])
        activity = self._energies(self._seen)
        luma = _in_places(self._seen[1:2], 0, self._places)[0]
        self._limits = _limits(activity, luma)

    def places(self, changed: Planes) -> Places:
        """Return the visibility of the change to `changed` in every place, from 0."""
        change = _opponent(changed) - self._seen
        rows, columns = self._size
        change[:, rows:] = 0  # beyond the picture: a change of one pixel ends at its border
        change[:, :, columns:] = 0
        energies = self._energies(change)
        total = np.zeros(self._places, np.float32)
        for band in range(_BANDS):
            near = ndimage.uniform_filter(energies[band], (0, 3, 3), mode="nearest")
            total += (near / self._limits[band]).sum(0)
        return np.asarray(
            np.sqrt(np.maximum(total, 0)), np.float32
        )  # running means may end below 0

    def figure(self, changed: Planes) -> float:
        """Return the visibility of the change to `changed` in its worst place."""
        return float(self.places(changed).max())

    def amplitude(self, original: Planes) -> Planes:
        """Return float32 (H, W): the amplitude of random signs with a visibility of 1, of [0, 1].

        `original` is the model's picture.
        """
        rng = np.random.default_rng(0)
        probe = np.float32(2 / 255)
        signs = rng.choice(np.array([-probe, probe], np.float32), original.shape)
        seen = self.places(np.clip(original + signs, 0, 1))
        return self._enlarged(probe / np.maximum(ndimage.gaussian_filter(seen, 1.5), 0.05))

    def share_within(
        self, before: Planes, changed: Planes, bound: float, *, visible_before: Places
    ) -> Planes:
        """Return float32 (H, W) in 0..1: the share of a further change that keeps the bound.

        Visibility is convex in that share, so the chord from `before` to `changed` bounds it.

        Args:
            before: the picture that was changed further.
            changed: that picture after the further change.
            bound: on the visibility of every place. Where `before` has passed it nothing more
                is allowed.
            visible_before: `places(before)`.
        """
        seen = self.places(changed)
        rise = np.maximum(seen - visible_before, 1e-6)
        share = np.where(seen <= bound, 1, (bound - visible_before) / rise).clip(0, 1)
        if share.min() >= 1:
            return np.ones(self._size, np.float32)
        calmest = ndimage.minimum_filter(share.astype(np.float32), 3)
        smooth: Places = ndimage.gaussian_filter(calmest, 0.7)
        return self._enlarged(smooth)

    def _energies(self, opponent: Planes) -> list[Planes]:
        """The energy of each band in every place, _BANDS times (3, rows, columns)."""
        energies = []
        for band in range(_BANDS):
            coarse = _reduced(_reduced(opponent, 1), 2)
            detail = opponent - _expanded(_expanded(coarse, 1), 2)
            energies.append(_in_places(detail * detail, band, self._places))
            opponent = coarse
        return energies

    def _enlarged(self, places: Places) -> Planes:
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
        factor = 1
        while original.shape[0] * original.shape[1] > MAX_PIXELS * factor**2:
            factor += 1
        return cls(VisibilityModel(to_planes(_reduced_copy(original, factor))), factor)

    def figure(self, changed: Pixels) -> float:
        """Return the visibility of the change to `changed` in its worst place."""
        return self.model.figure(self._seen(changed))

    def within(self, bound: float, *, before: Pixels, changed: Pixels) -> Pixels:
        """Return `changed` with what was added to `before` scaled back where it shows too much.

        Where `before` has passed the bound it stays as it is. Rounding to 8 bits may leave a place
        a little above the bound after _ROUNDS rounds.
        """
        start = self._seen(before)
        visible_before = self.model.places(start)
        allowed = np.maximum(visible_before, bound) * _TOLERANCE
        share = np.ones(before.shape[:2], np.float32)
        result = changed
        for _ in range(_ROUNDS):
            seen = self._seen(result)
            if (self.model.places(seen) <= allowed).all():
                break
            less = self.model.share_within(start, seen, bound, visible_before=visible_before)
            share *= _at_size(less, before.shape[:2])
            result = _blended(before, changed, share)
        return result

    def _seen(self, pixels: Pixels) -> Planes:
        return to_planes(_reduced_copy(pixels, self.factor))


def to_planes(pixels: Pixels) -> Planes:
    """Return uint8 (H, W, 3) as float32 (3, H, W) in [0, 1]."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32)
    planes /= 255
    return planes


def _reduced_copy(pixels: Pixels, factor: int) -> Pixels:
    if factor == 1:
        return pixels
    return np.asarray(Image.fromarray(pixels).reduce(factor))


def _at_size(share: Planes, size: tuple[int, int]) -> Planes:
    if share.shape == size:
        return share
    image = Image.fromarray(share).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _blended(before: Pixels, changed: Pixels, share: Planes) -> Pixels:
    """`before` plus a share of the change to `changed`, a band of rows at a time."""
    result = np.empty_like(before)

    def blend(rows: slice) -> None:
        change = changed[rows].astype(np.float32) - before[rows]
        change *= share[rows, :, None]
        np.rint(change, out=change)
        change += before[rows]
        result[rows] = change

    over_bands(blend, len(before))
    return result


def _opponent(picture: Planes) -> Planes:
    """XYB with a gain, padded."""
    light = _LINEAR[np.rint(picture * np.float32(_SRGB_STEPS)).astype(np.int32)]
    light = _padded(light)
    cones: Planes = np.tensordot(_TO_CONES, light, axes=1)
    cones += _BIAS
    np.cbrt(cones, out=cones)
    cones -= np.cbrt(_BIAS)
    long, medium, short = cones
    luma = (long + medium) / 2
    opponent = [_RED_GREEN_GAIN * (long - medium), luma, short - luma]
    return np.stack(opponent).astype(np.float32, copy=False)


def _limits(activity: list[Planes], luma: Places) -> list[Planes]:
    """The squared limits of each band's energy, _BANDS times (3, rows, columns)."""
    calm = [ndimage.minimum_filter(each, (1, 3, 3)) for each in activity]
    grain = np.minimum(calm[0][1] / _GRAIN**2, 1)
    plain = (_PLAIN**2 + (1 - _PLAIN**2) * grain) * np.exp(_DARKER * (0.5 - luma))
    limits = []
    for band, own in enumerate(calm):
        mask = own + _NEXT_BAND_MASKS * calm[min(band + 1, _BANDS - 1)]
        mask[0] += _LUMA_MASKS_COLOUR[band] * own[1]
        mask[2] += _LUMA_MASKS_COLOUR[band] * own[1]
        threshold = np.square(_THRESHOLD[band])[:, None, None] * plain
        masking = np.square(_MASKING[band])[:, None, None] * mask
        limit = np.minimum(threshold + masking, _MOST_MASKING**2 * threshold)
        limits.append(limit.astype(np.float32))
    return limits


def _in_places(values: Planes, band: int, places: tuple[int, ...]) -> Planes:
    """Means of a band's values over the places, (3, rows, columns)."""
    size = PLACE >> band
    if size > 1:
        channels, rows, columns = len(values), *places
        means: Planes = values.reshape(channels, rows, size, columns, size).mean((2, 4))
        return means
    repeats = 2**band // PLACE
    if repeats == 1:
        return values
    spread = values.repeat(repeats, 1).repeat(repeats, 2)
    smooth: Planes = ndimage.uniform_filter(spread, (0, repeats + 1, repeats + 1), mode="nearest")
    return smooth


def _reduced(values: Planes, axis: int) -> Planes:
    """Every second value along an axis of even length, after a binomial blur of five taps."""
    padded = np.pad(values, [(2, 2) if each == axis else (0, 0) for each in range(3)], mode="edge")
    count = values.shape[axis] // 2
    taps = [padded[_along(axis, slice(first, first + 2 * count, 2))] for first in range(5)]
    total = taps[1] + taps[3]
    total *= np.float32(4)
    total += taps[0]
    total += taps[4]
    total += np.float32(6) * taps[2]
    total *= np.float32(1 / 16)
    return total


def _expanded(values: Planes, axis: int) -> Planes:
    """Twice as many values along an axis, the adjoint blur of `_reduced` but for the border."""
    padded = np.pad(values, [(1, 1) if each == axis else (0, 0) for each in range(3)], mode="edge")
    count = values.shape[axis]
    before, own, after = (padded[_along(axis, slice(first, first + count))] for first in range(3))
    shape = list(values.shape)
    shape[axis] = 2 * count
    result = np.empty(shape, np.float32)
    result[_along(axis, slice(0, None, 2))] = (before + after + np.float32(6) * own) / 8
    result[_along(axis, slice(1, None, 2))] = (own + after) / 2
    return result


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (slice(None),) * axis + (part,)


def _padded(light: Planes) -> Planes:
    pads = [(0, -side % _UNIT) for side in light.shape[1:]]
    return np.pad(light, [(0, 0), *pads], mode="edge")
