"""The stage `photoguard`: move the latent to that of a grey picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.latent.targets import grey
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.stages.latent_attack import LatentAttack
from artscraper_runner.types import Project


class Photoguard(LatentAttack):
    """Encoder attack of Salman et al. 2023 (arXiv 2302.06588), re-implemented.

    Differs under the preset `default`: few momentum steps, pushed away from the original's latent
    as well as towards grey, at two sizes, and bounded by a perceptual map.
    """

    name = "photoguard"
    description = "Moves what an image model's encoder sees away from the picture, towards grey."
    project = Project(
        "PhotoGuard", "encoder attack (Salman et al. 2023, arXiv 2302.06588), re-implemented"
    )

    def target(self, size: tuple[int, int], options: ProtectionOptions) -> NDArray[np.float32]:
        """Return mid grey."""
        return grey(*size)
