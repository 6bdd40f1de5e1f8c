"""The stage `mist`: move the latent to that of a high-contrast periodic pattern."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.attacks.pgd import Objective
from artscraper_runner.models import require_packages
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.stages.latent_attack import LatentAttack
from artscraper_runner.stages.stage import StageInput
from artscraper_runner.types import Project, StageResult


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
        packages = ("torch", "diffusers", "transformers")
        require_packages(packages, "mist's fused mode", extra="fused")
        from artscraper_runner.latent.diffusion_loss import FusedTerm, load_denoising_loss

        loss = load_denoising_loss(options.mist_model, options.accelerator)
        return FusedTerm(loss, original, target, seed=options.seed)
