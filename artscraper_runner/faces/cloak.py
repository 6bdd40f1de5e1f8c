"""Cloak every face of a picture: change it so that a recogniser takes it for another person's."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.attacks.perceptual import budget_map
from artscraper_runner.attacks.presets import PUBLISHED, STRENGTHS
from artscraper_runner.attacks.scaling import apply_perturbation
from artscraper_runner.errors import InvalidOption, PictureError, UnusableTarget
from artscraper_runner.faces.detection import Face, find_faces
from artscraper_runner.faces.fawkes_published import published_change
from artscraper_runner.faces.geometry import (
    Alignment,
    FaceRegion,
    aligned_face,
    chip_view,
    shrunk_picture,
)
from artscraper_runner.faces.minimum_norm import Bounds, minimum_norm_attack
from artscraper_runner.faces.network import SAME_PERSON, distances, face_network
from artscraper_runner.faces.objective import CloakObjective
from artscraper_runner.faces.presets import DEFAULT_CLOAK, PUBLISHED_MODES
from artscraper_runner.faces.recognisers import DEFAULT_RECOGNISER, Recogniser, load_recogniser
from artscraper_runner.imaging.decode import open_picture
from artscraper_runner.imaging.tiles import LARGE_VALUES
from artscraper_runner.imaging.visibility import VisibilityModel
from artscraper_runner.models.graph import release_memory
from artscraper_runner.options import PictureLimits, ProtectionOptions
from artscraper_runner.types import Controls

Array = NDArray[np.float32]
Pixels = NDArray[np.uint8]
ShareWithin = Callable[[Array], Array]
STAGE = "fawkes"


@dataclass(frozen=True)
class Identity:
    """Another person, whom cloaks are to resemble: embeddings (N, D) of N faces."""

    embeddings: Array

    @classmethod
    def in_picture(cls, path: Path, recogniser: Recogniser | None = None) -> Identity:
        """Return the people in the picture at `path`, as `recogniser` (None: dlib's) sees them.

        Raises:
            UnusableTarget: it cannot be opened.
            InvalidOption: it shows no face.
            MissingDependency, UnusableModel: the recogniser cannot be had.
        """
        try:
            pixels = open_picture(path, PictureLimits()).pixels
        except PictureError as error:
            raise UnusableTarget("fawkes_target", error) from error
        faces = find_faces(pixels)
        if not faces:
            raise InvalidOption("fawkes_target: expected a picture of a face, found none in it")
        chips = np.concatenate([aligned_face(pixels, face.alignment) for face in faces])
        return cls((recogniser or face_network()).embeddings(chips))

    def least_like(self, reference: Array) -> Array:
        """Return the embedding (1, D) farthest from `reference`.

        Raises:
            InvalidOption: all of them show the same person as `reference`.
        """
        apart = distances(self.embeddings, reference)
        if apart.max() < SAME_PERSON:
            raise InvalidOption(
                f"fawkes_target: expected another person, {SAME_PERSON} or more away;"
                f" found {apart.max():.2f}"
            )
        farthest = int(apart.argmax())
        return self.embeddings[farthest : farthest + 1]


def share_within_sight(original: Array, layer: Array, visibility: float) -> ShareWithin:
    """Return how much of a change (1, 3, h, w) of `layer` (3, h, w) may be seen, (1, 1, h, w).

    Visibility is measured against `original`, shaped like `layer`.
    """
    model = VisibilityModel(original)
    before = model.places(layer)

    def share(change: Array) -> Array:
        changed = np.clip(layer + change[0], 0, 1)
        return model.share_within(changed, visibility, visible_before=before)[None, None]

    return share


def attacked_recogniser(options: ProtectionOptions) -> Recogniser | None:
    """Return the recogniser that the options name; None: dlib's, also for `--preset published`.

    Raises:
        UnknownName, MissingDependency, MissingModel, UnusableModel: see `load_recogniser`.
    """
    if options.recogniser == DEFAULT_RECOGNISER or options.preset == PUBLISHED:
        return None
    return load_recogniser(options.recogniser)


@dataclass(frozen=True)
class Cloaking:
    """The faces of `original`, uint8 (H, W, 3), are cloaked within the job's one Linf budget.

    Nothing is written where `alpha`, uint8 (H, W), is 0. `identity` None: untargeted. `visibility`
    bounds what may be seen of every face's change (`imaging.visibility`); None: not bounded.
    `recogniser` is the one to escape from; None: dlib's. `--preset published` takes dlib's alone.
    """

    original: Pixels
    alpha: NDArray[np.uint8] | None
    options: ProtectionOptions
    identity: Identity | None = None
    visibility: float | None = None
    recogniser: Recogniser | None = None

    def run(
        self, before: Pixels, faces: tuple[Face, ...], controls: Controls
    ) -> tuple[Pixels, list[int]]:
        """Return `before` with every face cloaked, and the iterations that each took.

        Raises:
            Cancelled: the caller cancelled the run.
            InvalidOption: the target is the same person as one of the faces.
            UnusableModel: the recogniser's file of weights is damaged.
        """
        pixels, iterations = before, []
        for index in range(len(faces)):
            pixels, taken = self._cloaked(pixels, faces, index, controls)
            iterations.append(taken)
        return pixels, iterations

    def _cloaked(
        self, before: Pixels, faces: tuple[Face, ...], index: int, controls: Controls
    ) -> tuple[Pixels, int]:
        region = FaceRegion.around(faces[index].alignment, before.shape[:2])
        if region is None:
            return before, 0
        what = f"{STAGE}, face {index + 1} of {len(faces)}"
        if self.options.preset == PUBLISHED:
            change, taken = self._published(before, region, index, controls, what)
        else:
            change, taken = self._default(before, region, faces[: index + 1], controls, what)
        if before.size > LARGE_VALUES:
            release_memory()
        pixels = before.copy()
        region.cut(pixels)[:] = apply_perturbation(
            region.cut(before), change, original=region.cut(self.original), budget=self._budget
        )
        return pixels, taken

    def _default(
        self,
        before: Pixels,
        region: FaceRegion,
        faces: tuple[Face, ...],
        controls: Controls,
        what: str,
    ) -> tuple[Array, int]:
        """Return the smallest change for the last of `faces`, of which others are cloaked."""
        original, layer = region.seen(self.original), region.seen(before)
        reference = self._reference(region)
        objective = CloakObjective(
            region,
            reference,
            self._target(reference),
            self._neighbours(region, faces[:-1]),
            np.random.default_rng(self._seed(len(faces) - 1)),
            self._network,
        )
        share_within = None
        if self.visibility is not None:
            share_within = share_within_sight(original[0], layer[0], self.visibility)
        return minimum_norm_attack(
            layer,
            bounds=Bounds.within(original, layer, self._budget / 255),
            edge=self._writable(region),
            objective=objective,
            preset=DEFAULT_CLOAK.masked(self._masking(original, region)),
            budget=self._budget / 255,
            controls=controls,
            what=what,
            share_within=share_within,
        )

    def _published(
        self, before: Pixels, region: FaceRegion, index: int, controls: Controls, what: str
    ) -> tuple[Array, int]:
        """Return the published steps on the aligned face, laid back onto the region."""
        reference = self._reference(region)
        change, taken = published_change(
            region.face_view().forward(region.seen(before)),
            reference=reference,
            target=self._target(reference),
            mode=PUBLISHED_MODES[self.options.strength],
            budget=self._budget / 255,
            seed=self._seed(index),
            controls=controls,
            what=what,
        )
        return region.from_chip(change) * self._writable(region), taken

    def _masking(self, original: Array, region: FaceRegion) -> float:
        """Return how many times more than flat skin the face masks, by the median of the map."""
        strength = STRENGTHS[self.options.strength]
        flat, slope = strength.flat / 255, strength.texture * DEFAULT_CLOAK.texture
        bounds = budget_map(original, budget=1.0, floor=flat, slope=slope)
        return float(np.median(bounds[region.soft_edge() > 0.5] / flat))

    @property
    def _network(self) -> Recogniser:
        return self.recogniser or face_network()

    @property
    def _budget(self) -> int:
        return STRENGTHS[self.options.strength].budget

    def _seed(self, index: int) -> int:
        return zlib.crc32(f"{STAGE} {index}".encode(), self.options.seed)

    def _reference(self, region: FaceRegion) -> Array:
        return self._network.embeddings(region.face_view().forward(region.seen(self.original)))

    def _target(self, reference: Array) -> Array | None:
        return None if self.identity is None else self.identity.least_like(reference)

    def _writable(self, region: FaceRegion) -> Array:
        """Return the soft edge, zero where the picture is wholly transparent."""
        edge = region.soft_edge()
        if self.alpha is None:
            return edge
        hidden = np.repeat(region.cut(self.alpha)[..., None] == 0, 3, axis=2)
        share = shrunk_picture((hidden * np.uint8(255)).astype(np.uint8), region.shrunk)[:, :1]
        return edge * (1 - share)

    def _neighbours(
        self, region: FaceRegion, others: tuple[Face, ...]
    ) -> tuple[tuple[Alignment, Array], ...]:
        """Return the faces that are cloaked already and that this cloak would change too."""
        scale = 1 / region.shrunk
        left, top = region.columns.start, region.rows.start
        neighbours = []
        for face in others:
            corners = face.alignment.corners()
            low, high = corners.min(0), corners.max(0)
            meets = (low < (region.columns.stop, region.rows.stop)).all() and (
                high > (left, top)
            ).all()
            if meets:
                square = face.alignment.in_copy(scale, scale, left=left, top=top)
                chip = chip_view(square, region.size).forward(region.seen(self.original))
                neighbours.append((square, self._network.embeddings(chip)))
        return tuple(neighbours)
