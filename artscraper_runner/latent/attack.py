"""One attack on one picture of any size: from the working size to the change at full size.

The presets hold the numbers, `attacks.pgd` the loop. One budget holds for all attacks of a job
together: the Linf distance from the original.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.attacks.constraints import REACH, Box, Constraint, VisibilityBound
from artscraper_runner.attacks.evaluation import (
    EVERYWHERE,
    VIEWS,
    Observer,
    effect_record,
    incremental_effect,
    protects,
)
from artscraper_runner.attacks.pgd import Objective, optimise, sum_of
from artscraper_runner.attacks.presets import PRESETS, STRENGTHS, AttackPreset, StepRule, Strength
from artscraper_runner.attacks.run_cache import RunCache
from artscraper_runner.attacks.scaling import (
    SHORT_SIDE,
    apply_perturbation,
    at_working_size,
    fine_size,
    visible_at,
    working_size,
)
from artscraper_runner.attacks.transforms import resized, to_pixels, without_colour
from artscraper_runner.errors import OutOfMemory
from artscraper_runner.faces.detection import Face, faces_in
from artscraper_runner.faces.low_frequency import face_bounds
from artscraper_runner.faces.network import is_installed
from artscraper_runner.faces.preservation import cloaked_faces
from artscraper_runner.imaging.tiles import LARGE_VALUES, unload
from artscraper_runner.imaging.visibility import Places, VisibilityModel
from artscraper_runner.latent.encoders import encoder_of, load_gradients, unattacked_effects
from artscraper_runner.latent.objectives import LatentAt, LatentObjective, latent_at
from artscraper_runner.models.graph import release_memory
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.types import Controls, Json, StageResult

Pixels = NDArray[np.uint8]
Array = NDArray[np.float32]
Size = tuple[int, int]  # height, width in px
T = TypeVar("T")
_KEPT_TARGETS = 4  # pictures at the working size
_PIECE = 768  # px; the largest side that is looked at when an attack is refined
NO_PROTECTION = "no protection beyond noise"


@dataclass(frozen=True)
class PictureAttack:
    """The attack `stage` on `original`, uint8 (H, W, 3).

    Args:
        stage: name of the stage, whose presets are used.
        original: the picture as received; budgets count against it.
        options: of the run.
        target: draws the target picture, float32 (h, w, 3) sRGB in [0, 1], at a size (h, w).
        others: draw the target pictures of other attacks.
        visibility: bound on the visibility after this stage; None: the strength's.
        alpha: uint8 (H, W), None: opaque. Neither changes nor noise go where it is 0.
        after_attack: whether another attack of the job came before.
        preserves_cloaks: whether faces may have been cloaked before and are kept so.
        extra_term: returns a further term of the original and the target, or None.
        cache: the run's.
    """

    stage: str
    original: Pixels
    options: ProtectionOptions
    target: Callable[[Size], Array]
    others: tuple[Callable[[Size], Array], ...]
    visibility: float | None
    alpha: Pixels | None
    after_attack: bool
    preserves_cloaks: bool
    extra_term: Callable[[Array, Array], Objective | None]
    cache: RunCache

    def prepare(self) -> None:
        """Compute what the attack needs of the original alone, at the first size.

        Raises:
            RunnerError: the encoder or the target cannot be used.
        """
        size, encoder = working_size(*self.original.shape[:2]), self._observer().encoder
        original = at_working_size(self.original, size, self.cache)
        self.cache.remember("loaded", encoder.name, lambda: load_gradients(encoder, original))
        self._distances(original, original)
        if self._preset.is_bounded_by_sight:
            self._sight(original)

    def run(self, before: Pixels, controls: Controls) -> StageResult:
        """Return `before` plus the attack's change.

        If memory runs out, the attack is retried once at a smaller working size.

        Raises:
            Cancelled: the caller cancelled.
            OutOfMemory: the device has too little, also for a smaller working size.
            RunnerError: the encoder or the target cannot be used.
        """
        return self._within_memory(lambda size: self._run_at(size, before, controls))

    def evaluate(self, saved: Pixels, before: Pixels, *, made: Pixels | None = None) -> Json:
        """Return the layer's effects as saved, seen at the working size; see `evaluation`.

        Effects are those of the view "plain": the other views are of the last layer alone. The
        stage's own effect is measured on `made`, the layer before it was encoded (None: as saved),
        since a lossy file changes more than a later stage does. `effective` is false, and `verdict`
        set, if shaped noise has about the effect of the layer or of the stage on any encoder.
        `unattacked` is the effect on a second encoder that was not attacked: one of the folder of
        models, else the bundled one; the `error` of the first if none is usable, None without any.

        Raises:
            OutOfMemory: the device has too little, also for a smaller size.
        """
        handed_on = saved if made is None else made
        return self._within_memory(lambda size: self._evaluate_at(size, saved, before, handed_on))

    def evaluate_final(self, final: Pixels) -> Json:
        """Return the attack's remaining effects in the last layer, in all views, and its progress.

        Raises:
            OutOfMemory: the device has too little, also for a smaller size.
        """
        return self._within_memory(lambda size: self._effects(size, final, tuple(VIEWS)))

    def _evaluate_at(self, size: Size, saved: Pixels, before: Pixels, made: Pixels) -> Json:
        effects = self._effects(size, saved, ("plain",))
        original, earlier, handed_on = (
            at_working_size(each, size, self.cache) for each in (self.original, before, made)
        )
        visible = self._visible(size)
        own = incremental_effect(self._observer(), original, earlier, handed_on, visible=visible)
        effective = own["effective"] and effects["verdict"] is None
        verdict = None if effective else NO_PROTECTION
        return {**effects, **own, "effective": effective, "verdict": verdict}

    def _effects(self, size: Size, layer: Pixels, views: tuple[str, ...]) -> Json:
        """Return the effects of a layer on the attacked encoder and on another one."""
        original, changed = (
            at_working_size(each, size, self.cache) for each in (self.original, layer)
        )
        visible = self._visible(size)
        record = effect_record(self._observer(), original, changed, views=views, visible=visible)
        unattacked = unattacked_effects(
            self.options, self.cache, original, changed, views=views, visible=visible
        )
        return {
            **record,
            "progress_to_target": self._progress(original, changed),
            "unattacked": unattacked,
            "verdict": None if protects(record, unattacked) else NO_PROTECTION,
        }

    def _run_at(self, size: Size, before: Pixels, controls: Controls) -> StageResult:
        sizes, budget = self._sizes(size), self._strength.budget
        rules = self._preset.rules_for(
            self.options.encoder, after_attack=self.after_attack, is_large=len(sizes) > 1
        )
        planned = sum(rule.iterations for rule in rules)
        step, taken = np.zeros((1, 3, 1, 1), np.float32), 0
        for at, rule in zip(sizes, rules, strict=False):
            step, steps = self._refined(
                step, before, size=at, rule=rule, controls=controls, taken=taken, planned=planned
            )
            taken += steps
        if before.size > LARGE_VALUES:
            release_memory()
        pixels = apply_perturbation(before, step, original=self.original, budget=budget)
        unload(self.original)
        metrics = {
            "preset": self.options.preset,
            "strength": self.options.strength,
            "budget": budget,
            "seed": self.options.seed,
            "iterations": taken,
        }
        return StageResult(pixels, metrics=metrics, processing_size=size[::-1])

    def _sizes(self, size: Size) -> tuple[Size, ...]:
        """Return `size`, and the finer one that a large picture is attacked at after it."""
        height, width = self.original.shape[:2]
        fine = fine_size(height, width) if size == working_size(height, width) else None
        return (size,) if fine is None else (size, fine)

    def _refined(
        self,
        step: Array,
        before: Pixels,
        *,
        size: Size,
        rule: StepRule,
        controls: Controls,
        taken: int,
        planned: int,
    ) -> tuple[Array, int]:
        """Return the change of `before` at `size`, begun with `step`, and the steps it took."""
        budget = np.float32(self._strength.budget / 255)
        if before.size > LARGE_VALUES:  # what the pass before has left
            release_memory()
        original = at_working_size(self.original, size, self.cache)

        def done() -> Array:  # made anew: of a large picture, 12 bytes a pixel
            return at_working_size(before, size, self.cache) - original

        start = done().clip(-budget, budget)
        unload(self.original, before)
        constraint = self._constraint(original, start)
        objective = self._objective(original, before)
        if before.size > LARGE_VALUES:
            release_memory()
            unload(self.original, before)  # faces are looked at as they are
        change, steps = optimise(
            original,
            start=start + resized(step, size, Image.Resampling.BICUBIC),
            constraint=constraint,
            objective=objective,
            rule=rule,
            seed=self._seed,
            controls=controls,
            what=self.stage,
            taken=taken,
            planned=planned,
        )
        change -= done()
        return change, steps

    def _constraint(self, original: Array, start: Array) -> Constraint:
        """Return the budget and the visibility bound: less in faces, unlimited where hidden."""
        size, strength = _size_of(original), self._strength
        bound = np.full_like(original[:, :1], strength.budget / 255)
        if not self._preset.is_bounded_by_sight:
            return Box(original, start, bound * self._visible(size))
        model, amplitude = self._sight(original)
        visibility = self.visibility or strength.visibility
        signs = visibility * model.enlarged(amplitude)[None, None]
        bound = np.minimum(bound, np.float32(REACH) * signs)
        height, width = self.original.shape[:2]
        scales = (size[1] / width, size[0] / height)
        squares = tuple(face.alignment.in_copy(*scales) for face in self._faces())
        in_faces = face_bounds(squares, start, bound)
        is_grey = (original == original[:, :1]).all()
        refinements = (without_colour, in_faces.project) if is_grey else (in_faces.project,)
        box = Box(original, start, in_faces.bound * self._visible(size), refinements)
        return VisibilityBound(
            box, model, original=original, start=start, visibility=visibility, share=in_faces.share
        )

    def _sight(self, original: Array) -> tuple[VisibilityModel, Places]:
        """Return the original's visibility bound, and the amplitude of signs of visibility 1."""

        def modelled() -> tuple[VisibilityModel, Places]:
            model = VisibilityModel(to_pixels(original))  # smaller; its 8 bits are exact
            return model, model.amplitude(original[0])

        key = (self.cache.token(self.original), _size_of(original))
        return self.cache.remember("sight", key, modelled, keep=2)

    def _objective(self, original: Array, before: Pixels) -> Objective:
        size = _size_of(original)

        def layer() -> Array:
            return at_working_size(before, size, self.cache)

        objective: Objective = self._distances(original, layer())
        if not self._is_fine(size):
            extra = self.extra_term(original, self._drawn(self.stage, self.target, size))
            objective = objective if extra is None else sum_of(objective, extra)
        if not self.preserves_cloaks:
            return objective
        cloaked = cloaked_faces(
            self.original, before, self._faces(), size, seed=self._seed, cache=self.cache
        )
        if cloaked is None:
            return objective
        unloads = before.size > LARGE_VALUES and self._is_fine(size)
        return cloaked.with_preservation_term(objective, layer, unloads_network=unloads)

    def _distances(self, original: Array, layer: Array) -> Objective:
        """Return the objective of the latent's distances, for an attack from `layer`."""
        observer, size = self._observer(), _size_of(original)
        return LatentObjective(
            observer.encoder,
            latents=observer.latent,
            original=original,
            target=self._latent_of(self.stage, self.target, size),
            preset=self._preset,
            before=layer,
            others=[self._latent_of(draw, draw, size) for draw in self.others],
            piece=_PIECE if self._is_fine(size) else None,
        )

    def _is_fine(self, size: Size) -> bool:
        return size > working_size(*self.original.shape[:2])

    def _faces(self) -> tuple[Face, ...]:
        """Return the original's faces; none without the extra `faces`."""
        return faces_in(self.original, self.cache) if is_installed() else ()

    @property
    def _preset(self) -> AttackPreset:
        return PRESETS[self.stage][self.options.preset]

    @property
    def _strength(self) -> Strength:
        return STRENGTHS[self.options.strength]

    @property
    def _seed(self) -> int:
        return zlib.crc32(self.stage.encode(), self.options.seed)

    def _observer(self) -> Observer:
        return Observer(encoder_of(self.options), self.cache)

    def _visible(self, size: Size) -> Array:
        """0 where the picture is wholly transparent, else 1."""
        return EVERYWHERE if self.alpha is None else visible_at(self.alpha, size)

    def _drawn(self, key: Hashable, draw: Callable[[Size], Array], size: Size) -> Array:
        is_large = self.original.size > LARGE_VALUES
        kept = 1 if is_large else _KEPT_TARGETS  # of a large picture's run, their latents alone are
        return self.cache.remember(
            "target", (key, size), lambda: _as_picture(draw(size)), keep=kept
        )

    def _latent_of(self, key: Hashable, draw: Callable[[Size], Array], size: Size) -> LatentAt:
        """Return the latents of the picture that is drawn at `size`; the run remembers them."""
        observer = self._observer()

        def at(seen: Size) -> Array:
            def encoded() -> Array:
                return latent_at(observer.latent, self._drawn(key, draw, size))(seen)

            kept = (observer.encoder.name, key, size, seen)
            return self.cache.remember("target latent", kept, encoded)

        return at

    def _progress(self, original: Array, changed: Array) -> float | None:
        size = _size_of(original)
        target = self._latent_of(self.stage, self.target, size)(size)
        progress = self._observer().progress(original, changed, target)
        return None if progress is None else round(progress, 4)

    def _within_memory(self, work: Callable[[Size], T]) -> T:
        """Run `work` at the working size, or at a smaller one if memory runs out."""
        height, width = self.original.shape[:2]
        try:
            return work(working_size(height, width))
        except MemoryError:
            short_side = max(1, min(SHORT_SIDE, height, width) // 2)
        try:
            return work(working_size(height, width, short_side=short_side))
        except MemoryError as error:
            raise OutOfMemory(self.options.encoder, width, height) from error


def _as_picture(drawn: Array) -> Array:
    return np.ascontiguousarray(drawn.transpose(2, 0, 1)[None])


def _size_of(picture: Array) -> Size:
    return picture.shape[2], picture.shape[3]
