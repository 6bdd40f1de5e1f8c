"""What photoguard, mist and nightshade share: a stage that moves an encoder's latent.

Each of them names its target picture; the presets hold their numbers, the engine the loop. One
budget holds for all of them together: the Linf distance from the original.
"""

from __future__ import annotations

import zlib
from abc import abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from artscraper_runner.effects import EFFECTIVE_RATIO, Observer, effect_record
from artscraper_runner.encoders import load_encoder, standby_encoders
from artscraper_runner.engine import Outcome, optimise
from artscraper_runner.errors import OutOfMemory
from artscraper_runner.objectives import LatentObjective
from artscraper_runner.perceptual_map import budget_map
from artscraper_runner.presets import AttackPreset, Strength, attack_preset, strength_named
from artscraper_runner.protections.stage import Stage, StageInput
from artscraper_runner.types import Json, ProtectionOptions, StageResult
from artscraper_runner.working_size import SHORT_SIDE, ScaledPictures, added, working_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SMALLER_SHORT_SIDE = SHORT_SIDE // 2  # px, tried once when memory runs out
_scaled = ScaledPictures()


class LatentAttack(Stage):
    """Projected gradient steps on the picture, within the job's budget."""

    measures_final = True

    @abstractmethod
    def target(self, size: tuple[int, int], options: ProtectionOptions) -> torch.Tensor:
        """Returns the target picture, float32 (1, 3, h, w) sRGB in [0, 1]; `size` is (h, w).

        Raises:
            RunnerError: the caller's own target cannot be used.
        """

    def apply(self, given: StageInput) -> StageResult:
        """Returns the layer before plus this attack's change, within the budget.

        Raises:
            Cancelled: the caller asked to stop.
            OutOfMemory: the device has too little, also for a smaller working size.
            RunnerError: the encoder or the target cannot be used.
        """
        height, width = given.pixels.shape[:2]
        short_sides = (SHORT_SIDE, min(_SMALLER_SHORT_SIDE, max(1, min(height, width) // 2)))
        for short_side in short_sides:
            try:
                return self._attacked(given, working_size(height, width, short_side=short_side))
            except torch.OutOfMemoryError as error:
                _free_device_memory()
                if short_side == short_sides[-1]:
                    raise OutOfMemory(given.options.encoder, width, height) from error
        raise AssertionError("unreachable")

    def measure(self, saved: NDArray[np.uint8], given: StageInput) -> Json:
        """Returns the layer's effects as saved, in the working size; see `effects`.

        `unattacked` names what a second encoder sees that no attack looked through, where the
        folder of models holds one; `effective` is false where noise would do about as well.
        """
        size = working_size(*saved.shape[:2])
        observer = _observer_for(given.options)
        original, changed = _to_device(given.original, size), _to_device(saved, size)
        record = effect_record(observer, original, changed)
        times_noise = record["times_noise"]["plain"]
        aim = self.target(size, given.options).to(original.device)
        return {
            **record,
            "effect_before": round(
                observer.displacement(original, _to_device(given.pixels, size)), 4
            ),
            "progress_to_target": round(observer.progress(original, changed, aim), 4),
            "unattacked": _seen_by_others(given.options, original, changed, ("plain",)),
            "effective": times_noise is not None and times_noise >= EFFECTIVE_RATIO,
        }

    def measure_final(self, final: NDArray[np.uint8], given: StageInput) -> Json:
        """Returns what is left of this stage in the last layer: effects and progress."""
        size = working_size(*final.shape[:2])
        observer = _observer_for(given.options)
        original, changed = _to_device(given.original, size), _to_device(final, size)
        aim = self.target(size, given.options).to(original.device)
        return {
            **effect_record(observer, original, changed),
            "progress_to_target": round(observer.progress(original, changed, aim), 4),
            "unattacked": _seen_by_others(given.options, original, changed, None),
        }

    def _attacked(self, given: StageInput, size: tuple[int, int]) -> StageResult:
        options = given.options
        preset = attack_preset(self.name, options.preset)
        strength = strength_named(options.strength)
        original, before = _to_device(given.original, size), _to_device(given.pixels, size)
        outcome = self._optimised(given, preset, strength, original, before)
        pixels = added(
            given.pixels,
            outcome.perturbation - (before - original),
            original=given.original,
            budget=strength.budget,
        )
        return StageResult(
            pixels,
            metrics={
                "preset": options.preset,
                "strength": options.strength,
                "budget": strength.budget,
                "seed": options.seed,
                "iterations": outcome.iterations,
                "objective": [round(score, 4) for score in outcome.scores[:: outcome.iterations]],
            },
            processing_size=(size[1], size[0]),
        )

    def _optimised(
        self,
        given: StageInput,
        preset: AttackPreset,
        strength: Strength,
        original: torch.Tensor,
        before: torch.Tensor,
    ) -> Outcome:
        observer = _observer_for(given.options)
        size = (original.shape[2], original.shape[3])
        bound = _bound(original, before, preset, strength)
        objective = LatentObjective(
            observer.encoder,
            reference=observer.latent,
            original=original,
            before=before,
            target=self.target(size, given.options).to(original.device),
            preset=preset,
        )
        return optimise(
            original,
            start=before - original,
            bound=bound,
            objective=objective,
            rule=preset.rule,
            seed=zlib.crc32(self.name.encode(), given.options.seed & 0xFFFFFFFF),
            controls=given.controls,
            what=self.name,
        )


def _bound(
    original: torch.Tensor, before: torch.Tensor, preset: AttackPreset, strength: Strength
) -> torch.Tensor:
    """The bound of each pixel; never less than what the layers before have used within budget."""
    budget = strength.budget / 255
    if not preset.has_map:
        return torch.full_like(original[:, :1], budget)
    shaped = budget_map(original, budget=budget, ssim_loss=strength.ssim_loss)
    return torch.maximum(shaped, (before - original).abs().clamp(max=budget))


def _seen_by_others(
    options: ProtectionOptions,
    original: torch.Tensor,
    changed: torch.Tensor,
    views: tuple[str, ...] | None,
) -> Json | None:
    name = next(iter(standby_encoders(options.encoder, options.models_dir)), None)
    if name is None:
        return None
    observer = _observer(name, options.models_dir, allow_downloads=False)
    if views is None:
        return effect_record(observer, original, changed)
    return effect_record(observer, original, changed, views=views)


def _observer_for(options: ProtectionOptions) -> Observer:
    return _observer(options.encoder, options.models_dir, allow_downloads=options.allow_downloads)


@lru_cache(maxsize=3)
def _observer(name: str, models_dir: Path | None, *, allow_downloads: bool) -> Observer:
    return Observer(
        load_encoder(name, models_dir=models_dir, allow_downloads=allow_downloads, device=_device())
    )


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _to_device(pixels: NDArray[np.uint8], size: tuple[int, int]) -> torch.Tensor:
    return _scaled.get(pixels, size).to(_device())


def _free_device_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
