"""Noise that has a change's own spectrum and local amplitude, but random phases.

Random signs are a weak yardstick: a change that only puts its energy into the frequencies and
places that move a latent most beats them without any optimisation. Against shaped noise only what
the optimisation itself found counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.imaging.filters import gaussian_blur

Planes = NDArray[np.float32]
_ENVELOPE_BLUR = 6.0  # px
_LEAST_ENVELOPE = 0.05 / 255  # of the change's amplitude, so that unchanged places stay so
_ROUNDS = 6


def shaped_noise(
    original: Planes, changed: Planes, *, seed: int, visible: Planes | None = None
) -> Planes:
    """Return `original` plus noise shaped like the change to `changed`.

    All channels share their random phases, which keeps the change's colours.

    Args:
        original: float32 (3, H, W) sRGB in [0, 1].
        changed: like `original`.
        seed: of the phases.
        visible: float32 (H, W), 0 where nothing may change, else 1; None: everywhere.

    Returns:
        float32 (3, H, W) in [0, 1], with the mean square error of `changed` as far as clipping
        allows; not rounded to 8 bits.
    """
    change = (changed - original).astype(np.float32)
    if visible is not None:
        change = change * visible
    wanted = float(np.square(change).mean())
    if not wanted:
        return original
    noise = _with_random_phases(change, np.random.default_rng(seed))
    if visible is not None:
        noise *= visible
    gain = 1.0
    result = original
    for _ in range(_ROUNDS):  # clipping at black and white takes some of the noise away
        result = np.clip(original + np.float32(gain) * noise, 0, 1)
        gain *= (wanted / max(float(np.square(result - original).mean()), 1e-12)) ** 0.5
    return result


def _with_random_phases(change: Planes, rng: np.random.Generator) -> Planes:
    energy = np.square(change).mean(0)
    envelope = np.sqrt(gaussian_blur(energy, _ENVELOPE_BLUR)) + _LEAST_ENVELOPE
    white = rng.standard_normal(change.shape[1:], np.float32)
    phases = np.fft.rfft2(white)
    phases /= np.maximum(np.abs(phases), 1e-12)
    noise = np.fft.irfft2(np.fft.rfft2(change / envelope) * phases, s=change.shape[1:])
    return np.asarray(noise * envelope, np.float32)
