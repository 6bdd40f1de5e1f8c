"""The distillation loss: latents, their changes under attack, and fading inner hints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from artscraper_runner.models.taesd import WIDTH as TEACHER_WIDTH
from training.labels import LabelledBatch
from training.student import StudentNetwork, StudentShape


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Weights of the loss' terms; each term is about 1 for a student that answers zero."""

    latent: float = 1.0
    change: float = 1.0
    hint: float = 0.3  # inner layers, at the start; falls linearly to `last_hint`
    last_hint: float = 0.0
    hint_change: float = 0.0  # the change of the inner layers, beside `hint`'s layers themselves
    gradient: float = 0.0  # how far the picture's gradients point elsewhere than the teacher's


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One batch's losses (scalars), and mean cosines with the teacher: changes, gradients."""

    total: torch.Tensor
    latent: torch.Tensor
    change: torch.Tensor
    hint: torch.Tensor
    cosine: torch.Tensor
    gradient_cosine: torch.Tensor


class HintedStudent(nn.Module):
    """The student with two heads that read the teacher's inner features from its own."""

    def __init__(self, shape: StudentShape) -> None:
        super().__init__()
        self.student = StudentNetwork(shape)
        self.quarter_hint = nn.Conv2d(shape.quarter_width, TEACHER_WIDTH, 1)
        self.eighth_hint = nn.Conv2d(shape.eighth_width, TEACHER_WIDTH, 1)

    def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return both hints and the latents, float32."""
        quarter, eighth, latents = self.student.stages(pictures)
        hints = self.quarter_hint(quarter).float(), self.eighth_hint(eighth).float()
        return *hints, latents.float()


def score(
    answers: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    batch: LabelledBatch,
    *,
    weights: Weights,
    progress: float,
    gradients: torch.Tensor | None = None,
) -> Scores:
    """Compare the student's answers with a batch's labels.

    Args:
        answers: of `HintedStudent` for the batch's pictures.
        batch: the teacher's labels.
        weights: of the terms.
        progress: of the run, in [0, 1].
        gradients: the student's counterpart of `batch.gradients`, from `input_gradients`; needed
            where `weights.gradient` is not 0.
    """
    quarter, eighth, latents = answers
    latent = _relative(latents, batch.latents)
    pairs = (quarter, batch.quarter.float()), (eighth, batch.eighth.float())
    hint = sum((_relative(*pair) for pair in pairs), torch.zeros(()))
    if weights.hint_change:
        hint = hint + weights.hint_change * sum(_change_error(*pair) for pair in pairs)
    change = _change_error(latents, batch.latents)
    ours, theirs = _changes(latents), _changes(batch.latents)
    total = weights.latent * latent + weights.change * change
    total = total + (weights.hint + (weights.last_hint - weights.hint) * progress) * hint
    cosine = functional.cosine_similarity(ours.detach(), theirs, dim=1).mean()
    aligned = torch.zeros(())
    if gradients is not None:
        aligned = _alignment(gradients, batch.gradients)
        total = total + weights.gradient * (1 - aligned)
    return Scores(
        total=total,
        latent=latent,
        change=change,
        hint=hint,
        cosine=cosine,
        gradient_cosine=aligned.detach(),
    )


def input_gradients(
    pictures: torch.Tensor, latents: torch.Tensor, directions: torch.Tensor
) -> torch.Tensor:
    """Return the gradient of `latents` along `directions` for `pictures`, itself differentiable."""
    (gradients,) = torch.autograd.grad((latents * directions).sum(), pictures, create_graph=True)
    return gradients


def _alignment(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Return the mean cosine of gradients, as they are and with fine detail weighted up."""
    cosines = [
        functional.cosine_similarity(form(ours).flatten(1), form(theirs).flatten(1), dim=1).mean()
        for form in (lambda gradient: gradient, _sharpened)
    ]
    return (cosines[0] + cosines[1]) / 2


def _sharpened(gradients: torch.Tensor) -> torch.Tensor:
    """Return gradients plus twice what a blur over 3x3 px leaves out of them."""
    blurred = functional.avg_pool2d(gradients, 3, stride=1, padding=1)
    return 3 * gradients - 2 * blurred


def _relative(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(ours, theirs) / theirs.var()


def _change_error(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Return how far the change of `ours` by the attack is from that of `theirs`, relative."""
    ours, theirs = _changes(ours), _changes(theirs)
    power = theirs.square().sum(1)
    return ((ours - theirs).square().sum(1) / (0.5 * (power + power.mean()) + 1e-6)).mean()


def _changes(latents: torch.Tensor) -> torch.Tensor:
    clean, attacked = latents.chunk(2)
    return (attacked - clean).flatten(1)
