"""From a folded tile's spectrum to the payload: weigh the waves, decode, check.

Each ring of waves counts as much as its pilots say it came through (maximal-ratio combining), so
frequencies that a change took away fall out by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artscraper_runner.watermarks import carriers, coding
from artscraper_runner.watermarks.convolutional import (
    Bits,
    Softs,
    code_length,
    decode,
    encode,
    likeliest_messages,
)
from artscraper_runner.watermarks.folding import Complexes, Floats, wave_values
from artscraper_runner.watermarks.synchronisation import Position, find_positions, whole_positions

# Unmarked pictures exceed it once in a hundred; the best of thousands of grids often does.
LEAST_POSITION_SCORE = 5.2
LEAST_WHOLE_SCORE = 3.0  # each of eight orientations of an unmarked picture, once in 700
MOST_MESSAGES = 1000  # that are looked through for one with a right checksum
# Least score of a position found among many for that: without a mark, once in 60 searches.
LISTED_POSITION_SCORE = 6.4
LEAST_CONFIDENCE = 0.35
_ZONES_OF_BANDS = (slice(0, 2), slice(2, carriers.ZONES))  # the lower and the upper band


@dataclass(frozen=True)
class Decoded:
    """A payload with a right checksum.

    `confidence` 0..1 is the strength of the waves that speak for it less that of those against;
    1 = all do.
    """

    payload: bytes
    confidence: float


def decode_whole(spectrum: Complexes, height: int, width: int) -> Decoded | None:
    """Return the payload of a picture that was not cropped, in any orientation, or None.

    Args:
        spectrum: whitened, of the folded picture.
        height: of the picture at its reference size, px.
        width: as `height`.
    """
    positions = whole_positions(spectrum, height, width, least_score=LEAST_WHOLE_SCORE)
    return _decode_at(positions, listed_score=LEAST_WHOLE_SCORE)


def decode_anywhere(spectrum: Complexes) -> Decoded | None:
    """Return the payload of a whitened folded spectrum, at any shift and orientation, or None."""
    positions = find_positions(spectrum, least_score=LEAST_POSITION_SCORE)
    return _decode_at(positions, listed_score=LISTED_POSITION_SCORE)


def _decode_at(positions: list[Position], *, listed_score: float) -> Decoded | None:
    """Return the payload at the first of the positions that has one.

    From `listed_score` on, `MOST_MESSAGES` are looked through.
    """
    for position in positions:
        most = MOST_MESSAGES if position.score >= listed_score else 1
        if decoded := _decode(wave_values(position.spectrum), most):
            return decoded
    return None


def likeliest_frame(spectrum: Complexes, payload_bytes: int) -> Bits:
    """Return the bits of the likeliest frame at the origin, its checksum right or not."""
    size = coding.frame_bits(payload_bytes) + coding.SALT_BITS
    softs = softs_of(_weighted(wave_values(spectrum)), code_length(size))
    return coding.unsalted(decode(softs, size))


def margin(spectrum: Complexes, code: Bits) -> float:
    """Return how far the code bits stand out of the noise at the origin, mean over deviation.

    From about 0.65 on the decoder finds the payload.
    """
    softs = softs_of(_weighted(wave_values(spectrum)), code.size)
    softs *= 1 - 2 * code.astype(np.float32)
    return float(softs.mean() / (softs.std() + 1e-9))


def _decode(values: Floats, most: int) -> Decoded | None:
    """Return the payload of the first of the `most` likeliest messages whose checksum is right."""
    weighted = _weighted(values)
    for is_salted in (True, False):  # False: marks of releases before 0.3
        for payload_bytes in coding.PAYLOAD_BYTES:
            size = coding.frame_bits(payload_bytes) + is_salted * coding.SALT_BITS
            softs = softs_of(weighted, code_length(size))
            for message in likeliest_messages(softs, size, most=most):
                frame = coding.unsalted(message) if is_salted else message
                payload, is_right = coding.unpack(frame)
                if is_right and (confidence := _agreement(values, message)) >= LEAST_CONFIDENCE:
                    return Decoded(payload, confidence)
    return None


def softs_of(values: Floats, length: int) -> Softs:
    """Return the sums of weighted waves, (n,) in the layout's order, that carry each code bit."""
    data = values[~carriers.layout().is_pilot]
    softs = np.bincount(carriers.bit_of_wave(length), data, minlength=length)
    return softs.astype(np.float32)


def _weighted(values: Floats) -> Floats:
    """Return the waves' values times the signal over the noise that their ring's pilots show.

    A ring has 28 pilots, whose mean is as uncertain as a weak mark is loud, so it is drawn towards
    the mean of its band, the more the less the band's rings differ (James & Stein, "Estimation with
    quadratic loss", Berkeley Symposium 1961).
    """
    waves = carriers.layout()
    zone, pilots = waves.zone[waves.is_pilot], values[waves.is_pilot]
    count = np.bincount(zone, minlength=carriers.ZONES)
    mean = np.bincount(zone, pilots, minlength=carriers.ZONES) / count
    variance = np.bincount(zone, pilots**2, minlength=carriers.ZONES) / count - mean**2
    weight = np.empty(carriers.ZONES)
    for band in _ZONES_OF_BANDS:
        whole = np.average(mean[band], weights=count[band])
        noise = np.average(variance[band], weights=count[band])
        uncertain = noise / count[band].mean()
        apart = max(float(np.var(mean[band], ddof=1)) - uncertain, 0)
        level = whole + (mean[band] - whole) * apart / (apart + uncertain + 1e-12)
        weight[band] = np.maximum(level, 0) / (noise + 0.05)
    weighted: Floats = values * weight[waves.zone].astype(np.float32)
    return weighted


def _agreement(values: Floats, message: Bits) -> float:
    """Return the share of wave power for the message less the share against it, 0..1."""
    signs = carriers.signs_of(encode(message))
    return max(float(values @ signs / (np.abs(values).sum() + 1e-12)), 0.0)
