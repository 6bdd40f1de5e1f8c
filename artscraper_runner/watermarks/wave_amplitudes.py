"""Distribute the amplitude of the tiled mark among its waves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from artscraper_runner.watermarks import carriers, folding
from artscraper_runner.watermarks.folding import Band, Floats

PILOT_GAIN = 1.2
LEAST_SHARE, LARGEST_SHARE = 0.2, 3.0  # amplitude of a wave over its share before cancelling


@dataclass(frozen=True)
class BandShape:
    """The distribution of the amplitude within a band.

    Amplitudes go with frequency ** `slope`; `cancelled`, 0..1, is the share of the picture's own
    waves that is taken back.
    """

    slope: float
    cancelled: float


LOWER = BandShape(slope=0.8, cancelled=0.7)
UPPER = BandShape(slope=-0.5, cancelled=0.3)


def wave_amplitudes(
    kind: Band, shape: BandShape, power: float, *, host: Floats, chosen: npt.NDArray[np.bool_]
) -> Floats:
    """Return the amplitudes (n,) of the chosen waves, which together have that power.

    `host` (n,) is the picture's own share of each wave towards its sign.
    """
    planned = planned_amplitudes(shape, power, chosen=chosen)
    return _leaning(planned, host / kind.gain(carriers.layout().radius[chosen]), shape.cancelled)


def planned_amplitudes(shape: BandShape, power: float, *, chosen: npt.NDArray[np.bool_]) -> Floats:
    """Return the amplitudes (n,) of the chosen waves in a picture that has nothing in any."""
    waves = carriers.layout()
    share = (waves.radius[chosen] / folding.SPLIT) ** shape.slope
    share *= np.where(waves.is_pilot[chosen], np.float32(PILOT_GAIN), np.float32(1))
    energy = 2 * power  # a wave of amplitude a has the power a ** 2 / 2
    planned: Floats = share * np.sqrt(energy / np.square(share).sum())
    return planned


def _leaning(planned: Floats, host: Floats, cancelled: float) -> Floats:
    """Return amplitudes of the energy `planned`: less where the picture helps, more where not.

    How loud the picture is beside the mark depends on the mark's scale, and that on the result;
    three rounds settle it.
    """
    energy = np.square(planned).sum()
    chosen = planned
    for _ in range(3):
        scale = np.sqrt(energy / np.square(chosen).sum())
        leaning = planned - cancelled * host / scale
        chosen = np.clip(leaning, LEAST_SHARE * planned, LARGEST_SHARE * planned)
    scaled: Floats = chosen * np.sqrt(energy / np.square(chosen).sum())
    return scaled
