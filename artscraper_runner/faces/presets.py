"""Presets of face cloaking: Fawkes as published, and the product's own.

Shan et al. 2020, arXiv 2002.08327, and the numbers of their release 1.0. Its modes low, mid and
high belong to our strengths low, medium and high; the job's Linf budget holds in every case.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class PublishedMode:
    """A mode of Fawkes: Adadelta steps under a soft bound on DSSIM = (1 - SSIM) / 2.

    Above `dssim` the penalty `penalty_weight * (DSSIM - dssim)^2` is taken off.
    """

    dssim: float
    iterations: int
    learning_rate: float
    penalty_weight: float = 1e6


PUBLISHED_MODES = {
    "low": PublishedMode(dssim=0.004, iterations=40, learning_rate=25.0),
    "medium": PublishedMode(dssim=0.012, iterations=75, learning_rate=20.0),
    "high": PublishedMode(dssim=0.017, iterations=150, learning_rate=15.0),
}


@dataclass(frozen=True, kw_only=True)
class MinimumNormPreset:
    """The product's own steps: no more change than a face needs, and little of low frequency.

    The change is sought in luma and chroma, a unit of chroma being `colour` units of luma. Its size
    is the root of its mean square, and at most what is allowed: it is not scaled up to that. Steps
    rise steepest for the norm of order `norm`, between 2, which piles a change up in few places,
    and the sign steps of Linf, which put it everywhere. A step falls from `first_step` to
    `last_step` of the size allowed. That begins at `first_size`, is left alone for `settling`
    iterations, then follows what the face still lacks by at most `largest_turn` (relative) an
    iteration, up to `largest_size`. Under a Gaussian of `blur` px, at the size at which the
    recogniser sees the face, neither luma nor chroma keeps more than `low_frequency`.
    `first_size`, `largest_size` and `low_frequency` are shares of the job's budget; they grow as
    many times as the face masks more than flat skin does, `most_masked` at most: of the texture
    that masks the attacks on the whole picture the share `texture` counts, since faces are looked
    at closely.
    """

    iterations: int = 50
    settling: int = 12
    norm: float = 3.0
    momentum: float = 0.3
    colour: float = 1.2
    first_step: float = 0.6
    last_step: float = 0.025
    first_size: float = 0.15
    largest_size: float = 0.225
    largest_turn: float = 0.07
    blur: float = 3.0
    low_frequency: float = 0.375
    texture: float = 0.15
    most_masked: float = 2.5

    def masked(self, times: float) -> MinimumNormPreset:
        """Return the preset for a face whose texture masks `times` as much as flat skin."""
        times = min(max(1.0, times), self.most_masked)
        return replace(
            self,
            first_size=self.first_size * times,
            largest_size=self.largest_size * times,
            low_frequency=self.low_frequency * times,
        )


DEFAULT_CLOAK = MinimumNormPreset()
# Well beyond dlib's threshold of 0.6; after JPEG 75 or halving, a little less.
PLAIN_TARGET_DISTANCE, DEGRADED_TARGET_DISTANCE = 0.89, 0.85
