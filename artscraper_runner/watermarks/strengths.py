"""The strengths of the tiled watermark: how much of it may be seen, and what it must survive."""

from __future__ import annotations

from dataclasses import dataclass, replace

# In pictures of twice the reference size and more:
FINE_IN_LARGE = 0.95  # share of the upper band
QUIETEST_IN_LARGE = 0.3  # factor on the amplitude
LEAST_BOUND_IN_LARGE = 0.85  # of the visibility bound, which is tried first
MILDEST_JPEG = 50  # quality of trials, since a large picture is tried in a smaller copy
LEAST_MARGIN_SHRUNK = 0.85  # at the reference size as JPEG 75


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
    levels. `fine` is the upper band's share of its power: the picture itself has less there, so
    the same mark is read from less, but that band is lost when a picture of the reference size is
    shrunk to a quarter. `quietest` and `loudest` bound the factor on its amplitude in texture;
    below 1 it counts in flat places, too. `bounds` are factors on the visibility bound of the
    stage, tried in turn until the mark is read from each of `copies`: those of the first group must
    be read, those of a later one are worth a larger factor only if they are.
    """

    flat: float
    most: int
    fine: float
    loudest: float
    bounds: tuple[float, ...]
    trials: tuple[Trial, ...]
    copies: tuple[tuple[str, ...], ...]  # names in `stages.invisible_watermark.COPIES`
    quietest: float = 0.6

    def at_scale(self, scale: float) -> Strength:
        """Return the strength for a picture of `scale` times the reference size.

        A large picture keeps the upper band when it is shrunk to a quarter, and more of every wave
        as a JPEG, so it needs less. At its full size the waves are wide, and show more. From twice
        the size on only the first group of copies counts: a further bound takes seconds there.
        """
        share = min(max(scale - 1, 0.0), 1.0)
        if not share:
            return self
        trials = tuple(
            replace(trial, jpeg=max(trial.jpeg, round(MILDEST_JPEG * share)))
            if trial.jpeg is not None
            else trial
            for trial in self.trials
        )
        return replace(
            self,
            fine=self.fine + share * (FINE_IN_LARGE - self.fine),
            quietest=self.quietest + share * (QUIETEST_IN_LARGE - self.quietest),
            bounds=(LEAST_BOUND_IN_LARGE, *self.bounds),
            copies=self.copies[:1] if share == 1 else self.copies,
            trials=(*trials, Trial(LEAST_MARGIN_SHRUNK, scale=1 / scale, jpeg=75)),
        )


STRENGTHS = {
    "low": Strength(
        flat=0.2,
        most=4,
        fine=0.85,
        loudest=1.7,
        bounds=(1.0, 1.15, 1.3),
        trials=(Trial(1.1, jpeg=75), Trial(1.1, scale=0.5)),
        copies=(("jpeg-75", "half"),),
    ),
    "medium": Strength(
        flat=0.27,
        most=6,
        fine=0.25,
        loudest=1.9,
        bounds=(0.96, 1.0, 1.15, 1.3),
        trials=(Trial(1.6, jpeg=75), Trial(1.2, jpeg=30), Trial(1.2, scale=0.25)),
        copies=(("jpeg-75", "half"), ("cropped",)),
    ),
    "high": Strength(
        flat=0.45,
        most=10,
        fine=0.25,
        loudest=3.0,
        bounds=(0.96, 1.0, 1.3, 1.7),
        trials=(Trial(1.4, jpeg=30), Trial(1.3, scale=0.25)),
        copies=(("jpeg-75", "half"), ("cropped",)),
    ),
}
