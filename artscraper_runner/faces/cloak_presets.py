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

# The engine's sign steps. A face is small and its recogniser sees all of it: the whole budget is
# used, without the perceptual map of the other attacks.
DEFAULT_RULE = StepRule(
    iterations=32,
    first_step=0.6,
    last_step=0.15,
    momentum=1.0,
    start_noise=0.5,
)
