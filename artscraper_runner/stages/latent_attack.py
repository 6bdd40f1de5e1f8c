"""What photoguard, mist and nightshade share: a stage that moves an encoder's latent.

Each of them names its target picture; `picture_attack` does the work. Loads no torch before that.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from artscraper_runner.options import ProtectionOptions
from artscraper_runner.stages.stage import Stage, StageInput
from artscraper_runner.types import Json, StageResult

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from artscraper_runner.attacks.pgd import Objective
    from artscraper_runner.latent.attack import PictureAttack


class LatentAttack(Stage):
    """Projected gradient steps on the picture, within the job's one budget."""

    measures_final = True

    @abstractmethod
    def target(self, size: tuple[int, int], options: ProtectionOptions) -> NDArray[np.float32]:
        """Returns the target picture, float32 (h, w, 3) sRGB in [0, 1]; `size` is (h, w).

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
        attack = self._attack(given)
        found = attack.run(given.pixels, given.controls, may_be_cloaked=given.may_be_cloaked)
        return StageResult(found.pixels, metrics=found.record, processing_size=found.size[::-1])

    def measure(self, saved: NDArray[np.uint8], given: StageInput) -> Json:
        """Returns what the layer as saved does; see `PictureAttack.measured`.

        Raises:
            OutOfMemory: the device has too little, also for a smaller size.
        """
        return self._attack(given).measured(saved, given.pixels, made=given.made)

    def measure_final(self, final: NDArray[np.uint8], given: StageInput) -> Json:
        """Returns what is left of this stage in the last layer: effects and progress.

        Raises:
            OutOfMemory: the device has too little, also for a smaller size.
        """
        return self._attack(given).measured_final(final)

    def also(
        self, original: torch.Tensor, target: torch.Tensor, options: ProtectionOptions
    ) -> Objective | None:
        """Returns what the attack climbs beside the latent's distances, None = nothing.

        Both pictures are float32 (1, 3, h, w) sRGB in [0, 1].

        Raises:
            RunnerError: a model or a package that it needs is missing.
        """
        return None

    def _attack(self, given: StageInput) -> PictureAttack:
        from artscraper_runner.latent.attack import PictureAttack

        options = given.options
        return PictureAttack(
            self.name,
            given.original,
            options,
            target=lambda size: self.target(size, options),
            alpha=given.alpha,
            after_attack=given.after_attack,
            also=lambda original, target: self.also(original, target, options),
        )
