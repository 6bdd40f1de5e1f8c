"""The default invisible watermark: 64 bits or a short text that survive what the web does.

A tile of 128 x 128 px, made of about 1,400 waves, repeats over the luma of the picture at a
reference size (512 px on the short side). The signs of the waves carry the payload under a
checksum and an error-correcting code (`coding`, `carriers`). The mark follows local activity
(`masking`), never passes a bound of its own, and leans against what the picture itself has in each
wave. How loud it is in texture is found by trial: it is embedded, changed as the strength demands
(saved as JPEG, shrunk), measured and adjusted, so that a picture carries no more than it needs.

Reading folds the tiles onto each other (`folding`), finds their place (`synchronisation`), weights
each ring of waves by how well its pilots came through, and decodes (`decoding`).

After Cox, Kilian, Leighton & Shamoon, "Secure spread spectrum watermarking for multimedia" (IEEE
Trans. Image Processing 6(12), 1997), Kutter's periodic mark (SPIE 3528, 1998), and Malvar &
Florencio, "Improved spread spectrum" (IEEE Trans. Signal Processing 51(4), 2003), with these
differences: waves instead of pixels carry the bits, so that shrinking loses only the fine ones;
the picture's own share is cancelled in the lower band more than in the upper one; pilots replace
a template in the magnitude spectrum.

Not guaranteed: see docs/watermark.md. Diffusion models that redraw a picture remove
the mark. It is not secret: the waves are public, so anyone with this file can read the mark, and
write over it.
"""

from __future__ import annotations

import io
import weakref
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from artscraper_runner.errors import PictureTooSmall
from artscraper_runner.imaging.visibility import VisibleChange
from artscraper_runner.options import text_of_payload
from artscraper_runner.types import Json
from artscraper_runner.watermarks import Pixels, carriers, check_layout, coding, decoding, folding
from artscraper_runner.watermarks import synchronisation as sync
from artscraper_runner.watermarks.carriers import TILE_PX
from artscraper_runner.watermarks.convolutional import Bits, code_length
from artscraper_runner.watermarks.folding import Complexes, Filtered, Floats
from artscraper_runner.watermarks.luma_change import add_luma, enlarged, in_levels
from artscraper_runner.watermarks.masking import amplitudes, local_activity
from artscraper_runner.watermarks.strengths import STRENGTHS, Strength, Trial
from artscraper_runner.watermarks.wave_amplitudes import (
    LOWER,
    UPPER,
    BandShape,
    planned_amplitudes,
    wave_amplitudes,
)

MIN_SIDE = 256  # px, either side
LONGEST_RATIO = 16  # long side over short side; beyond it the reference picture gets too narrow
LEAST_GRID_SCORE = 5.5
STRONG_GRID_SCORE = 6.6
MOST_GRIDS = 3


LOUDEST_IN_FLAT = 0.75  # factor on the amplitude in the little texture of flat drawings
FLAT_BELOW = 0.15  # levels of activity
MOST_TRIED = 1_500_000  # px; larger pictures are tried in a copy of that size
ROUNDS = 3  # of trials, at most
NEAR = 0.05  # relative difference from the least margin at which the search ends
TEXTURE = 0.6  # levels of amplitude at an activity of one level, at factor 1
PEAKS = 0.65  # of the deviation that may be seen, since the mark is louder in some places
PROBE = 2.0  # levels of deviation of the mark whose visibility is looked at
PEAK = 2.2  # standard deviations of the mark that `Strength.most` leaves whole


def embed(
    pixels: Pixels,
    payload: bytes,
    *,
    strength: str = "medium",
    original: Pixels | None = None,
    sight: VisibleChange | None = None,
    visibility: float | None = None,
) -> Pixels:
    """Return a copy of a picture that carries `payload`.

    Args:
        pixels: uint8 (H, W, 3), sRGB; any memory layout; not modified.
        payload: 8 bytes (a number) or 10 bytes (a text); see `coding`.
        strength: a name in STRENGTHS.
        original: like `pixels`, before other stages changed it: the mark follows the texture of
            this picture, not theirs. None: `pixels`.
        sight: what may be seen of changes of `original`; None: made from it.
        visibility: bound on what may be seen of the result beside `original`; None: the mark is
            bounded by the strength's table alone.

    Returns:
        uint8 (H, W, 3), C-contiguous; the same bytes for the same arguments. No value changes by
        more than the strength's `most`; where R = G = B they stay equal.

    Raises:
        UnsupportedPixels: `pixels` is not uint8 (H, W, 3).
        PictureTooSmall: a side is below MIN_SIDE, or below the long one / LONGEST_RATIO.
        InvalidOption: a payload of another length.
    """
    _check(pixels)
    original = pixels if original is None else original
    host = _Host.of(pixels, original)
    chosen = strength_at(strength, *pixels.shape[:2])
    code = host.likeliest_code(coding.pack(payload), chosen)
    if visibility is not None:
        sight = sight or VisibleChange.of(original)
        noise = PROBE * host.mark(code, chosen, loudness=None)
        room = np.float32(PEAKS * PROBE) * sight.room_for(noise, before=pixels, bound=visibility)
        host = replace(host, room=enlarged(room, noise.shape))
    change = host.mark(code, chosen, loudness=_loudness(host, code, chosen))
    return add_luma(pixels, change)


@dataclass(frozen=True)
class Reading:
    """The watermark read from a picture: `payload` in hex, `text` if it is one.

    A number has 16 digits, a text 20. Both are None when no mark with a right checksum was found;
    `confidence` is then 0, else up to 1, where every wave of the mark speaks for the payload.
    """

    payload: str | None
    text: str | None
    confidence: float

    def to_json(self) -> Json:
        """Return the reading as the command line and the gateway show it."""
        return {"payload": self.payload, "text": self.text, "confidence": self.confidence}


def read_watermark(pixels: Pixels) -> Reading:
    """Return the tiled watermark of uint8 (H, W, 3), as `read` finds it.

    Raises:
        UnsupportedPixels: `pixels` is not uint8 (H, W, 3).
    """
    decoded = read(pixels)
    if decoded is None:
        return Reading(payload=None, text=None, confidence=0.0)
    text = text_of_payload(decoded.payload)
    return Reading(decoded.payload.hex(), text, round(decoded.confidence, 4))


def read(pixels: Pixels, *, search: bool = True) -> decoding.Decoded | None:
    """Return what a picture carries, or None.

    Args:
        pixels: uint8 (H, W, 3), sRGB.
        search: without it, only pictures are read that were not cropped or rotated other than by
            quarter turns; any size, mirrored or not. With it, cropped, slightly rotated, stretched
            and pasted ones too, which takes about a second when there is no mark.

    Raises:
        UnsupportedPixels: `pixels` is not uint8 (H, W, 3).
    """
    check_layout(pixels)
    height, width = folding.reference_size(*pixels.shape[:2])
    if min(height, width) < TILE_PX // 2:
        return None
    spectrum = _spectra.get(pixels)
    decoded = decoding.decode_whole(spectrum, height, width) or decoding.decode_anywhere(spectrum)
    if decoded is not None or not search:
        return decoded
    return _search(pixels)


def bit_accuracy(pixels: Pixels, payload: bytes) -> float:
    """Return the share, 0..1, of the bits of `payload` that are decoded right, checksum or not.

    For a picture that was not cropped or rotated. An unmarked one scores about 0.5.
    """
    _check(pixels)
    bits = decoding.likeliest_frame(_spectra.get(pixels), len(payload))
    wrong = np.unpackbits(np.frombuffer(payload, np.uint8)) != bits[: 8 * len(payload)]
    return 1.0 - float(wrong.mean())


def is_flat(pixels: Pixels) -> bool:
    """Return whether more than half of uint8 (H, W, 3) has no texture to hide a mark."""
    return _is_flat(local_activity(folding.reference_luma(pixels)))


def strength_at(name: str, height: int, width: int) -> Strength:
    """Return the strength called `name` for a picture of that size."""
    return STRENGTHS[name].at_scale(height / folding.reference_size(height, width)[0])


def least_side(height: int, width: int) -> int:
    """Return the px that the short side of such a picture must have to be marked."""
    return max(MIN_SIDE, -(-max(height, width) // LONGEST_RATIO))


def _search(pixels: Pixels) -> decoding.Decoded | None:
    highest = folding.highest_kept(*pixels.shape[:2])
    evened = folding.evened(folding.split(folding.reference_luma(pixels)))
    fine, finer = folding.fine_luma(pixels)
    for grid in sync.find_grids(
        evened, least_score=LEAST_GRID_SCORE, strong_score=STRONG_GRID_SCORE, most=MOST_GRIDS
    ):
        upright, inside = sync.straightened(fine, grid.matrix * finer)
        spectrum = folding.wave_spectrum(folding.split(upright), inside)
        kept = min(highest * float(np.sqrt(abs(np.linalg.det(grid.matrix)))), TILE_PX / 2)
        decoded = decoding.decode_anywhere(folding.whitened(spectrum, kept))
        if decoded is not None:
            return decoded
    return None


class _Spectra:
    """Caches the folded spectrum of the last read-only picture: a job reads a layer three times."""

    def __init__(self) -> None:
        self._last: tuple[weakref.ref[Pixels], Complexes] | None = None

    def get(self, pixels: Pixels) -> Complexes:
        last = self._last  # once: another thread may store another picture meanwhile
        if last is not None and last[0]() is pixels:
            return last[1]
        highest = folding.highest_kept(*pixels.shape[:2])
        spectrum = _spectrum(folding.reference_luma(pixels), highest)
        if not pixels.flags.writeable:
            self._last = (weakref.ref(pixels), spectrum)
        return spectrum


_spectra = _Spectra()


def _spectrum(luma: Floats, highest: float) -> Complexes:
    return folding.whitened(folding.wave_spectrum(folding.split(luma)), highest)


@dataclass(frozen=True)
class _Host:
    """A picture to be marked.

    `activities` is the texture of the original in both bands (`masking`). `bands` and `waves` (n,),
    the picture's own value of each wave, and `whitened`, as a reader sees it, are of the reference
    size. `luma` float32 is what the mark
    is tried on: the picture's own, in a copy where that has more than MOST_TRIED pixels; `scale` is
    the picture's size over that of `luma`. `room` is the deviation of the mark in levels, at the
    reference size, that may be seen in each place; None: any.
    """

    luma: Floats
    activities: tuple[Floats, Floats]
    bands: list[Filtered]
    waves: Floats
    whitened: Floats
    scale: float
    room: Floats | None = None

    def loudest(self, strength: Strength) -> float:
        """Return the bound on the factor on the amplitude in texture."""
        return LOUDEST_IN_FLAT if _is_flat(self.activities) else strength.loudest

    @classmethod
    def of(cls, pixels: Pixels, original: Pixels) -> _Host:
        height, width = pixels.shape[:2]
        image = folding.luma_image(pixels)
        reference = folding.resized_luma(image, folding.reference_size(height, width))
        bands = folding.split(reference)
        spectrum = folding.wave_spectrum(bands)
        waves = folding.wave_values(spectrum)
        whitened = folding.wave_values(folding.whitened(spectrum, folding.HIGHEST_AT_REFERENCE))
        activities = (bands[0].activity, bands[1].activity)
        if original is not pixels:
            activities = local_activity(folding.reference_luma(original))
        shrunk = min(1.0, (MOST_TRIED / (height * width)) ** 0.5)
        luma = folding.resized_luma(image, (round(height * shrunk), round(width * shrunk)))
        return cls(luma, activities, bands, waves, whitened, 1 / shrunk)

    def likeliest_code(self, frame: Bits, strength: Strength) -> Bits:
        """Return the code bits that carry the frame and that the picture already leans to most."""
        weights = np.zeros_like(self.whitened)
        for shape, power, chosen in _band_shapes(strength):
            weights[chosen] = planned_amplitudes(shape, power, chosen=chosen)
        length = code_length(coding.SALT_BITS + frame.size)
        softs = decoding.softs_of(weights * self.whitened, length)
        return coding.likeliest_codeword(frame, softs)

    def mark(self, code: Bits, strength: Strength, *, loudness: float | None) -> Floats:
        """Return the change of luma, float32 (h, w) in levels, that carries the code bits.

        `loudness` None: of a deviation of one level everywhere.
        """
        signs = carriers.signs_of(code)
        masks = self._masks(strength, loudness)
        change = np.zeros_like(self.bands[0].values)
        parts = zip(self.bands, masks, folding.BANDS, _band_shapes(strength), strict=True)
        for band, mask, kind, (shape, power, chosen) in parts:
            loud = np.zeros_like(signs)
            host = self.waves[chosen] * signs[chosen] / _heard(band, mask)
            loud[chosen] = wave_amplitudes(kind, shape, power, host=host, chosen=chosen)
            change += mask * _repeated(carriers.tile_of(loud * signs), mask.shape)
        return np.clip(change, -strength.most, strength.most)

    def _masks(self, strength: Strength, loudness: float | None) -> list[Floats]:
        """Return the deviation of each band in levels, within what may be seen."""
        if loudness is None:
            return [np.ones_like(each) for each in self.activities]
        texture, most = TEXTURE * loudness, strength.most / PEAK
        flat = strength.flat * min(loudness / min(self.loudest(strength), 1), 1)
        masks = [
            amplitudes(activity, flat=flat, texture=texture, most=most)
            for activity in self.activities
        ]
        if self.room is None:
            return masks
        powers = (1 - strength.fine, strength.fine)
        deviation = np.sqrt(sum(p * mask**2 for p, mask in zip(powers, masks, strict=True)))
        share = np.minimum(self.room / np.maximum(deviation, 1e-6), 1)
        return [mask * share for mask in masks]


def _band_shapes(strength: Strength) -> list[tuple[BandShape, float, npt.NDArray[np.bool_]]]:
    """Return the shape of each band, the lower one first, its power, and which waves it has."""
    lower = carriers.layout().radius <= folding.SPLIT
    return [(LOWER, 1 - strength.fine, lower), (UPPER, strength.fine, ~lower)]


def _is_flat(activities: tuple[Floats, Floats]) -> bool:
    return float(np.median(activities[1])) < FLAT_BELOW


def _loudness(host: _Host, code: Bits, strength: Strength) -> float:
    """Return the factor on the amplitude in texture at which the mark just survives its trials.

    Flat drawings lose the mark of their flat parts whatever the rest carries, and more of it in the
    little texture there is would only be seen.
    """
    loudest = host.loudest(strength)
    loudness = min(1.0, loudest)
    for _ in range(ROUNDS):
        change = host.mark(code, strength, loudness=loudness)
        marked = host.luma + in_levels(enlarged(change, host.luma.shape), change)
        margins = [_margin(marked, code, trial, scale=host.scale) for trial in strength.trials]
        short = max(
            trial.least_margin / max(margin, 0.1)
            for margin, trial in zip(margins, strength.trials, strict=True)
        )
        if abs(short - 1) < NEAR:
            break
        loudness = float(np.clip(loudness * short, strength.quietest, loudest))
    return loudness


def _margin(luma: Floats, code: Bits, trial: Trial, *, scale: float) -> float:
    """Return the margin of a marked luma (h, w) after a trial; `scale` as in `_Host`."""
    image = Image.fromarray(np.clip(luma, 0, 255).astype(np.uint8))
    smaller = min(scale * trial.scale, 1.0)
    if smaller < 1:
        size = (max(round(image.width * smaller), 1), max(round(image.height * smaller), 1))
        image = image.resize(size, Image.Resampling.LANCZOS)
    if trial.jpeg is not None:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=trial.jpeg)
        image = Image.open(file)
    restored = folding.resized_luma(image, folding.reference_size(*luma.shape))
    highest = folding.highest_kept(image.height, image.width)
    return decoding.margin(_spectrum(restored, highest), code)


def _heard(band: Filtered, mask: Floats) -> float:
    """Return what a reader measures of a wave whose amplitude is 1 times `mask`."""
    weight = band.weight
    power = float((weight * mask).sum() / ((weight * band.expected).sum() + 1e-12))
    return max(power, 1e-6)  # 0 where nothing may be seen


def _repeated(tile: Floats, shape: tuple[int, ...]) -> Floats:
    height, width = shape
    return np.tile(tile, (-(-height // TILE_PX), -(-width // TILE_PX)))[:height, :width]


def _check(pixels: Pixels) -> None:
    check_layout(pixels)
    height, width, _ = pixels.shape
    if min(height, width) < least_side(height, width):
        raise PictureTooSmall(height=height, width=width, min_pixels=MIN_SIDE**2)
