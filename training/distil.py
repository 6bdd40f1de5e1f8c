"""Train the bundled encoder: ``python -m training.distil --images DIR --teacher FILE``.

On-policy distillation: the student is attacked as it will be in use, and learns to answer the
attacked crops as the teacher does. Runs on a CPU or a GPU; goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn
from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

from artscraper_runner.models.taesd import TaesdNetwork, network_from
from artscraper_runner.models.torch_encoder import read_state, to_device
from training import checkpoint
from training.attacks import AttackMix
from training.labels import Curriculum, Labeller, Memory
from training.objective import HintedStudent, Scores, Weights, input_gradients, score
from training.pictures import CropSource, training_files
from training.student import StudentShape, shape_of

SHOW_EVERY_S = 20.0
HALF_WIDTH = 32  # channels of the branch that a continued run adds
RUNS = Path(__file__).parent / "runs"  # git-ignored


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything about a run but its data, its length and its machine."""

    seed: int = 0
    learning_rate: float = 2e-3  # AdamW; warmed up, then a cosine to zero
    weight_decay: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.98)
    warm_up_steps: int = 100
    gradient_norm: float = 1.0
    average_decay: float = 0.998  # of the weight average, per step
    uses_of_a_label: int = 4  # optimiser steps for each batch that the teacher sees
    memory: int = 48  # batches
    drawn: int = 128  # drawn pictures at hand; each batch replaces one
    shape: StudentShape = field(default_factory=StudentShape)
    curriculum: Curriculum = field(default_factory=Curriculum)
    mix: AttackMix = field(default_factory=AttackMix)
    weights: Weights = field(default_factory=Weights)


def continued_recipe(seed: int, shape: StudentShape) -> Recipe:
    """Return the recipe for a student that was trained before: gentle, long, mapped attacks.

    The loss compares gradients of the picture too (Sobolev training, Czarnecki et al. 2017, arXiv
    1706.04859), since those are what an attack through the student uses.
    """
    return Recipe(
        seed=seed,
        learning_rate=1e-3,
        shape=shape if shape.half_width else replace(shape, half_width=HALF_WIDTH),
        curriculum=Curriculum(attack_after=0.0, large_after=0.0, late_after=0.0),
        mix=AttackMix(budgets=(4.0, 8.0), mapped=0.65, still=0.05),
        weights=Weights(hint=0.1, last_hint=0.02, hint_change=0.5, gradient=1.0),
    )


@dataclass(frozen=True, kw_only=True)
class Length:
    """The end of a run: after ``steps`` optimiser steps or ``minutes`` of wall clock."""

    steps: int | None
    minutes: float | None

    def progress(self, *, steps: int, elapsed_s: float) -> float:
        """Return the completed share of the run, in [0, 1]."""
        by_steps = steps / self.steps if self.steps else 0.0
        by_time = elapsed_s / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))


class Run:
    """A run's state and its loop.

    Args:
        recipe: what to train and how.
        length: when to stop.
        images: folder of training pictures.
        teacher: file of the teacher's weights.
        device: where both networks run.
    """

    def __init__(
        self, recipe: Recipe, length: Length, *, images: Path, teacher: Path, device: torch.device
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.length = recipe, length
        self.steps, self.elapsed_s = 0, 0.0
        self.rng = np.random.default_rng(recipe.seed)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.model = to_device(HintedStudent(recipe.shape), device)
        weights = self.model.student.state_dict()
        self.average = {key: value.detach().clone() for key, value in weights.items()}
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), betas=recipe.betas, weight_decay=recipe.weight_decay
        )
        self.memory = Memory(capacity=recipe.memory, rng=self.rng)
        self.labeller = Labeller(
            CropSource(training_files(images), drawn=recipe.drawn, rng=self.rng),
            load_teacher(teacher, device),
            self.model.student,
            mix=recipe.mix,
            curriculum=recipe.curriculum,
            device=device,
            rng=self.rng,
            generator=self.generator,
        )

    @property
    def progress(self) -> float:
        """Return the completed share of the run, in [0, 1]."""
        return self.length.progress(steps=self.steps, elapsed_s=self.elapsed_s)

    def step(self) -> Scores:
        """Label a new batch when one is due, and take one optimiser step."""
        started = time.monotonic()
        if self.steps % self.recipe.uses_of_a_label == 0 or not self.memory.batches:
            self.memory.add(self.labeller.label(self.progress))
        batch = self.memory.draw()
        weights = self.recipe.weights
        pictures = batch.pictures.clone().requires_grad_(bool(weights.gradient))
        with self.labeller.autocast():
            answers = self.model(pictures)
        gradients = None
        if weights.gradient:
            gradients = input_gradients(pictures, answers[-1], batch.directions)
        scores = score(answers, batch, weights=weights, progress=self.progress, gradients=gradients)
        self._descend(scores.total)
        self.steps += 1
        self._average_weights()
        self.elapsed_s += time.monotonic() - started
        return scores

    def _descend(self, loss: torch.Tensor) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.gradient_norm)
        self.optimiser.step()

    def _learning_rate(self) -> float:
        warm = min(1.0, (self.steps + 1) / self.recipe.warm_up_steps)
        return self.recipe.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * self.progress))

    @torch.no_grad()
    def _average_weights(self) -> None:
        decay = min(self.recipe.average_decay, self.steps / (self.steps + 10))
        for key, value in self.model.student.state_dict().items():
            self.average[key].lerp_(value, 1 - decay)

    def state(self) -> dict[str, Any]:
        """Return the state that a later process needs to resume."""
        return {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "steps": self.steps,
            "elapsed_s": self.elapsed_s,
            "rng": self.rng.bit_generator.state,
            "generator": self.generator.get_state(),
        }

    def start_from(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Begin with the weights of a student that was trained before, with or without a branch."""
        own = self.model.student.state_dict()
        new = {key: value for key, value in own.items() if key.startswith("half_branch.")}
        self.model.student.load_state_dict({**new, **weights})
        for key, value in self.model.student.state_dict().items():
            self.average[key].copy_(value)

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; the memory of labelled batches fills anew."""
        self.model.load_state_dict(state["model"])
        for key, value in state["average"].items():
            self.average[key].copy_(value)
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps, self.elapsed_s = state["steps"], state["elapsed_s"]
        self.rng.bit_generator.state = state["rng"]
        self.generator.set_state(state["generator"])


def load_teacher(path: Path, device: torch.device) -> TaesdNetwork:
    """Return a frozen TAESD network from its file."""
    network = network_from(read_state(path)).eval().requires_grad_(False)
    return to_device(network, device)


def train(run: Run, *, folder: Path, checkpoint_every_s: float) -> None:
    """Run to the end, showing how it goes and saving a checkpoint every so often."""
    shown = saved = time.monotonic()
    with tqdm(total=100, unit="%", disable=not sys.stderr.isatty()) as bar:
        while run.progress < 1:
            scores = run.step()
            bar.update(int(100 * run.progress) - bar.n)
            now = time.monotonic()
            if now - shown > SHOW_EVERY_S:
                shown = now
                _show(bar, _line(run, scores))
            if now - saved > checkpoint_every_s:
                saved = now
                checkpoint.save(folder, run.state())
    print(f"{checkpoint.save(folder, run.state())}: {run.steps} steps in {run.elapsed_s:.0f} s")


def _show(bar: tqdm[NoReturn], line: str) -> None:
    if bar.disable:  # no terminal: a log wants lines
        print(line, flush=True)
    else:
        bar.set_postfix_str(line)


def _line(run: Run, scores: Scores) -> str:
    return (
        f"step {run.steps} {100 * run.progress:.1f}% {run.elapsed_s:.0f}s "
        f"latent {scores.latent.item():.3f} change {scores.change.item():.3f} "
        f"hint {scores.hint.item():.3f} cosine {scores.cosine.item():.3f} "
        f"gradient {scores.gradient_cosine.item():.3f}"
    )


def arguments_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(
        prog="python -m training.distil",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of training pictures")
    parser.add_argument("--teacher", type=Path, required=True, help="taef2_encoder.pth")
    parser.add_argument("--start", type=Path, help="weights to start from (safetensors)")
    parser.add_argument("--run", type=Path, default=RUNS / "bundled", help="checkpoint folder")
    parser.add_argument("--steps", type=int, help="optimiser steps")
    parser.add_argument("--minutes", type=float, help="wall clock, over all resumed parts")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint-minutes", type=float, default=3.0)
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, then start a run or go on with it."""
    parser = arguments_parser()
    options = parser.parse_args(arguments)
    if not (options.steps or options.minutes):
        parser.error("expected --steps or --minutes: the schedule must know its end")
    if options.threads:
        torch.set_num_threads(options.threads)
    start = read_state(options.start) if options.start else None
    recipe = continued_recipe(options.seed, shape_of(start)) if start else Recipe(seed=options.seed)
    run = Run(
        recipe,
        Length(steps=options.steps, minutes=options.minutes),
        images=options.images,
        teacher=options.teacher,
        device=torch.device(options.device),
    )
    if (state := checkpoint.load(options.run)) is not None:
        run.resume(state)
    elif start is not None:
        run.start_from(start)
    train(run, folder=options.run, checkpoint_every_s=60 * options.checkpoint_minutes)


if __name__ == "__main__":
    main()
