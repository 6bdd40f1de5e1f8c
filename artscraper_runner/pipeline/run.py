"""One picture's way through analysis and protection, as steps that can be taken one by one.

Each step reads what the step before left on disk and returns a small JSON record, so that a
killed process goes on with the next step elsewhere. `protection_pipeline` takes the steps in one
go, the gateway's durable workflow takes each as a step of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from artscraper_runner.errors import Cancelled, RunnerError, StageFailed
from artscraper_runner.imaging.decode import Picture, PictureHeader, inspect_picture, open_picture
from artscraper_runner.imaging.notes import Action, Note, Subject
from artscraper_runner.io import atomic_path, write_json
from artscraper_runner.options import (
    AnalysisOptions,
    PictureLimits,
    ProtectionOptions,
    SigningSettings,
)
from artscraper_runner.pipeline.workspace import Workspace
from artscraper_runner.run_cache import RunCache
from artscraper_runner.types import Controls, Json, StageResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artscraper_runner.stages.stage import Stage, StageInput

ORIGINAL = "original"
MASK_GAIN = 16  # a change of 16 of 255 is white
MASK_MAX_SIDE = 1024  # px


@dataclass(frozen=True)
class _AppliedStage:
    """A stage's change before it is saved; `pixels` uint8 (H, W, 3) is what the next one gets."""

    stage: Stage
    given: StageInput
    result: StageResult
    pixels: NDArray[np.uint8]


@dataclass
class PictureRun:
    """The steps for the picture at `source`. Every step may be taken again after a crash.

    While a layer is saved and measured the next stage is applied already, in a second thread;
    `close` ends that thread. `insists`: the caller named the stages, so that one whose optional
    package is missing fails.
    """

    source: Path
    workspace: Workspace
    limits: PictureLimits = field(default_factory=PictureLimits)
    options: ProtectionOptions = field(default_factory=ProtectionOptions)
    controls: Controls = field(default_factory=Controls)
    signing: SigningSettings | None = None
    shown_source: str | None = None  # what the summary calls the source; None = its path
    insists: bool = False
    cache: RunCache = field(default_factory=RunCache)
    _decoded: Picture | None = field(default=None, init=False)
    _last_saved: tuple[Path, NDArray[np.uint8]] | None = field(default=None, init=False)
    _ahead: tuple[int, Future[_AppliedStage]] | None = field(default=None, init=False)
    _is_closing: bool = field(default=False, init=False)

    def __enter__(self) -> PictureRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the stage that is being applied ahead, and wait for that."""
        self._is_closing = True
        if self._ahead is not None:
            wait([self._ahead[1]])
        self._is_closing, self._ahead = False, None

    def keep_original(self) -> Json:
        """Stores the received bytes untouched as layer 00 and returns the layer's record."""
        header = self._header
        path = self.workspace.layer_path(0, ORIGINAL, header.suffix)
        with atomic_path(path) as temporary:
            shutil.copyfile(self.source, temporary)
        return {
            "stage": ORIGINAL,
            "description": "The picture as received, byte for byte.",
            "path": self.workspace.shown(path),
            "processing_size": [header.width, header.height],
            "applied": True,
            "reason": _what_was_left_out(header),
        }

    def analyse(self, options: AnalysisOptions) -> Json:
        """Writes analysis.json and returns what it holds."""
        from artscraper_runner.analysis.run import run_processors

        picture = open_picture(self.source, self.limits)
        analysis = run_processors(self.source, picture, options, self.controls)
        # The stages need its pixels, and the memory of the rest.
        self._decoded = picture.without_image()
        write_json(self.workspace.analysis_path, analysis)
        return analysis

    def protect(self, name: str, index: int, *, following: str | None = None) -> Json:
        """Run stage `name` as layer `index` (from 1) and return the layer's record.

        `following` is the next stage, which is applied while this one's layer is saved and
        measured; the next call takes its result.

        Raises:
            StageFailed: the stage failed; names it.
            PictureError: the picture cannot be opened.
            Cancelled: the caller cancelled.
        """
        applied = self._applied(name, index)
        if following is not None:
            before = (*applied.given.stages_before, name)
            given = replace(applied.given, pixels=applied.pixels, stages_before=before)
            self._ahead = (index + 1, _in_thread(lambda: self._apply(following, given)))
        with _blaming(name):
            return self._keep_layer(index, applied)

    def _applied(self, name: str, index: int) -> _AppliedStage:
        """The stage applied ahead, or now."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == index:
            return ahead[1].result()
        return self._apply(name, self._stage_input(index))

    def _apply(self, name: str, given: StageInput) -> _AppliedStage:
        from artscraper_runner.stages import load_stage

        stage = load_stage(name)
        given.controls.checkpoint()
        with _blaming(name):
            result = stage.apply(given)
            pixels = given.pixels if result.pixels is None else given.with_hidden(result.pixels)
            return _AppliedStage(stage, given, result, pixels)

    def write_summary(self, layers: list[Json], analysis: Json | None) -> Json:
        """Writes summary.json, removes the work folder and returns the summary.

        Raises:
            StageFailed: what is left of a stage could not be measured; names it.
        """
        from artscraper_runner.pipeline.credits import project_rows

        layers = self._with_final_measures(layers)
        summary: Json = {
            "image": self.shown_source or str(self.source.absolute()),
            "analysis": self.workspace.shown(self.workspace.analysis_path) if analysis else None,
            "layers": layers,
            "notes": [note.to_json() for note in self._notes()] if len(layers) > 1 else [],
            "projects": project_rows(layers, analysis),
        }
        write_json(self.workspace.summary_path, summary)
        self.workspace.remove_halves()
        self.workspace.remove_work()
        return summary

    def _notes(self) -> list[Note]:
        """Return what the layers keep of the original, what is changed and what is dropped."""
        from artscraper_runner.imaging.encode import layer_format, why_xmp_is_left_out

        why = why_xmp_is_left_out(self._picture, layer_format(self._picture, self.source))
        return [Note(Subject.XMP, Action.DROPPED, why)] if why else []

    def _with_final_measures(self, layers: list[Json]) -> list[Json]:
        """Adds, where a stage can tell, what is left of it in the last layer."""
        from artscraper_runner.stages import load_stage

        applied = {
            layer["stage"]: load_stage(layer["stage"]) for layer in layers[1:] if layer["applied"]
        }
        applied = {name: stage for name, stage in applied.items() if stage.measures_final}
        if not applied:
            return layers
        final = self._saved_pixels(self.workspace.file(layers[-1]["path"]))
        given = self._stage_input(1)
        return [
            _with_final(layer, applied[layer["stage"]], final, given)
            if layer["stage"] in applied
            else layer
            for layer in layers
        ]

    def _saved_pixels(self, path: Path) -> NDArray[np.uint8]:
        """What the layer at `path` shows, opened again where this process did not just do so."""
        if self._last_saved is not None and self._last_saved[0] == path:
            return self._last_saved[1]
        return open_picture(path, self.limits).pixels

    @cached_property
    def _header(self) -> PictureHeader:
        return inspect_picture(self.source, self.limits)

    @property
    def _picture(self) -> Picture:
        if self._decoded is None:
            self._decoded = open_picture(self.source, self.limits).without_image()
        return self._decoded

    def _should_stop(self) -> bool:
        return self._is_closing or self.controls.should_stop()

    @cached_property
    def _said(self) -> ProtectionOptions:
        """The options with a payload: the stages of one run write the same number."""
        return self.options.with_payload()

    def _stage_input(self, index: int) -> StageInput:
        from artscraper_runner.imaging.encode import carried_xmp, layer_format
        from artscraper_runner.stages.stage import StageInput

        picture = self._picture
        pixels = picture.pixels if index == 1 else self.workspace.load_pixels(index - 1)
        return StageInput(
            pixels,
            picture.pixels,
            picture.alpha,
            self._said,
            replace(self.controls, should_stop=self._should_stop),
            saved_as=layer_format(picture, self.source),
            xmp=carried_xmp(picture),
            signing=self.signing,
            insists=self.insists,
            stages_before=self.workspace.stages_before(index),
            cache=self.cache,
        )

    def _keep_layer(self, index: int, applied: _AppliedStage) -> Json:
        """Save the layer and its mask, open it again and measure what a viewer will see."""
        stage, given, result, pixels = applied.stage, applied.given, applied.result, applied.pixels
        path = self.workspace.layer_path(index, stage.name, given.saved_as.suffix)
        with ThreadPoolExecutor(1) as beside:  # the encoder of the layer is busy for as long
            mask = beside.submit(self._save_mask, index, stage.name, given.pixels, pixels)
            handed_on = beside.submit(self.workspace.save_pixels, index, pixels)
            stated = self._save(path, stage, given, pixels, applied=result.pixels is not None)
            saved = open_picture(path, self.limits).pixels
            self._last_saved = (path, saved)
            mask_path, _ = mask.result(), handed_on.result()
        height, width = pixels.shape[:2]
        figures = self._measure(saved, stage, replace(given, made=pixels), result)
        return {
            "stage": stage.name,
            "description": stage.description,
            "path": self.workspace.shown(path),
            "processing_size": list(result.processing_size or (width, height)),
            "applied": result.pixels is not None,
            "reason": result.reason,
            "mask_path": self.workspace.shown(mask_path),
            "metrics": {**figures, **stated},
        }

    def _measure(
        self, saved: NDArray[np.uint8], stage: Stage, given: StageInput, result: StageResult
    ) -> Json:
        with ThreadPoolExecutor(1) as beside:  # a stage's own figures leave a core free at times
            distances = beside.submit(_distances, given.original, saved)
            figures = {} if result.pixels is None else stage.measure(saved, given)
            return {**distances.result(), **result.metrics, **figures}

    def _save(
        self,
        path: Path,
        stage: Stage,
        given: StageInput,
        pixels: NDArray[np.uint8],
        *,
        applied: bool,
    ) -> Json:
        from artscraper_runner.imaging.encode import save_layer

        if not applied:
            save_layer(pixels, self._picture, path, given.saved_as)
            return {}
        with atomic_path(path) as temporary:
            save_layer(pixels, self._picture, temporary, given.saved_as, edit_xmp=stage.edit_xmp)
            return stage.finish_file(temporary, given)

    def _save_mask(
        self, index: int, stage: str, before: NDArray[np.uint8], after: NDArray[np.uint8]
    ) -> Path:
        from PIL import Image

        from artscraper_runner.imaging.metrics import change_mask

        path = self.workspace.mask_path(index, stage)
        mask = change_mask(before, after, gain=MASK_GAIN, max_side=MASK_MAX_SIDE)
        with atomic_path(path) as temporary:
            Image.fromarray(mask).save(temporary, format="PNG")
        return path


def _in_thread(work: Callable[[], _AppliedStage]) -> Future[_AppliedStage]:
    """Start `work` in a thread of its own, which ends with it."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(copy_context().run, work)
    pool.shutdown(wait=False)
    return future


def _distances(original: NDArray[np.uint8], saved: NDArray[np.uint8]) -> Json:
    from artscraper_runner.imaging import metrics

    return {
        "linf": metrics.linf(original, saved),
        "psnr_db": metrics.psnr(original, saved),
        "ssim": metrics.ssim(original, saved),
    }


def _with_final(layer: Json, stage: Stage, final: NDArray[np.uint8], given: StageInput) -> Json:
    with _blaming(stage.name):
        left = stage.measure_final(final, given)
    return {**layer, "metrics": {**layer["metrics"], "final": left}}


@contextmanager
def _blaming(stage: str) -> Iterator[None]:
    """Raises what breaks inside as the failure of `stage`, in words for whoever sent the picture.

    Raises:
        StageFailed: instead of any other error.
        Cancelled: as it is.
    """
    try:
        yield
    except (Cancelled, StageFailed):
        raise
    except RunnerError as error:
        raise StageFailed(stage, error.public) from error
    except OSError as error:
        raise StageFailed(stage, error.strerror or type(error).__name__) from error
    except Exception as error:  # its message may hold what callers should not see: paths, keys
        raise StageFailed(stage, f"internal error ({type(error).__name__})") from error


def _what_was_left_out(header: PictureHeader) -> str | None:
    if header.frames > 1:
        return f"the first of {header.frames} frames is used for analysis and protection"
    return None
