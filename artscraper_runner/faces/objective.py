"""What a cloak climbs: how far a recogniser's embeddings of a face move.

Averaged over small errors of alignment, JPEG and halving, since a recogniser finds the landmarks
of the changed picture anew, and pictures are compressed and scaled on their way to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from artscraper_runner.attacks.transforms import colour_halved, scaled, through_jpeg
from artscraper_runner.faces.geometry import Alignment, chip
from artscraper_runner.faces.presets import ENOUGH_PLAIN, ENOUGH_WORN
from artscraper_runner.faces.recogniser import face_network
from artscraper_runner.faces.region import FaceRegion

_JITTER = 0.01  # deviation of the square's place, size (shares) and angle (radians)
_JPEG_QUALITY = 75
_TINY = 1e-9


def jittered(alignment: Alignment, rng: np.random.Generator) -> Alignment:
    """Returns the square as other landmarks might lay it."""
    across, down, growth, turn = _JITTER * rng.standard_normal(4)
    return alignment.moved(across=across, down=down, by=1 + growth, turn=turn)


def distance(embeddings: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Returns Euclidean distances (N,) of (N, 128); differentiable at zero too."""
    return (embeddings - reference).square().sum(1).add(_TINY).sqrt()


@dataclass
class CloakObjective:
    """Called with a picture of `region`, (1, 3, h, w) in [0, 1], answers a scalar to be raised.

    As it is the picture is seen as dlib halves it; compressed or scaled it is a small copy.
    `reference` (1, 128) is left behind; `target` (1, 128), another person's, is approached where
    it is given. `others` are squares in the same region that earlier cloaks have changed, each
    with its reference: their gain is kept too.
    """

    region: FaceRegion
    reference: torch.Tensor
    target: torch.Tensor | None
    others: tuple[tuple[Alignment, torch.Tensor], ...]
    rng: np.random.Generator

    def __call__(self, picture: torch.Tensor, iteration: int) -> tuple[torch.Tensor, float]:
        """Returns the sum over one plain view and one that is compressed or halved, and the share
        of what is enough that the lesser of the two has reached; 1 is enough.
        """
        plain = self._plain(picture, jittered(self.region.alignment, self.rng))
        views = [plain, self._worn(picture, iteration)]
        views += [chip(picture, alignment) for alignment, _ in self.others]
        embeddings = face_network()(torch.cat(views))
        own = embeddings[:2]
        shares = distance(own, self.reference) / torch.tensor([ENOUGH_PLAIN, ENOUGH_WORN])
        score = shares.sum()
        if self.target is not None:
            score = -distance(own, self.target).sum()
        for index, (_, reference) in enumerate(self.others, start=2):
            score = score + distance(embeddings[index : index + 1], reference).sum()
        return score, shares.min().item()

    @torch.no_grad()
    def reached(self, picture: torch.Tensor) -> float:
        """Returns the least share of what is enough over the plain, the compressed and the halved
        view, without errors of alignment.
        """
        views = [
            seen(picture, self.region.alignment)
            for seen in (self._plain, self._coded, self._halved)
        ]
        enough = torch.tensor([ENOUGH_PLAIN, ENOUGH_WORN, ENOUGH_WORN])
        return (distance(face_network()(torch.cat(views)), self.reference) / enough).min().item()

    def _worn(self, picture: torch.Tensor, iteration: int) -> torch.Tensor:
        alignment = jittered(self.region.alignment, self.rng)
        seen = self._halved if iteration % 2 else self._coded
        return seen(picture, alignment)

    def _plain(self, picture: torch.Tensor, alignment: Alignment) -> torch.Tensor:
        return chip(self.region.as_halved(picture), alignment)

    def _coded(self, picture: torch.Tensor, alignment: Alignment) -> torch.Tensor:
        return chip(through_jpeg(colour_halved(picture), _JPEG_QUALITY), alignment)

    def _halved(self, picture: torch.Tensor, alignment: Alignment) -> torch.Tensor:
        small = scaled(picture, 0.5)
        scale_y, scale_x = (a / b for a, b in zip(small.shape[2:], picture.shape[2:], strict=True))
        return chip(small, alignment.seen_at(scale_x, scale_y))
