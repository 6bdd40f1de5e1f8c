"""The stage `photoguard`: move the latent to that of a grey picture."""

from __future__ import annotations

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
