"""From a folded tile's spectrum to the payload: weigh the waves, decode, check.

Each ring of waves counts as much as its pilots say it came through (maximal-ratio combining), so
frequencies that a change took away fall out by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artscraper_runner.watermarks import carriers, error_correction, frames
from artscraper_runner.watermarks.folding import Complexes, Floats, wave_values
from artscraper_runner.watermarks.synchronisation import find_positions

LEAST_POSITION_SCORE = 5.2  # unmarked pictures exceed it once in a hundred
LEAST_CONFIDENCE = 0.6


@dataclass(frozen=True)
class Decoded:
    """A payload with a right checksum. `confidence` 0..1: 1 = every wave speaks for it."""

    payload: bytes
    confidence: float


def decode_anywhere(spectrum: Complexes, *, at_origin: bool) -> Decoded | None:
    """Returns the payload of a whitened folded spectrum, at any shift and orientation, or None.

    With `at_origin` the place of a picture that was not cropped is tried first.
    """
    if at_origin and (found := _decode(spectrum)):
        return found
    for position in find_positions(spectrum, least_score=LEAST_POSITION_SCORE):
        if found := _decode(position.spectrum):
            return found
    return None


def _decode(spectrum: Complexes) -> Decoded | None:
    waves = _soft_waves(spectrum)
    for size in frames.FRAME_BYTES:
        bits, confidence = _most_likely(waves, size)
        payload, is_right = frames.unpack(bits)
        if is_right and confidence >= LEAST_CONFIDENCE:
            return Decoded(payload, confidence)
    return None


def _soft_waves(spectrum: Complexes) -> Floats:
    """Returns the data waves' values, each weighed by how its ring's pilots came through."""
    waves = carriers.layout()
    values = wave_values(spectrum)
    zone, pilots = waves.zone[waves.is_pilot], values[waves.is_pilot]
    count = np.bincount(zone, minlength=carriers.ZONES)
    mean = np.bincount(zone, pilots, minlength=carriers.ZONES) / count
    power = np.bincount(zone, pilots**2, minlength=carriers.ZONES) / count
    weight = np.maximum(mean, 0) / (np.maximum(power - mean**2, 0) + 0.05)
    weighed: Floats = (values * weight[waves.zone].astype(np.float32))[~waves.is_pilot]
    return weighed


def likeliest_frame(spectrum: Complexes, payload_bytes: int) -> tuple[error_correction.Bits, float]:
    """Returns the likeliest frame at the origin, and the share of weight, -1..1, that is for it."""
    return _most_likely(_soft_waves(spectrum), payload_bytes)


def _most_likely(waves: Floats, payload_bytes: int) -> tuple[error_correction.Bits, float]:
    """Returns the likeliest frame, and the share of the waves' weight, -1..1, that is for it."""
    size = frames.frame_bits(payload_bytes)
    length = error_correction.code_length(size)
    softs = np.bincount(carriers.bit_of_wave(length), waves, minlength=length).astype(np.float32)
    bits = error_correction.decode(softs, size)
    agreement = softs @ (1 - 2 * error_correction.encode(bits).astype(np.float32))
    return bits, float(agreement / (np.abs(softs).sum() + 1e-12))
