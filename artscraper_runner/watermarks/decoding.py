"""From a folded tile's spectrum to the payload: weigh the waves, decode, check.

Each ring of waves counts as much as its pilots say it came through (maximal-ratio combining), so
frequencies that a change took away fall out by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artscraper_runner.watermarks import carriers, coding
from artscraper_runner.watermarks.folding import Complexes, Floats, wave_values
from artscraper_runner.watermarks.synchronisation import find_positions

LEAST_POSITION_SCORE = 5.2  # unmarked pictures exceed it once in a hundred
LEAST_CONFIDENCE = 0.35  # the best fit to noise has 0.27 at most, a mark 0.5 and more


@dataclass(frozen=True)
class Decoded:
    """A payload with a right checksum.

    `confidence` 0..1 is the strength of the waves that speak for it less that of those against;
    1 = all do.
    """

    payload: bytes
    confidence: float


def decode_anywhere(spectrum: Complexes, *, at_origin: bool) -> Decoded | None:
    """Return the payload of a whitened folded spectrum, at any shift and orientation, or None.

    With `at_origin` the place of a picture that was not cropped is tried first.
    """
    if at_origin and (decoded := _decode(wave_values(spectrum))):
        return decoded
    for position in find_positions(spectrum, least_score=LEAST_POSITION_SCORE):
        if decoded := _decode(wave_values(position.spectrum)):
            return decoded
    return None


def likeliest_frame(spectrum: Complexes, payload_bytes: int) -> coding.Bits:
    """Return the bits of the likeliest frame at the origin, its checksum right or not."""
    size = coding.frame_bits(payload_bytes) + coding.SALT_BITS
    return coding.unsalted(_likeliest(wave_values(spectrum), size))


def margin(spectrum: Complexes, code: coding.Bits) -> float:
    """Return how far the code bits stand out of the noise at the origin, mean over deviation.

    From about 1 on the decoder finds the payload.
    """
    softs = softs_of(_weighted(wave_values(spectrum)), code.size)
    softs *= 1 - 2 * code.astype(np.float32)
    return float(softs.mean() / (softs.std() + 1e-9))


def _decode(values: Floats) -> Decoded | None:
    for is_salted in (True, False):  # False: marks of releases before 0.3
        for payload_bytes in coding.PAYLOAD_BYTES:
            size = coding.frame_bits(payload_bytes) + is_salted * coding.SALT_BITS
            message = _likeliest(values, size)
            payload, is_right = coding.unpack(coding.unsalted(message) if is_salted else message)
            if is_right and (confidence := _agreement(values, message)) >= LEAST_CONFIDENCE:
                return Decoded(payload, confidence)
    return None


def _likeliest(values: Floats, message_bits: int) -> coding.Bits:
    softs = softs_of(_weighted(values), coding.code_length(message_bits))
    return coding.decode(softs, message_bits)


def softs_of(values: Floats, length: int) -> coding.Softs:
    """Return the sums of weighted waves, (n,) in the layout's order, that carry each code bit."""
    data = values[~carriers.layout().is_pilot]
    softs = np.bincount(carriers.bit_of_wave(length), data, minlength=length)
    return softs.astype(np.float32)


def _weighted(values: Floats) -> Floats:
    """Return the waves' values times the signal over the noise that their ring's pilots show."""
    waves = carriers.layout()
    zone, pilots = waves.zone[waves.is_pilot], values[waves.is_pilot]
    count = np.bincount(zone, minlength=carriers.ZONES)
    mean = np.bincount(zone, pilots, minlength=carriers.ZONES) / count
    power = np.bincount(zone, pilots**2, minlength=carriers.ZONES) / count
    weight = np.maximum(mean, 0) / (np.maximum(power - mean**2, 0) + 0.05)
    weighted: Floats = values * weight[waves.zone].astype(np.float32)
    return weighted


def _agreement(values: Floats, message: coding.Bits) -> float:
    """Return the share of wave power for the message less the share against it, 0..1."""
    signs = carriers.signs_of(coding.encode(message))
    return max(float(values @ signs / (np.abs(values).sum() + 1e-12)), 0.0)
