"""The numbers of face cloaking: those of Fawkes as published, and the product's own.

Shan et al. 2020, arXiv 2002.08327, and the numbers of their release 1.0. Its modes low, mid and
high belong to our strengths low, medium and high; the job's Linf budget holds in every case.
"""

from __future__ import annotations

from dataclasses import dataclass

from artscraper_runner.presets import StepRule


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
class CloakRound:
    """Steps of the engine with the perceptual map loosened `loosened` times; None = no map.

    `iterations` with a step that falls from `first_step` to `last_step`, shares of the bound.
    Left out where the rounds before have reached less than `begins_from`: it would not do.
    """

    loosened: float | None
    iterations: int
    first_step: float
    last_step: float = 0.05
    begins_from: float = 0.0

    @property
    def rule(self) -> StepRule:
        """How the loop moves."""
        return StepRule(
            iterations=self.iterations,
            first_step=self.first_step,
            last_step=self.last_step,
            momentum=0.9,
            start_noise=0.5,
        )


# What is enough: well beyond dlib's threshold of 0.6, also after JPEG 75 and after halving.
ENOUGH = 0.92
# A face ends with the first round that is enough, so that skin changes no more than it must.
DEFAULT_ROUNDS = (
    CloakRound(loosened=1.0, iterations=12, first_step=0.6),
    CloakRound(loosened=1.6, iterations=10, first_step=0.4, begins_from=0.75),
    CloakRound(loosened=None, iterations=24, first_step=0.8),
)
