"""The stage `mist`: move the latent to that of a high-contrast periodic pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

from artscraper_runner.protections.latent_attack import LatentAttack
from artscraper_runner.target_pictures import periodic_pattern
from artscraper_runner.types import Project, ProtectionOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Mist(LatentAttack):
    """Textural mode of Liang and Wu 2023 (arXiv 2305.12683), re-implemented.

    Differs: the pattern is our own drawing; under the preset `default` few momentum steps start
    from the layer before, pushed away from the original's latent as well as towards the pattern,
    at two sizes and through JPEG, and bounded by a perceptual map.
    """

    name = "mist"
    description = "Moves what an image model's encoder sees towards a high-contrast pattern."
    project = Project(
        "Mist v2", "textural mode (Liang and Wu 2023, arXiv 2305.12683), re-implemented"
    )

    def target(self, size: tuple[int, int], options: ProtectionOptions) -> NDArray[np.float32]:
        """Returns the periodic pattern."""
        return periodic_pattern(*size)
