"""Labelled batches: crops, what attacks make of them, and what the teacher sees in both."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch

from artscraper_runner.models.taesd import TaesdNetwork
from training.attacks import AttackMix, draw_bounds, perturbed
from training.pictures import CropSource
from training.student import StudentNetwork

_STAGE_ENDS = (9, 13)  # layers after which the features are at 1/4 and 1/8 of the size


def teacher_stages(
    teacher: TaesdNetwork, pictures: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the features at 1/4 and at 1/8 of the size, and the latents."""
    features, x = [], pictures
    for index, layer in enumerate(teacher):
        x = layer(x)
        if index in _STAGE_ENDS:
            features.append(x)
    quarter, eighth = features
    return quarter, eighth, x


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Crop sizes in pixels and when, in progress from 0 to 1, harder batches begin.

    Small crops are many pictures, large ones a wider context.
    """

    attack_after: float = 0.04
    large_after: float = 0.25  # large crops
    late_after: float = 0.55  # long attacks
    small: int = 128
    small_count: int = 8
    large: int = 256
    large_count: int = 2
    large_share: float = 0.3  # of the batches, once they begin


@dataclass(frozen=True, kw_only=True)
class LabelledBatch:
    """Twice as many pictures as crops: the clean ones, then the attacked ones."""

    pictures: torch.Tensor  # float32 (2n, 3, H, W) sRGB in [0, 1]
    quarter: torch.Tensor  # teacher's features (2n, 64, H/4, W/4)
    eighth: torch.Tensor  # teacher's features (2n, 64, H/8, W/8)
    latents: torch.Tensor  # teacher's latents float32 (2n, C, H/8, W/8)
    directions: torch.Tensor  # of latents, float32 (2n, C, H/8, W/8)
    gradients: torch.Tensor  # of the teacher's latents along `directions`, (2n, 3, H, W)


class Labeller:
    """Draws crops, attacks the student (or the teacher) with them, asks the teacher."""

    def __init__(
        self,
        crops: CropSource,
        teacher: TaesdNetwork,
        student: StudentNetwork,
        *,
        mix: AttackMix,
        curriculum: Curriculum,
        device: torch.device,
        rng: np.random.Generator,
        generator: torch.Generator,
    ) -> None:
        self.crops, self.teacher, self.student = crops, teacher, student
        self.mix, self.curriculum = mix, curriculum
        self.device, self.rng, self.generator = device, rng, generator

    def label(self, progress: float) -> LabelledBatch:
        """Return a new batch; ``progress`` in [0, 1] decides its size and its attacks."""
        plan = self.curriculum
        is_large = progress > plan.large_after and self._chance(plan.large_share)
        size = plan.large if is_large else plan.small
        count = plan.large_count if is_large else plan.small_count
        clean = torch.from_numpy(self.crops.batch(count, size=size))
        clean = clean.to(self.device).contiguous(memory_format=torch.channels_last)
        attacked = self._attacked(clean, progress)
        pictures = torch.cat([clean, attacked]).requires_grad_(True)
        with self.autocast():
            quarter, eighth, latents = teacher_stages(self.teacher, pictures)
        latents = latents.float()
        directions = self._directions(latents.detach())
        (gradients,) = torch.autograd.grad((latents * directions).sum(), pictures)
        return LabelledBatch(
            pictures=pictures.detach(),
            quarter=quarter.detach(),
            eighth=eighth.detach(),
            latents=latents.detach(),
            directions=directions,
            gradients=gradients,
        )

    def _directions(self, latents: torch.Tensor) -> torch.Tensor:
        """Return where attacks push latents (2n, ...): away from the clean ones, or to another's.

        A clean picture shares its direction with its attacked copy. Each has a norm of 1.
        """
        clean, attacked = latents.chunk(2)
        away = attacked - clean
        other = clean.roll(1, 0) - clean
        is_away = torch.from_numpy(self.rng.random(len(clean)) < self.mix.away_gradients)
        chosen = torch.where(is_away.to(latents.device)[:, None, None, None], away, other)
        norms = chosen.flatten(1).norm(dim=1).clamp_min(1e-6)
        directions: torch.Tensor = chosen / norms[:, None, None, None]
        return directions.repeat(2, 1, 1, 1)

    def autocast(self) -> torch.autocast:
        """Return the bfloat16 context that both networks run in."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _attacked(self, clean: torch.Tensor, progress: float) -> torch.Tensor:
        by_teacher = self._chance(self.mix.by_teacher)
        steps = self._steps(progress, by_teacher=by_teacher)
        towards = torch.from_numpy(self.rng.random(len(clean)) < self.mix.towards)
        network: StudentNetwork | TaesdNetwork = self.teacher if by_teacher else self.student

        def latents(pictures: torch.Tensor) -> torch.Tensor:
            with self.autocast():
                return network(pictures).float()  # type: ignore[no-any-return]

        self.student.requires_grad_(False)
        try:
            return perturbed(
                latents,
                clean,
                steps=steps,
                budget=draw_bounds(self.rng, self.mix, clean),
                towards=towards.to(self.device),
                two_sizes=not by_teacher and self._chance(self.mix.two_sizes),
                generator=self.generator,
            ).detach()
        finally:
            self.student.requires_grad_(True)

    def _steps(self, progress: float, *, by_teacher: bool) -> int:
        if progress <= self.curriculum.attack_after or self._chance(self.mix.still):
            return 0
        own = self.mix.late_steps if progress > self.curriculum.late_after else self.mix.steps
        return int(self.rng.choice(self.mix.teacher_steps if by_teacher else own))

    def _chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)


class Memory:
    """The last batches; the teacher costs most, so each of its answers is used several times."""

    def __init__(self, *, capacity: int, rng: np.random.Generator) -> None:
        self.batches: deque[LabelledBatch] = deque(maxlen=capacity)
        self.rng = rng

    def add(self, batch: LabelledBatch) -> None:
        """Keep a batch, dropping the oldest one when full."""
        self.batches.append(batch)

    def draw(self) -> LabelledBatch:
        """Return one of the stored batches."""
        return self.batches[int(self.rng.integers(len(self.batches)))]
