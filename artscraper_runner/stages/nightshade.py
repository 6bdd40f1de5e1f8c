"""The stage `nightshade`: move the latent to that of a picture of another concept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.errors import PictureError, UnusableTarget
from artscraper_runner.imaging.decode import open_picture
from artscraper_runner.latent.targets import concept
from artscraper_runner.options import PictureLimits, ProtectionOptions
from artscraper_runner.stages.latent_attack import LatentAttack
from artscraper_runner.types import Project


class Nightshade(LatentAttack):
    """The image perturbation of Shan et al. 2024 (arXiv 2310.13828), re-implemented.

    Differs: the target is drawn by code or the caller's own picture (the paper generates it from a
    text), and Linf bounds the change (the paper bounds LPIPS). Only the picture is changed: which
    caption it is trained with, and how many such pictures, is out of our hands. Under the preset
    `default` few momentum steps start from the layer before, as in the other stages.
    """

    name = "nightshade"
    description = "Moves what an image model's encoder sees towards a picture of something else."
    project = Project(
        "Nightshade (research code)",
        "image perturbation (Shan et al. 2024, arXiv 2310.13828), re-implemented",
    )

    def target(self, size: tuple[int, int], options: ProtectionOptions) -> NDArray[np.float32]:
        """Return the built-in concept or the caller's picture, stretched to the size.

        Raises:
            UnusableTarget: the caller's picture cannot be opened, or is too large.
        """
        chosen = options.nightshade_target
        if isinstance(chosen, str):
            return concept(chosen, *size)
        try:
            return _stretched(chosen, size)
        except PictureError as error:
            raise UnusableTarget("nightshade_target", error) from error


def _stretched(path: Path, size: tuple[int, int]) -> NDArray[np.float32]:
    picture = Image.fromarray(open_picture(path, PictureLimits()).pixels)
    pixels = picture.resize((size[1], size[0]), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(pixels, np.float32) / np.float32(255)
