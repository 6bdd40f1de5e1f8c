"""The optimisation of Fawkes 1.0 on one aligned face (Shan et al. 2020, arXiv 2002.08327).

Re-implemented from the paper and its release's numbers. Differs: one recogniser, dlib's, instead
of the release's; a hard Linf bound, the job's, beside the soft one on DSSIM; structural similarity
is computed on each colour with the usual window of 11 px.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.faces.network import distances, face_network
from artscraper_runner.faces.presets import PublishedMode
from artscraper_runner.imaging.filters import correlate, gaussian_taps
from artscraper_runner.types import Controls, Progress

Array = NDArray[np.float32]
_START = 1e-4  # half-width of the uniform start
_RHO, _EPSILON = 0.95, 1e-7  # of Adadelta, as in the release's framework
_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5  # px
_C1, _C2 = np.float32(0.01**2), np.float32(0.03**2)
_INSIDE = 0.999999  # keeps black and white within tanh's reach


def dssim(a: Array, b: Array) -> float:
    """Return (1 - SSIM) / 2 of pictures (1, 3, H, W) in [0, 1] from 11x11 px."""
    return dssim_and_gradient(a, b)[0]


def dssim_and_gradient(a: Array, b: Array) -> tuple[float, Array]:
    """Return (1 - SSIM) / 2, and its gradient in `a`."""
    mean_a, mean_b = _window_means(a), _window_means(b)
    var_a = _window_means(a * a) - mean_a**2
    var_b = _window_means(b * b) - mean_b**2
    covariance = _window_means(a * b) - mean_a * mean_b
    light, contrast = 2 * mean_a * mean_b + _C1, 2 * covariance + _C2
    light_norm, contrast_norm = mean_a**2 + mean_b**2 + _C1, var_a + var_b + _C2
    similarity = light * contrast / (light_norm * contrast_norm)
    product = light_norm * contrast_norm
    by_mean = 2 * mean_b * (contrast - light) / product + 2 * mean_a * similarity * (
        1 / contrast_norm - 1 / light_norm
    )
    gradient = (
        _window_adjoint(by_mean)
        - 2 * a * _window_adjoint(similarity / contrast_norm)
        + b * _window_adjoint(2 * light / product)
    )
    scale = np.float32(-1 / (2 * similarity.size))
    return float((1 - similarity.mean(dtype=np.float64)) / 2), np.asarray(scale * gradient)


def published_change(
    face: Array,
    *,
    reference: Array,
    target: Array | None,
    mode: PublishedMode,
    budget: float,
    seed: int,
    controls: Controls,
    what: str,
) -> tuple[Array, int]:
    """Return the change of an aligned face (1, 3, 150, 150) in [0, 1], and the iterations made.

    The best of the iterates whose DSSIM is at most 1.1 times the mode's; no channel of a pixel
    changes by more than `budget`, in [0, 1].

    Raises:
        Cancelled: the caller cancelled.
    """
    modifier = np.random.default_rng(seed).uniform(-_START, _START, face.shape).astype(np.float32)
    steps = _Adadelta(mode.learning_rate, face)
    anchor = np.arctanh((face * 2 - 1) * np.float32(_INSIDE))
    weight, best, best_feature = 1.0, np.zeros_like(face), -float("inf")
    for iteration in range(mode.iterations):
        controls.checkpoint()
        bent = np.tanh(anchor + modifier)
        free = bent / 2 + np.float32(0.5)
        change = (free - face).clip(-budget, budget)
        changed = (face + change).clip(0, 1)
        feature, feature_slope = _feature_term(changed, reference, target)
        loss, loss_slope = dssim_and_gradient(changed, face)
        excess = max(0.0, loss - mode.dssim)
        if loss <= 1.1 * mode.dssim and feature > best_feature:
            best, best_feature = changed - face, feature
        slope = np.float32(2 * mode.penalty_weight * excess) * loss_slope
        slope = slope - np.float32(weight) * feature_slope
        moves = (np.abs(free - face) <= budget) & (face + change >= 0) & (face + change <= 1)
        modifier = modifier - steps.step(slope * moves * (1 - bent**2) / 2)
        if loss < 0.9 * mode.dssim:
            weight *= 2
        elif loss > 1.1 * mode.dssim:
            weight /= 2
        controls.on_progress(Progress(what, iteration + 1, mode.iterations))
    return best, mode.iterations


class _Adadelta:
    """Zeiler 2012, arXiv 1212.5701."""

    def __init__(self, learning_rate: float, like: Array) -> None:
        self._rate = np.float32(learning_rate)
        self._squares, self._moves = np.zeros_like(like), np.zeros_like(like)

    def step(self, gradient: Array) -> Array:
        """Return the step to subtract for this gradient."""
        keep, new, tiny = np.float32(_RHO), np.float32(1 - _RHO), np.float32(_EPSILON)
        self._squares = keep * self._squares + new * gradient**2
        ratio = np.sqrt((self._moves + tiny) / (self._squares + tiny))
        move = ratio * gradient
        self._moves = keep * self._moves + new * move**2
        return self._rate * move


def _feature_term(face: Array, reference: Array, target: Array | None) -> tuple[float, Array]:
    """Away from the face's own embedding, or, where there is a target, towards that.

    The squared distance, relative to the length of what it is counted from, and its gradient.
    """
    sign, other = (1, reference) if target is None else (-1, target)
    embeddings, slopes = face_network().distance_gradients(face, other)
    distance, length = float(distances(embeddings, other)[0]), float(np.linalg.norm(other))
    return sign * distance**2 / length, np.float32(sign * 2 * distance / length) * slopes


def _weighted(planes: Array) -> Array:
    """Gaussian means around each pixel, black outside."""
    taps = gaussian_taps(_SSIM_SIGMA, (_SSIM_WINDOW // 2 - 0.5) / _SSIM_SIGMA)
    rows = correlate(planes, taps, axis=-2, mode="constant")
    return correlate(rows, taps, axis=-1, mode="constant")


def _window_means(planes: Array) -> Array:
    """Gaussian means of the windows that lie within, (1, 3, H - 10, W - 10)."""
    reach = _SSIM_WINDOW // 2
    return _weighted(planes)[:, :, reach:-reach, reach:-reach]


def _window_adjoint(gradient: NDArray[np.floating]) -> Array:
    reach = _SSIM_WINDOW // 2
    padded = np.pad(gradient, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    return _weighted(padded.astype(np.float32))
