"""A stage that moves an encoder's latent: the base of photoguard, mist and nightshade.

Each of them has a target picture; `latent.attack` does the work, and is imported only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from artscraper_runner.attacks.presets import PRESETS
from artscraper_runner.latent.targets import STANDARD_TARGETS
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.stages.stage import CLOAKING_STAGE, Stage, StageInput
from artscraper_runner.types import Json, StageResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artscraper_runner.attacks.pgd import Objective
    from artscraper_runner.latent.attack import PictureAttack


class LatentAttack(Stage):
    """Projected gradient steps on the picture, within the job's one budget."""

    measures_final = True
    is_bounded_by_sight = True

    def target(self, size: tuple[int, int], options: ProtectionOptions) -> NDArray[np.float32]:
        """Return the target picture, float32 (h, w, 3) sRGB in [0, 1]; `size` is (h, w).

        Raises:
            RunnerError: the caller's own target cannot be used.
        """
        return STANDARD_TARGETS[self.name](size)

    def prepare(self, inputs: StageInput) -> None:
        """Load the encoder, and encode the original and the targets."""
        self._attack(inputs).prepare()

    def apply(self, inputs: StageInput) -> StageResult:
        """Return the layer before plus this attack's change, within the budget."""
        return self._attack(inputs).run(inputs.pixels, inputs.controls)

    def measure(self, saved: NDArray[np.uint8], inputs: StageInput) -> Json:
        """Return the layer's effects as saved; see `PictureAttack.evaluate`."""
        return self._attack(inputs).evaluate(saved, inputs.pixels, made=inputs.made)

    def measure_final(self, final: NDArray[np.uint8], inputs: StageInput) -> Json:
        """Return this stage's remaining effects and progress in the last layer."""
        return self._attack(inputs).evaluate_final(final)

    def extra_term(
        self, original: NDArray[np.float32], target: NDArray[np.float32], options: ProtectionOptions
    ) -> Objective | None:
        """Return the term added to the latent's distances, or None.

        Both pictures are float32 (1, 3, h, w) sRGB in [0, 1].

        Raises:
            RunnerError: a model or a package that it needs is missing.
        """
        return None

    def _attack(self, inputs: StageInput) -> PictureAttack:
        from artscraper_runner.latent.attack import PictureAttack

        options = inputs.options
        return PictureAttack(
            self.name,
            inputs.original,
            options,
            target=lambda size: self.target(size, options),
            others=tuple(draw for name, draw in STANDARD_TARGETS.items() if name != self.name),
            visibility=inputs.visibility,
            alpha=inputs.alpha,
            after_attack=any(name in PRESETS for name in inputs.stages_before),
            preserves_cloaks=CLOAKING_STAGE in inputs.stages_before,
            extra_term=lambda original, target: self.extra_term(original, target, options),
            cache=inputs.cache,
        )
