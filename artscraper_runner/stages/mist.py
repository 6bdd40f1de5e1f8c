"""The stage `mist`: move the latent to that of a high-contrast periodic pattern."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.attacks.pgd import Objective
from artscraper_runner.errors import MissingDependency
from artscraper_runner.latent.targets import periodic_pattern
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.stages.latent_attack import LatentAttack
from artscraper_runner.stages.stage import StageInput
from artscraper_runner.types import Project, StageResult

INSTALL = "pip install 'artscraper-gateway[fused]'"
_FUSED_PACKAGES = ("torch", "diffusers", "transformers")


def require_fused_mode() -> None:
    """Check that the packages of the fused mode are installed.

    Raises:
        MissingDependency: one is not; the message has the command that installs them.
    """
    for package in _FUSED_PACKAGES:
        if find_spec(package) is None:
            raise MissingDependency(package, "mist's fused mode", INSTALL)


class Mist(LatentAttack):
    """Liang and Wu 2023 (arXiv 2305.12683), re-implemented: the textural mode, or the fused one.

    The fused mode runs where the option `mist_model` names a diffusion model; see
    `latent.diffusion_loss`. Differs: the pattern is our own drawing; under the preset `default` few
    momentum steps start from the layer before, pushed away from the original's latent as well as
    towards the pattern, at two sizes, and bounded by a perceptual map.
    """

    name = "mist"
    description = "Moves what an image model's encoder sees towards a high-contrast pattern."
    project = Project(
        "Mist v2",
        "textural mode, fused with a model (Liang and Wu 2023, arXiv 2305.12683), re-implemented",
    )

    def target(self, size: tuple[int, int], options: ProtectionOptions) -> NDArray[np.float32]:
        """Return the periodic pattern."""
        return periodic_pattern(*size)

    def apply(self, inputs: StageInput) -> StageResult:
        """Return the layer as every latent attack does; its metrics say which `mode` it was."""
        result = super().apply(inputs)
        mode = "textural" if inputs.options.mist_model is None else "fused"
        return replace(result, metrics={**result.metrics, "mode": mode})

    def extra_term(
        self, original: NDArray[np.float32], target: NDArray[np.float32], options: ProtectionOptions
    ) -> Objective | None:
        """Return the denoising loss of the model that `mist_model` names, None without one.

        Raises:
            MissingModel: there is no such model.
            MissingDependency: diffusers or transformers is not installed; names the command.
        """
        if options.mist_model is None:
            return None
        require_fused_mode()
        from artscraper_runner.latent.diffusion_loss import FusedTerm, load_denoising_loss

        loss = load_denoising_loss(options.mist_model, options.accelerator)
        return FusedTerm(loss, original, target, seed=options.seed)
