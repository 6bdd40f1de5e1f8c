"""The optimisation of Fawkes 1.0 on one aligned face (Shan et al. 2020, arXiv 2002.08327).

Re-implemented from the paper and its release's numbers. Differs: one recogniser, dlib's, instead
of the release's; a hard Linf bound, the job's, beside the soft one on DSSIM; structural similarity
is computed on each colour with the usual window of 11 px.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from artscraper_runner.faces.presets import PublishedMode
from artscraper_runner.faces.recogniser import face_network
from artscraper_runner.types import Controls, Progress

_START = 1e-4  # half-width of the uniform start
_RHO, _EPSILON = 0.95, 1e-7  # of Adadelta, as in the release's framework
_SSIM_WINDOW, _SSIM_SIGMA = 11, 1.5  # px
_INSIDE = 0.999999  # keeps black and white within tanh's reach


def dssim(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Returns (1 - SSIM) / 2 of pictures (1, 3, H, W) in [0, 1] from 11x11 px, differentiable."""
    steps = torch.arange(_SSIM_WINDOW, dtype=a.dtype) - _SSIM_WINDOW // 2
    taps = torch.exp(-(steps**2) / (2 * _SSIM_SIGMA**2))
    taps = taps / taps.sum()
    kernel = torch.outer(taps, taps).expand(3, 1, -1, -1)

    def mean(x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, kernel, groups=3)

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    similarity = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    )
    return (1 - similarity.mean()) / 2


def published_change(
    face: torch.Tensor,
    *,
    reference: torch.Tensor,
    target: torch.Tensor | None,
    mode: PublishedMode,
    budget: float,
    seed: int,
    controls: Controls,
    what: str,
) -> tuple[torch.Tensor, int]:
    """Returns the change of an aligned face (1, 3, 150, 150) in [0, 1], and the iterations made.

    The best of the iterates whose DSSIM is at most 1.1 times the mode's; no channel of a pixel
    changes by more than `budget`, in [0, 1].

    Raises:
        Cancelled: the caller asked to stop.
    """
    generator = torch.Generator().manual_seed(seed)
    start = (torch.rand(face.shape, generator=generator) * 2 - 1) * _START
    modifier = start.requires_grad_(True)
    steps = torch.optim.Adadelta([modifier], lr=mode.learning_rate, rho=_RHO, eps=_EPSILON)
    anchor = torch.atanh((face * 2 - 1) * _INSIDE)
    weight, best, best_feature = 1.0, torch.zeros_like(face), -float("inf")
    for iteration in range(mode.iterations):
        controls.checkpoint()
        free = torch.tanh(anchor + modifier) / 2 + 0.5
        change = (free - face).clamp(-budget, budget)
        changed = (face + change).clamp(0, 1)
        feature = _feature_term(face_network()(changed), reference, target)
        loss = dssim(changed, face)
        penalty = mode.penalty_weight * (loss - mode.dssim).clamp_min(0) ** 2
        if loss.item() <= 1.1 * mode.dssim and feature.item() > best_feature:
            best, best_feature = (changed - face).detach(), feature.item()
        steps.zero_grad()
        (penalty - weight * feature).backward()  # type: ignore[no-untyped-call]
        steps.step()
        if loss.item() < 0.9 * mode.dssim:
            weight *= 2
        elif loss.item() > 1.1 * mode.dssim:
            weight /= 2
        controls.on_progress(Progress(what, iteration + 1, mode.iterations))
    return best, mode.iterations


def _feature_term(
    embedding: torch.Tensor, reference: torch.Tensor, target: torch.Tensor | None
) -> torch.Tensor:
    """Away from the face's own embedding, or, where there is a target, towards that."""
    sign, other = (1, reference) if target is None else (-1, target)
    term: torch.Tensor = sign * (embedding - other).square().sum() / other.norm()
    return term
