"""Several recognisers as one: ``ensemble:dlib+torch:other.pt2``.

An embedding is the members' joined, each divided by the root of their number, so that a distance is
the root mean square of the members' own and "same person" keeps its meaning.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.faces.network import CHIP_SIDE, distances
from artscraper_runner.faces.recognisers import Recogniser, load_recogniser

Array = NDArray[np.float32]
_TINY = np.float32(1e-12)


class RecogniserEnsemble:
    """Recognisers that count equally; see `recognisers.Recogniser`."""

    def __init__(self, members: Sequence[Recogniser]) -> None:
        self.members = tuple(members)
        self._scale = np.float32(len(self.members) ** 0.5)
        blank = np.zeros((1, 3, CHIP_SIDE, CHIP_SIDE), np.float32)
        self._lengths = [member.embeddings(blank).shape[1] for member in self.members]

    def embeddings(self, faces: Array) -> Array:
        """Return the members' embeddings (N, D), joined."""
        parts = [member.embeddings(faces) for member in self.members]
        return np.concatenate(parts, axis=1) / self._scale

    def distance_gradients(self, faces: Array, references: Array) -> tuple[Array, Array]:
        """Return embeddings (N, D), and the gradients of their distances from `references`."""
        embeddings, weighted, start = [], np.zeros_like(faces), 0
        for member, length in zip(self.members, self._lengths, strict=True):
            own = references[:, start : start + length] * self._scale
            part, gradients = member.distance_gradients(faces, own)
            # d sqrt(sum of squares) = sum of each distance times its own gradient, by the root
            weighted += distances(part, own)[:, None, None, None] * gradients
            embeddings.append(part)
            start += length
        joined = np.concatenate(embeddings, axis=1) / self._scale
        whole = distances(joined, references) * self._scale**2
        return joined, weighted / np.maximum(whole, _TINY)[:, None, None, None]


def load(argument: str) -> RecogniserEnsemble:
    """Load the ensemble of the recognisers that are named in ``a+b``.

    Raises:
        RunnerError: whatever loading a member raises.
    """
    return RecogniserEnsemble([load_recogniser(name) for name in argument.split("+")])
