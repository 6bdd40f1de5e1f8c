"""The default invisible watermark: 64 bits or a short text that survive what the web does.

A pattern of 128 x 128 px, made of about 1,400 waves, repeats over the luma of the picture at a
reference size (512 px on the short side). The waves' signs carry the payload under a checksum and
an error-correcting code (`frames`, `error_correction`, `carriers`); the pattern is strong where
the picture is busy, weak where it is smooth, and leans against what the picture itself has in each
wave, so that an unharmed picture reads almost without noise. Reading folds the tiles onto each
other (`folding`), finds their place (`synchronisation`), weighs each ring of waves by how well its
pilots came through, and decodes.

After Cox, Kilian, Leighton & Shamoon, "Secure spread spectrum watermarking for multimedia" (IEEE
Trans. Image Processing 6(12), 1997), Kutter's periodic mark (SPIE 3528, 1998), and Malvar &
Florencio, "Improved spread spectrum" (IEEE Trans. Signal Processing 51(4), 2003), with these
differences: waves instead of pixels carry the bits, so that shrinking loses only the fine ones;
the picture's own share is cancelled in the lower band more than in the upper one; pilots replace
a template in the magnitude spectrum.

Not guaranteed: docs/watermark.md has the figures. Diffusion models that redraw a picture remove
the mark. It hides nothing from an attacker: the waves are public, so whoever has this file can
read the mark, and write over it.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from artscraper_runner.errors import PictureTooSmall
from artscraper_runner.imaging.tiles import over_bands
from artscraper_runner.watermarks import carriers, decoding, error_correction, folding, frames
from artscraper_runner.watermarks import synchronisation as sync
from artscraper_runner.watermarks.carriers import TILE_PX
from artscraper_runner.watermarks.folding import Band, Complexes, Filtered, Floats
from artscraper_runner.watermarks.pixels import Pixels, check_layout

MIN_SIDE = 256  # px, either side
LONGEST_RATIO = 16  # long side over short side; beyond it the reference picture gets too narrow
LEAST_GRID_SCORE = 5.5
STRONG_GRID_SCORE = 6.6
MOST_GRIDS = 3
# What one level of luma adds to R, G and B: near the least change of RGB that makes it, which is
# 1.2 dB below the same step in all three.
LUMA_STEP = (0.70, 1.28, 0.35)


@dataclass(frozen=True)
class Strength:
    """How a band is marked.

    `rms` is the mark in levels of luma where the band's contrast is `CONTRAST`; amplitudes go with
    frequency ** `slope`; `cancelled`, 0..1, is the share of the picture's own waves taken back.
    """

    rms: float
    slope: float
    cancelled: float


CONTRAST = 4.0  # levels
LEAST_CONTRAST = 1.5  # levels; smooth areas are marked as if they had that much
MASKING = 0.4  # the pattern follows contrast ** MASKING within a picture ...
LOUDNESS = 0.7  # ... and contrast ** LOUDNESS from picture to picture
LEAST_RMS = 0.5  # levels; less is lost in the rounding to whole levels
LOWER = Strength(rms=0.72, slope=0.8, cancelled=0.7)
UPPER = Strength(rms=0.585, slope=-0.5, cancelled=0.3)
PILOT_GAIN = 1.2
QUIETEST, LOUDEST = 0.2, 3.0  # amplitude of a wave over its share before cancelling


def embed(pixels: Pixels, payload: bytes) -> Pixels:
    """Returns a copy of a picture that carries `payload`.

    Args:
        pixels: uint8 (H, W, 3), sRGB; any memory layout; not modified.
        payload: 8 bytes (a number) or 10 bytes (a text); see `frames`.

    Returns:
        uint8 (H, W, 3), C-contiguous; the same bytes for the same arguments.

    Raises:
        UnsupportedPixels: `pixels` is not uint8 (H, W, 3).
        PictureTooSmall: a side is below MIN_SIDE, or below the long one / LONGEST_RATIO.
        InvalidOption: a payload of another length.
    """
    _check(pixels)
    bits = frames.pack(payload)
    luma = folding.reference_luma(pixels)
    bands = folding.split(luma)
    signs = carriers.signs_of(error_correction.encode(bits))
    host = folding.wave_values(folding.wave_spectrum(bands)) * signs
    lower = carriers.layout().radius <= folding.SPLIT
    change = np.zeros_like(luma)
    kinds = zip(bands, folding.BANDS, (LOWER, UPPER), (lower, ~lower), strict=True)
    for band, kind, strength, chosen in kinds:
        mask = (band.contrast + np.float32(LEAST_CONTRAST)) ** np.float32(MASKING)
        amplitudes = np.zeros_like(signs)
        amplitudes[chosen] = _amplitudes(band, kind, strength, mask, host=host, chosen=chosen)
        change += mask * _repeated(carriers.tile_of(amplitudes * signs), mask.shape)
    return _added(pixels, change)


def read(pixels: Pixels, *, search: bool = True) -> decoding.Decoded | None:
    """Returns what a picture carries, or None.

    Without `search` only pictures are read that were not cropped or rotated but by quarter turns;
    any size, mirrored or not. With it, cropped, slightly rotated and stretched ones too, which
    takes about a second when there is no mark.

    Raises:
        UnsupportedPixels: `pixels` is not uint8 (H, W, 3).
    """
    check_layout(pixels)
    if min(folding.reference_size(*pixels.shape[:2])) < TILE_PX // 2:
        return None
    found = decoding.decode_anywhere(_spectra.get(pixels), at_origin=True)
    if found is not None or not search:
        return found
    highest = folding.highest_kept(*pixels.shape[:2])
    bands = folding.split(folding.reference_luma(pixels))
    evened = bands[0].evened + bands[1].evened
    fine, finer = folding.fine_luma(pixels)
    for grid in sync.find_grids(
        evened, least_score=LEAST_GRID_SCORE, strong_score=STRONG_GRID_SCORE, most=MOST_GRIDS
    ):
        upright, inside = sync.straightened(fine, grid.matrix * finer)
        spectrum = folding.wave_spectrum(folding.split(upright), inside)
        kept = min(highest * float(np.sqrt(abs(np.linalg.det(grid.matrix)))), TILE_PX / 2)
        found = decoding.decode_anywhere(folding.whitened(spectrum, kept), at_origin=False)
        if found is not None:
            return found
    return None


def bit_accuracy(pixels: Pixels, payload: bytes) -> float:
    """Returns the share, 0..1, of `payload`'s bits that are decoded right, checksum or not.

    For a picture that was not cropped or rotated. An unmarked one scores about 0.5.
    """
    _check(pixels)
    bits = decoding.likeliest_frame(_spectra.get(pixels), len(payload))
    wrong = np.unpackbits(np.frombuffer(payload, np.uint8)) != bits[: 8 * len(payload)]
    return 1.0 - float(wrong.mean())


def least_side(height: int, width: int) -> int:
    """Returns the px that the short side of such a picture must have to be marked."""
    return max(MIN_SIDE, -(-max(height, width) // LONGEST_RATIO))


class _Spectra:
    """Remembers the folded spectrum of the last picture that nobody can write to.

    A job reads the same layer three times.
    """

    def __init__(self) -> None:
        self._last: tuple[weakref.ref[Pixels], Complexes] | None = None

    def get(self, pixels: Pixels) -> Complexes:
        last = self._last  # once: another thread may remember another picture meanwhile
        if last is not None and last[0]() is pixels:
            return last[1]
        bands = folding.split(folding.reference_luma(pixels))
        highest = folding.highest_kept(*pixels.shape[:2])
        spectrum = folding.whitened(folding.wave_spectrum(bands), highest)
        if not pixels.flags.writeable:
            self._last = (weakref.ref(pixels), spectrum)
        return spectrum


_spectra = _Spectra()


def _amplitudes(
    band: Filtered,
    kind: Band,
    strength: Strength,
    mask: Floats,
    *,
    host: Floats,
    chosen: npt.NDArray[np.bool_],
) -> Floats:
    """Returns the amplitudes of the chosen waves, to be multiplied by `mask`, in levels of luma."""
    waves = carriers.layout()
    mask_rms = float(np.sqrt(np.square(mask).mean()))
    contrast = mask_rms ** (1 / MASKING)
    rms = max(strength.rms * (contrast / CONTRAST) ** LOUDNESS, LEAST_RMS)
    energy = 2 * (rms / mask_rms) ** 2  # of all waves; a wave of amplitude a has a ** 2 / 2
    radius = waves.radius[chosen]
    heard = kind.gain(radius) * (mask / (band.contrast + np.float32(folding.CONTRAST_FLOOR))).mean()
    share = (radius / folding.SPLIT) ** strength.slope
    share *= np.where(waves.is_pilot[chosen], np.float32(PILOT_GAIN), np.float32(1))
    return _leaning(share, host[chosen] / heard, energy, strength.cancelled)


def _repeated(tile: Floats, shape: tuple[int, ...]) -> Floats:
    height, width = shape
    return np.tile(tile, (-(-height // TILE_PX), -(-width // TILE_PX)))[:height, :width]


def _leaning(share: Floats, host: Floats, energy: float, cancelled: float) -> Floats:
    """Returns amplitudes of that energy: `share`, less where the picture helps, more where not.

    How loud the picture is beside the mark depends on the mark's scale, and that on the result;
    three rounds settle it.
    """
    amplitudes = share
    for _ in range(3):
        scale = np.sqrt(energy / np.square(amplitudes).sum())
        wanted = share - cancelled * host / scale
        amplitudes = np.clip(wanted, QUIETEST * share, LOUDEST * share)
    scaled: Floats = amplitudes * np.sqrt(energy / np.square(amplitudes).sum())
    return scaled


def _added(pixels: Pixels, change: Floats) -> Pixels:
    """Returns pixels plus a change of luma at the reference size, rounded, within 0..255."""
    height, width = pixels.shape[:2]
    if change.shape != (height, width):
        enlarged = Image.fromarray(change).resize((width, height), Image.Resampling.BICUBIC)
        change = np.asarray(enlarged)
    marked = np.empty((height, width, 3), np.uint8)

    def add(rows: slice) -> None:
        levels = np.empty(marked[rows].shape, np.int16)
        for channel, step in enumerate(LUMA_STEP):
            levels[:, :, channel] = np.rint(change[rows] * np.float32(step))
        levels += pixels[rows]
        marked[rows] = np.clip(levels, 0, 255, out=levels)

    over_bands(add, height)
    return marked


def _check(pixels: Pixels) -> None:
    check_layout(pixels)
    height, width, _ = pixels.shape
    if min(height, width) < least_side(height, width):
        raise PictureTooSmall(height=height, width=width, min_pixels=MIN_SIDE**2)
