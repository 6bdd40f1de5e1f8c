"""The objective of a cloak: how far a recogniser's embeddings of a face move.

Averaged over small errors of alignment, JPEG and halving, since a recogniser finds the landmarks
of the changed picture anew, and pictures are compressed and scaled on their way to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.attacks.transforms import View, halved_colour, scaled, through_jpeg
from artscraper_runner.faces.geometry import Alignment, FaceRegion, chip_view
from artscraper_runner.faces.network import distances
from artscraper_runner.faces.presets import DEGRADED_TARGET_DISTANCE, PLAIN_TARGET_DISTANCE
from artscraper_runner.faces.recognisers import Recogniser

Array = NDArray[np.float32]
_JITTER = 0.002  # deviation of the square's place, size (shares) and angle (radians)
_JPEG_QUALITY = 75


def jittered(alignment: Alignment, rng: np.random.Generator) -> Alignment:
    """Return the square as other landmarks might lay it."""
    across, down, growth, turn = (float(value) for value in _JITTER * rng.standard_normal(4))
    return alignment.moved(across=across, down=down, by=1 + growth, turn=turn)


@dataclass(frozen=True)
class CloakObjective:
    """Called with a picture of `region`, (1, 3, h, w) in [0, 1], and the iteration's number.

    The plain view is reduced as dlib does; compressed or scaled views are small copies.

    Args:
        region: the part of the picture around the face.
        reference: (1, 128), the face's own embedding, which is left behind.
        target: (1, 128), another person's embedding, which is approached if it is given.
        others: squares in the same region that earlier cloaks have changed, each with its
            reference: their gain is kept too.
        rng: draws the errors of alignment.
        recogniser: gives embeddings and gradients.
    """

    region: FaceRegion
    reference: Array
    target: Array | None
    others: tuple[tuple[Alignment, Array], ...]
    rng: np.random.Generator
    recogniser: Recogniser

    def __call__(self, picture: Array, iteration: int) -> tuple[float, Array, float]:
        """Return the objective, its gradient and the share of the target distance reached.

        The objective is the sum over one plain view and one that is compressed or halved, the
        share that of the lesser of the two; 1 is enough.
        """
        degraded = self._halved if iteration % 2 else self._coded
        views = [
            self._plain(jittered(self.region.alignment, self.rng)),
            degraded(jittered(self.region.alignment, self.rng)),
            *self._other_views,
        ]
        own = self.reference if self.target is None else self.target
        references = np.concatenate([own, own, *(other for _, other in self.others)])
        faces = np.concatenate([view.forward(picture) for view in views])
        embeddings, gradients = self.recogniser.distance_gradients(faces, references)
        shares = distances(embeddings[:2], self.reference) / _TARGET_DISTANCES[:2]
        slopes = np.ones(len(views), np.float32)
        slopes[:2] = 1 / _TARGET_DISTANCES[:2] if self.target is None else -1
        score = float((slopes * distances(embeddings, references)).sum())
        gradient = np.zeros_like(picture)
        for view, slope, part in zip(views, slopes, gradients, strict=True):
            gradient += slope * view.adjoint(part[None])
        return score, gradient, float(shares.min())

    def reached(self, picture: Array) -> float:
        """Return the least share of the target distances over the plain, the compressed and the
        halved view, without errors of alignment.
        """
        faces = np.concatenate([view.forward(picture) for view in self._exact_views])
        embeddings = self.recogniser.embeddings(faces)
        return float((distances(embeddings, self.reference) / _TARGET_DISTANCES).min())

    @cached_property
    def _exact_views(self) -> tuple[View, View, View]:
        alignment = self.region.alignment
        return self._plain(alignment), self._coded(alignment), self._halved(alignment)

    @cached_property
    def _other_views(self) -> list[View]:
        return [chip_view(alignment, self.region.size) for alignment, _ in self.others]

    def _plain(self, alignment: Alignment) -> View:
        return self.region.face_view(alignment)

    def _coded(self, alignment: Alignment) -> View:
        compressed = halved_colour().then(through_jpeg(_JPEG_QUALITY))
        return compressed.then(chip_view(alignment, self.region.size))

    def _halved(self, alignment: Alignment) -> View:
        height, width = self.region.size
        half = scaled((height, width), 0.5)
        rows, columns = half.forward(np.zeros((1, 1, height, width), np.float32)).shape[2:]
        small = alignment.in_copy(columns / width, rows / height)
        return half.then(chip_view(small, (rows, columns)))


_TARGET_DISTANCES = np.array(
    [PLAIN_TARGET_DISTANCE, DEGRADED_TARGET_DISTANCE, DEGRADED_TARGET_DISTANCE], np.float32
)
