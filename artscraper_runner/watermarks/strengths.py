"""The strengths of the tiled watermark: how much of it may be seen, and what it must survive."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """A change that the mark must survive, and the margin (`decoding.margin`) it must keep.

    `scale` is the size of the changed picture over that of the marked one; `jpeg` the quality it
    is saved with, None: not saved.
    """

    least_margin: float
    scale: float = 1.0
    jpeg: int | None = None


@dataclass(frozen=True)
class Strength:
    """The visibility of the mark, and the changes it has to survive.

    `flat` is its standard deviation in flat places, `most` its largest change of a pixel, both in
    levels. `fine` is the upper band's share of its power: that band is lost when a picture is
    shrunk to a quarter. `loudest` bounds the factor on its amplitude in texture.
    """

    flat: float
    most: int
    fine: float
    loudest: float
    trials: tuple[Trial, ...]


STRENGTHS = {
    "low": Strength(
        flat=0.2,
        most=4,
        fine=0.45,
        loudest=1.7,
        trials=(Trial(1.1, jpeg=75), Trial(1.1, scale=0.5)),
    ),
    "medium": Strength(
        flat=0.27,
        most=6,
        fine=0.25,
        loudest=1.9,
        trials=(Trial(1.2, jpeg=75), Trial(1.05, jpeg=30), Trial(1.05, scale=0.25)),
    ),
    "high": Strength(
        flat=0.45,
        most=10,
        fine=0.25,
        loudest=3.0,
        trials=(Trial(1.4, jpeg=30), Trial(1.3, scale=0.25)),
    ),
}
