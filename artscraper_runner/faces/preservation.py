"""Keep the cloaks of faces through the attacks that come after them.

A later attack moves an encoder's latent within the same budget, and would undo part of what was
gained on faces. Its objective therefore has a term for each cloaked face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from artscraper_runner.attacks.pgd import Objective
from artscraper_runner.faces.geometry import Alignment, chip
from artscraper_runner.faces.model_files import is_installed
from artscraper_runner.faces.objective import distance, jittered
from artscraper_runner.faces.recogniser import face_network, faces_in
from artscraper_runner.faces.region import FaceRegion

Pixels = NDArray[np.uint8]
CLOAKED_FROM = 0.3  # distance; faces that were moved by less are not cloaked
ENOUGH_KEPT = 0.8  # distance; what a cloak has beyond it may be lost
WEIGHT = 0.1  # of a face that has lost all, in the attack's objective


@dataclass(frozen=True)
class _CloakedFace:
    """The layer before around a face, its square there and at the working size, and the
    distance that is to be kept.
    """

    before: torch.Tensor
    alignment: Alignment
    working: Alignment
    reference: torch.Tensor
    kept: float


@dataclass(frozen=True)
class CloakedFaces:
    """The cloaked faces of a layer that an attack starts from."""

    faces: tuple[_CloakedFace, ...]
    rng: np.random.Generator

    def kept_by(self, objective: Objective, before: torch.Tensor) -> Objective:
        """Returns `objective` plus WEIGHT times each face's share of what it is to keep.

        `before` is the layer that the attack starts from, at the working size.
        """

        def both(picture: torch.Tensor, iteration: int) -> torch.Tensor:
            return objective(picture, iteration) + WEIGHT * self._shares(picture - before)

        return both

    def _shares(self, step: torch.Tensor) -> torch.Tensor:
        """A face as the layer will show it: sampling is linear, so the step is sampled apart."""
        views, kept = [], []
        for face in self.faces:
            error = jittered(Alignment((0.0, 0.0), 1.0, 0.0), self.rng)
            moved = [
                each.moved(
                    across=error.centre[0],
                    down=error.centre[1],
                    by=error.side,
                    turn=error.angle,
                )
                for each in (face.alignment, face.working)
            ]
            views.append((chip(face.before, moved[0]) + chip(step.cpu(), moved[1])).clamp(0, 1))
            kept.append(face.kept)
        references = torch.cat([face.reference for face in self.faces])
        distances = distance(face_network()(torch.cat(views)), references)
        return (distances / torch.tensor(kept)).clamp(max=1).sum().to(step)


def cloaked_faces(
    original: Pixels, before: Pixels, size: tuple[int, int], seed: int
) -> CloakedFaces | None:
    """Returns the faces of `original` that the layer `before` has cloaked; None where none are.

    Pictures are uint8 (H, W, 3); `size` is the attack's working size (height, width). Without the
    extra `faces` nothing has been cloaked.
    """
    if not is_installed() or np.array_equal(original, before):
        return None
    found = [_cloaked(original, before, size, face.alignment) for face in faces_in(original)]
    faces = tuple(face for face in found if face is not None)
    return CloakedFaces(faces, np.random.default_rng(seed)) if faces else None


@torch.no_grad()
def _cloaked(
    original: Pixels, before: Pixels, size: tuple[int, int], alignment: Alignment
) -> _CloakedFace | None:
    height, width = original.shape[:2]
    region = FaceRegion.around(alignment, (height, width))
    if region is None:
        return None
    seen, unchanged = (region.as_halved(region.seen(pixels)) for pixels in (before, original))
    reference = face_network()(chip(unchanged, region.alignment))
    gained = distance(face_network()(chip(seen, region.alignment)), reference).item()
    if gained < CLOAKED_FROM:
        return None
    working = alignment.seen_at(size[1] / width, size[0] / height)
    return _CloakedFace(seen, region.alignment, working, reference, min(gained, ENOUGH_KEPT))
