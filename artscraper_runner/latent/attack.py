"""One attack on one picture of any size: from the working size to the change at full size.

The presets hold the numbers, the engine the loop. One budget holds for all attacks of a job
together: the Linf distance from the original.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from artscraper_runner.attacks.evaluation import (
    EVERYWHERE,
    VIEWS,
    Observer,
    beats_noise,
    effect_record,
    own_record,
)
from artscraper_runner.attacks.perceptual import budget_map
from artscraper_runner.attacks.pgd import Objective, Outcome, optimise, sum_of
from artscraper_runner.attacks.presets import AttackPreset, Strength, attack_preset, strength_named
from artscraper_runner.attacks.scaling import (
    SHORT_SIDE,
    ScaledPictures,
    added,
    visible_at,
    working_size,
)
from artscraper_runner.errors import OutOfMemory, RunnerError
from artscraper_runner.faces.low_frequency import calm_faces, face_squares
from artscraper_runner.faces.preservation import CloakedFaces, cloaked_faces
from artscraper_runner.latent.objectives import LatentObjective
from artscraper_runner.models import load_encoder, standby_encoders
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.types import Controls, Json

Pixels = NDArray[np.uint8]
Size = tuple[int, int]  # height, width in px
Found = TypeVar("Found")
_scaled = ScaledPictures()


@dataclass(frozen=True)
class Attacked:
    """`pixels` uint8 (H, W, 3), the working `size` they were found at, and the attack's figures."""

    pixels: Pixels
    size: Size
    record: Json


@dataclass(frozen=True)
class PictureAttack:
    """The attack `stage` on `original`, uint8 (H, W, 3).

    `alpha` is uint8 (H, W), None = opaque: where it is 0 no change is looked for, since nobody
    sees it, and noise stays out too. `after_attack`: another attack of the job came before.
    `target` draws the target picture, float32 (h, w, 3) sRGB in [0, 1], at the size it is given.
    `also` makes, of the original and the target at the working size, a further term to climb or
    None.
    """

    stage: str
    original: Pixels
    options: ProtectionOptions
    target: Callable[[Size], NDArray[np.float32]]
    alpha: Pixels | None = None
    after_attack: bool = False
    also: Callable[[torch.Tensor, torch.Tensor], Objective | None] = lambda original, target: None

    def run(self, before: Pixels, controls: Controls, *, may_be_cloaked: bool = True) -> Attacked:
        """Returns `before` plus the attack's change; memory that runs out is met once with less.

        Faces that `before` has cloaked are kept so; where there can be none nothing is kept.

        Raises:
            Cancelled: the caller asked to stop.
            OutOfMemory: the device has too little, also for a smaller working size.
            RunnerError: the encoder or the target cannot be used.
        """
        return self._within_memory(
            lambda size: self._run_at(size, before, controls, may_be_cloaked)
        )

    def measured(self, saved: Pixels, before: Pixels, *, made: Pixels | None = None) -> Json:
        """Returns the layer's effects as saved, seen at the working size; see `effects`.

        What the stage added by itself is told from `made`, the layer before it was encoded, None =
        as saved: a lossy file changes more than a later stage does. `effective` is false where
        noise would do about as well as the layer, or as the stage. `unattacked` names what a
        second encoder sees that no attack looked through: of the folder of models, else the bundled
        one; where none of these can be used, the `error` of the first, or None without any.

        Raises:
            OutOfMemory: the device has too little, also for a smaller size.
        """
        handed_on = saved if made is None else made
        return self._within_memory(lambda size: self._measured_at(size, saved, before, handed_on))

    def measured_final(self, final: Pixels) -> Json:
        """Returns what is left of the attack in the last layer: effects and progress.

        Raises:
            OutOfMemory: the device has too little, also for a smaller size.
        """
        return self._within_memory(lambda size: self._measured_final_at(size, final))

    def _measured_at(self, size: Size, saved: Pixels, before: Pixels, made: Pixels) -> Json:
        original, changed, earlier, handed_on = (
            _to_device(each, size) for each in (self.original, saved, before, made)
        )
        observer = _observer_for(self.options)
        visible = self._visible(original)
        record = effect_record(observer, original, changed, visible=visible)
        own = own_record(observer, original, earlier, handed_on, visible=visible)
        return {
            **record,
            **own,
            "progress_to_target": self._progress(original, changed),
            "unattacked": self._seen_by_another(original, changed, ("plain",)),
            "effective": own["effective"] and beats_noise(record["times_noise"]["plain"]),
        }

    def _measured_final_at(self, size: Size, final: Pixels) -> Json:
        original, changed = _to_device(self.original, size), _to_device(final, size)
        visible = self._visible(original)
        return {
            **effect_record(_observer_for(self.options), original, changed, visible=visible),
            "progress_to_target": self._progress(original, changed),
            "unattacked": self._seen_by_another(original, changed, tuple(VIEWS)),
        }

    def _run_at(
        self, size: Size, before: Pixels, controls: Controls, may_be_cloaked: bool
    ) -> Attacked:
        preset = attack_preset(self.stage, self.options.preset)
        strength = strength_named(self.options.strength)
        original, start = _to_device(self.original, size), _to_device(before, size)
        cloaked = None
        if may_be_cloaked:
            cloaked = cloaked_faces(self.original, before, size, self._seed)
        outcome = self._optimised(
            original, start, preset, strength, controls=controls, cloaked=cloaked
        )
        step = outcome.perturbation - (start - original)
        pixels = added(before, step, original=self.original, budget=strength.budget)
        return Attacked(
            pixels,
            size,
            {
                "preset": self.options.preset,
                "strength": self.options.strength,
                "budget": strength.budget,
                "seed": self.options.seed,
                "iterations": outcome.iterations,
            },
        )

    def _optimised(
        self,
        original: torch.Tensor,
        before: torch.Tensor,
        preset: AttackPreset,
        strength: Strength,
        *,
        controls: Controls,
        cloaked: CloakedFaces | None,
    ) -> Outcome:
        objective = self._objective(original, preset)
        start = (before - original).clamp(-strength.budget / 255, strength.budget / 255)
        squares = face_squares(self.original, _size_of(original)) if preset.has_map else ()
        calm = calm_faces(squares, start, _bound(original, preset, strength))
        if cloaked:
            objective = cloaked.kept_by(objective, before)
        return optimise(
            original,
            start=start,
            bound=calm.bound * self._visible(original),
            objective=objective,
            rule=preset.rule_for(self.options.encoder, after_attack=self.after_attack),
            seed=self._seed,
            controls=controls,
            what=self.stage,
            calmed=calm.calmed,
        )

    def _objective(self, original: torch.Tensor, preset: AttackPreset) -> Objective:
        observer, target = _observer_for(self.options), self._target_for(original)
        objective = LatentObjective(
            observer.encoder,
            reference=observer.latent,
            original=original,
            target=target,
            preset=preset,
        )
        further = self.also(original, target)
        return objective if further is None else sum_of(objective, further)

    @property
    def _seed(self) -> int:
        return zlib.crc32(self.stage.encode(), self.options.seed)

    def _visible(self, picture: torch.Tensor) -> torch.Tensor:
        """0 where the picture is wholly transparent, else 1."""
        if self.alpha is None:
            return EVERYWHERE
        return visible_at(self.alpha, _size_of(picture)).to(picture)

    def _target_for(self, picture: torch.Tensor) -> torch.Tensor:
        drawn = self.target(_size_of(picture))
        return torch.from_numpy(drawn).permute(2, 0, 1)[None].contiguous().to(picture)

    def _progress(self, original: torch.Tensor, changed: torch.Tensor) -> float | None:
        aim = self._target_for(original)
        progress = _observer_for(self.options).progress(original, changed, aim)
        return None if progress is None else round(progress, 4)

    def _within_memory(self, work: Callable[[Size], Found]) -> Found:
        """What `work` returns at the working size, or at a smaller one where memory ran out."""
        height, width = self.original.shape[:2]
        try:
            return work(working_size(height, width))
        except torch.OutOfMemoryError:
            _free_device_memory()
        short_side = max(1, min(SHORT_SIDE, height, width) // 2)
        try:
            return work(working_size(height, width, short_side=short_side))
        except torch.OutOfMemoryError as error:
            _free_device_memory()
            raise OutOfMemory(self.options.encoder, width, height) from error

    def _seen_by_another(
        self, original: torch.Tensor, changed: torch.Tensor, views: tuple[str, ...]
    ) -> Json | None:
        models_dir, refused = self.options.models_dir, None
        for name in standby_encoders(self.options.encoder, models_dir):
            try:
                observer = _observer(name, models_dir, allow_downloads=False)
                visible = self._visible(original)
                return effect_record(observer, original, changed, views=views, visible=visible)
            except RunnerError as error:  # it only measures: nobody asked for it
                refused = refused or {"encoder": name, "error": error.public}
        return refused


def _bound(original: torch.Tensor, preset: AttackPreset, strength: Strength) -> torch.Tensor:
    budget = strength.budget / 255
    if not preset.has_map:
        return torch.full_like(original[:, :1], budget)
    return budget_map(original, budget=budget, floor=strength.flat / 255, slope=strength.texture)


def _size_of(picture: torch.Tensor) -> Size:
    return picture.shape[2], picture.shape[3]


def _observer_for(options: ProtectionOptions) -> Observer:
    return _observer(options.encoder, options.models_dir, allow_downloads=options.allow_downloads)


@lru_cache(maxsize=3)
def _observer(name: str, models_dir: Path | None, *, allow_downloads: bool) -> Observer:
    return Observer(
        load_encoder(name, models_dir=models_dir, allow_downloads=allow_downloads, device=_device())
    )


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _to_device(pixels: Pixels, size: Size) -> torch.Tensor:
    return _scaled.get(pixels, size).to(_device())


def _free_device_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
