"""Preserve the cloaks of faces through the attacks that come after them.

A later attack moves an encoder's latent within the same budget, and would undo part of what was
gained on faces. Its objective therefore gets a term for each cloaked face.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.attacks.pgd import Objective, sum_of
from artscraper_runner.attacks.run_cache import RunCache
from artscraper_runner.attacks.transforms import View
from artscraper_runner.faces.detection import MAX_FACES, Face
from artscraper_runner.faces.geometry import Alignment, FaceRegion, chip_view
from artscraper_runner.faces.network import EMBEDDING_LENGTH, distances, face_network
from artscraper_runner.faces.objective import jittered
from artscraper_runner.models.graph import release_memory

Pixels = NDArray[np.uint8]
Array = NDArray[np.float32]
CLOAKED_FROM = 0.3  # distance; faces that were moved by less are not cloaked
PRESERVED_DISTANCE = 0.8  # a cloak's excess over it may be lost
WEIGHT = 0.1  # of a face that has lost all, in the attack's objective


@dataclass(frozen=True)
class _CloakedFace:
    """The layer before around a face, its square there and at the working size, and the
    distance that is to be preserved.
    """

    before: Array
    alignment: Alignment
    working: Alignment
    reference: Array
    preserved: float


@dataclass(frozen=True)
class CloakedFaces:
    """The cloaked faces of a layer that an attack starts from; `size` is the working size."""

    faces: tuple[_CloakedFace, ...]
    size: tuple[int, int]
    rng: np.random.Generator

    def with_preservation_term(
        self,
        objective: Objective,
        before: Callable[[], Array],
        *,
        unloads_network: bool = False,
    ) -> Objective:
        """Return `objective` plus WEIGHT times each face's share of what it is to preserve.

        Args:
            objective: of the attack.
            before: returns the layer that the attack starts from, at the working size.
            unloads_network: now and after each use, and the encoder's memory before; it takes
                95 MB, and 33 ms to load.
        """
        if unloads_network:
            _unload_network()

        def shares(picture: Array, iteration: int) -> tuple[float, Array]:
            if unloads_network:
                release_memory()
            return self._shares(picture - before(), unloads_network)

        return sum_of(shares, objective)

    def _shares(self, step: Array, unloads_network: bool) -> tuple[float, Array]:
        """Return a face as the layer shows it; sampling is linear, so the step is sampled apart."""
        seen, steps = [], []
        for face in self.faces:
            error = jittered(Alignment((0.0, 0.0), 1.0, 0.0), self.rng)
            shift = {"across": error.centre[0], "down": error.centre[1]}
            moved = [
                each.moved(**shift, by=error.side, turn=error.angle)
                for each in (face.alignment, face.working)
            ]
            view = chip_view(moved[0], (face.before.shape[2], face.before.shape[3]))
            seen.append(view.forward(face.before))
            steps.append(chip_view(moved[1], self.size))
        chips = np.concatenate(
            [chip + view.forward(step) for chip, view in zip(seen, steps, strict=True)]
        )
        embeddings, slopes = face_network().distance_gradients(chips.clip(0, 1), self._references)
        if unloads_network:  # before the gradient is taken back to the picture's size
            _unload_network()
        slopes = slopes * ((chips >= 0) & (chips <= 1))
        return self._value_and_gradient(embeddings, slopes, steps)

    def _value_and_gradient(
        self, embeddings: Array, slopes: Array, views: Sequence[View]
    ) -> tuple[float, Array]:
        shares = distances(embeddings, self._references) / self._preserved
        gradient = np.zeros((1, 3, *self.size), np.float32)
        for view, slope, share, preserved in zip(
            views, slopes, shares, self._preserved, strict=True
        ):
            if share < 1:
                change = view.adjoint(slope[None])
                change *= np.float32(WEIGHT / preserved)
                gradient += change
        return WEIGHT * float(shares.clip(max=1).sum()), gradient

    @cached_property
    def _references(self) -> Array:
        return np.concatenate([face.reference for face in self.faces])

    @cached_property
    def _preserved(self) -> Array:
        return np.array([face.preserved for face in self.faces], np.float32)


def cloaked_faces(
    original: Pixels,
    before: Pixels,
    faces: Sequence[Face],
    size: tuple[int, int],
    *,
    seed: int,
    cache: RunCache,
) -> CloakedFaces | None:
    """Return the `faces` that the layer `before` has cloaked, or None.

    Pictures are uint8 (H, W, 3); `size` is the attack's working size (height, width). `cache` is
    the run's: both sizes of an attack look at the same faces, all attacks at the same original.
    """
    if not faces or original is before:
        return None

    def measured() -> list[_CloakedFace | None]:
        return [_cloaked(original, before, face.alignment, cache) for face in faces]

    key = (cache.token(original), cache.token(before))
    height, width = original.shape[:2]
    cloaked = tuple(
        replace(face, working=face.working.in_copy(size[1] / width, size[0] / height))
        for face in cache.remember("cloaked faces", key, measured, keep=1)
        if face is not None
    )
    return CloakedFaces(cloaked, size, np.random.default_rng(seed)) if cloaked else None


def _unload_network() -> None:
    face_network.cache_clear()
    release_memory()


def _cloaked(
    original: Pixels, before: Pixels, alignment: Alignment, cache: RunCache
) -> _CloakedFace | None:
    region = FaceRegion.around(alignment, original.shape[:2])
    if region is None:
        return None
    soften, view = region.softened(), chip_view(region.alignment, region.size)

    def seen(pixels: Pixels) -> Array:
        return soften.forward(region.seen(pixels))

    reference = cache.remember(
        "face reference",
        (cache.token(original), alignment),
        lambda: _embedding(view.forward(seen(original))),
        keep=MAX_FACES,
    )
    changed = seen(before)
    gained = float(distances(_embedding(view.forward(changed)), reference)[0])
    if gained < CLOAKED_FROM:
        return None
    preserved = min(gained, PRESERVED_DISTANCE)
    return _CloakedFace(changed, region.alignment, alignment, reference, preserved)


def _embedding(chip: Array) -> Array:
    """Return the embedding by the graph of gradients, which is needed anyway; one takes 22 MB."""
    nowhere = np.zeros((1, EMBEDDING_LENGTH), np.float32)
    return face_network().distance_gradients(chip, nowhere)[0]
