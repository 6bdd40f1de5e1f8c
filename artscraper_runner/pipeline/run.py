"""Analysis and protection of one picture, as separate steps.

Each step reads the files of the step before and returns a small JSON record, so a killed run
resumes with the next step elsewhere. `protection_pipeline` runs all steps in one call, the gateway
runs each as a durable step of its workflow.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artscraper_runner.analysis.inventory import growth_note, take_inventory
from artscraper_runner.analysis.run import run_processors
from artscraper_runner.attacks.run_cache import RunCache
from artscraper_runner.errors import Cancelled, RunnerError, StageFailed
from artscraper_runner.imaging.decode import Picture, PictureHeader, inspect_picture, open_picture
from artscraper_runner.imaging.encode import LayerFormat, carried_xmp, layer_format
from artscraper_runner.imaging.files import atomic_path, write_json
from artscraper_runner.imaging.notes import Note, sort_notes
from artscraper_runner.imaging.tiles import CAN_UNLOAD, LARGE_VALUES, unload
from artscraper_runner.models.graph import release_memory
from artscraper_runner.options import (
    AnalysisOptions,
    PictureLimits,
    ProtectionOptions,
    SigningSettings,
)
from artscraper_runner.pipeline.ahead import Preparation, StageAhead
from artscraper_runner.pipeline.credits import project_rows
from artscraper_runner.pipeline.layers import (
    AppliedStage,
    LayerWork,
    record_layer,
    save_layer_files,
)
from artscraper_runner.pipeline.sight import visibility_bound, within_sight
from artscraper_runner.pipeline.workspace import Workspace
from artscraper_runner.stages import load_stage
from artscraper_runner.stages.stage import Stage, StageInput
from artscraper_runner.types import Controls, Json, SourceFile

ORIGINAL = "original"


@dataclass
class PictureRun:
    """The steps for the picture at `source`. Every step may be repeated after a crash.

    While a layer is saved and measured the next stage is applied already, in a second thread, and
    beside the first one what later ones need of the original is computed; `close` ends both.
    `stages_explicit`: the caller named the stages, so a stage whose optional package is missing
    fails.
    """

    source: Path
    workspace: Workspace
    limits: PictureLimits = field(default_factory=PictureLimits)
    options: ProtectionOptions = field(default_factory=ProtectionOptions)
    controls: Controls = field(default_factory=Controls)
    signing: SigningSettings | None = None
    shown_source: str | None = None  # name of the source in the summary; None: its path
    stages_explicit: bool = False
    stages: tuple[str, ...] = ()  # of the whole run, which share the visibility bound
    cache: RunCache = field(default_factory=RunCache)
    _decoded: Picture | None = field(default=None, init=False)
    _last_saved: tuple[Path, NDArray[np.uint8]] | None = field(default=None, init=False)
    _handed_on: tuple[int, NDArray[np.uint8]] | None = field(default=None, init=False)
    _ahead: StageAhead | None = field(default=None, init=False)
    _preparation: Preparation | None = field(default=None, init=False)

    def __enter__(self) -> PictureRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop what is computed ahead, and wait for that."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.stop()
        if self._preparation is not None:
            self._preparation.stop()

    def keep_original(self) -> Json:
        """Store the received bytes untouched as layer 00 and return the layer's record."""
        header = self._header
        path = self.workspace.layer_path(0, ORIGINAL, header.suffix)
        with atomic_path(path) as temporary:
            shutil.copyfile(self.source, temporary)
        reason = None
        if header.frames > 1:
            reason = f"the first of {header.frames} frames is used for analysis and protection"
        return {
            "stage": ORIGINAL,
            "description": "The picture as received, byte for byte.",
            "path": self.workspace.shown(path),
            "processing_size": [header.width, header.height],
            "applied": True,
            "reason": reason,
        }

    def analyse(self, options: AnalysisOptions) -> Json:
        """Write analysis.json and return its content."""
        picture = open_picture(self.source, self.limits)
        analysis = run_processors(self.source, picture, options, self.controls)
        self._decoded = self._for_stages(picture)
        write_json(self.workspace.analysis_path, analysis)
        return analysis

    def protect(self, name: str, index: int, *, following: str | None = None) -> Json:
        """Run stage `name` as layer `index` (from 1) and return the layer's record.

        `following` is the next stage, which is applied while this one's layer is saved and
        measured, unless the picture is very large; the next call takes its result. Beside the first
        stage that has one, what later ones need of the original is computed. None: nothing is.

        Raises:
            StageFailed: the stage failed; names it.
            PictureError: the picture cannot be opened.
            Cancelled: the caller cancelled.
        """
        applied = self._applied(name, index, prepare=following is not None)
        if following is not None and applied.pixels.size <= LARGE_VALUES:
            self._ahead = self._started_ahead(following, index + 1, applied)
        with _blaming(name):
            work = LayerWork(index, applied, self._picture, self.workspace, self.limits)
            saved = save_layer_files(work)
            if self._is_mapped(applied.pixels):
                applied = applied.with_pixels(self.workspace.load_pixels(index, mapped=True))
                work = replace(work, applied=applied)
            self._release_memory()
            self._handed_on = (index, applied.pixels)
            if index == len(self.stages):
                self._last_saved = (saved.path, saved.pixels)
            record = record_layer(work, saved)
        self._release_memory(applied.pixels)
        return record

    def _applied(self, name: str, index: int, *, prepare: bool) -> AppliedStage:
        """Return the stage applied ahead, else apply it now, and `prepare` later ones beside it."""
        ahead = self._ahead
        if ahead is not None and ahead.index == index:
            applied = ahead.result()
            self._ahead = None
            return applied
        self.close()
        inputs = self._stage_input(index)
        if prepare and self._preparation is None and name in self.stages:
            later = self.stages[self.stages.index(name) + 1 :]
            original = replace(inputs, pixels=inputs.original)
            self._preparation = Preparation([load_stage(each) for each in later], original)
        applied = self._apply(name, inputs)
        self._release_memory(applied.inputs.pixels)
        return applied

    def _started_ahead(self, name: str, index: int, applied: AppliedStage) -> StageAhead:
        """Start to apply stage `name` to what the stage before it, `applied`, hands on."""
        before = (*applied.inputs.stages_before, applied.stage.name)
        inputs = replace(applied.inputs, pixels=applied.pixels, stages_before=before)
        return StageAhead(
            index,
            lambda controls: self._apply(name, replace(inputs, controls=controls)),
            self.controls,
        )

    def _release_memory(self, *handed_on: NDArray[np.uint8]) -> None:
        """Release memory after a large picture; small ones need it again.

        The recogniser's weights take 80 MB and are loaded again in about a tenth of a second.
        """
        if self._picture.pixels.size > LARGE_VALUES:
            from artscraper_runner.faces.network import face_network

            face_network.cache_clear()
            release_memory()  # what graphs keep for later
            unload(self._picture.pixels, *handed_on)

    def _apply(self, name: str, inputs: StageInput) -> AppliedStage:
        stage = load_stage(name)
        if self._preparation is not None:
            self._preparation.wait_for(name)
        bound = visibility_bound(stage, self.options, self.stages or (name,))
        inputs = replace(inputs, visibility=bound)
        inputs.controls.checkpoint()
        with _blaming(name):
            result = within_sight(stage, inputs, stage.apply(inputs))
            pixels = inputs.pixels if result.pixels is None else inputs.admissible(result.pixels)
            return AppliedStage(stage, inputs, result, pixels)

    def write_summary(self, layers: list[Json], analysis: Json | None) -> Json:
        """Write summary.json, remove the work folder and return the summary.

        Raises:
            StageFailed: a stage's remaining effect could not be measured.
        """
        layers = self._with_final_measures(layers)
        summary: Json = {
            "image": self.shown_source or str(self.source.absolute()),
            "analysis": self.workspace.shown(self.workspace.analysis_path) if analysis else None,
            "layers": layers,
            "notes": [note.to_json() for note in self._notes(layers)],
            "projects": project_rows(layers, analysis),
        }
        write_json(self.workspace.summary_path, summary)
        self.workspace.remove_halves()
        self.workspace.remove_work()
        return summary

    def _notes(self, layers: list[Json]) -> list[Note]:
        """Return notes on the parts of the original that layers keep, change and drop."""
        if len(layers) < 2:
            return []
        how = self._saved_as
        notes = take_inventory(self._picture, self.source, how, layers)
        last = self.workspace.file(layers[-1]["path"])
        growth = growth_note(self.source.stat().st_size, last.stat().st_size, how)
        return sort_notes([*notes, growth]) if growth else notes

    def _with_final_measures(self, layers: list[Json]) -> list[Json]:
        """Add the remaining effect in the last layer of stages that measure it."""
        applied = {
            layer["stage"]: load_stage(layer["stage"]) for layer in layers[1:] if layer["applied"]
        }
        applied = {name: stage for name, stage in applied.items() if stage.measures_final}
        if not applied:
            return layers
        final = self._saved_pixels(self.workspace.file(layers[-1]["path"]))
        inputs = self._stage_input(1)
        measured = []
        for layer in layers:
            stage = applied.get(layer["stage"])
            measured.append(_with_final(layer, stage, final, inputs) if stage else layer)
            self._release_memory(final)
        return measured

    def _pixels_before(self, index: int) -> NDArray[np.uint8]:
        """Return the output of the stage before layer `index`, from memory if it ran here."""
        handed_on, self._handed_on = self._handed_on, None
        if index == 1:
            return self._picture.pixels
        if handed_on is not None and handed_on[0] == index - 1:
            return handed_on[1]
        return self.workspace.load_pixels(index - 1)

    def _saved_pixels(self, path: Path) -> NDArray[np.uint8]:
        """Return the pixels of the layer at `path`, from memory if it was saved last."""
        if self._last_saved is not None and self._last_saved[0] == path:
            return self._last_saved[1]
        return open_picture(path, self.limits).pixels

    @cached_property
    def _header(self) -> PictureHeader:
        return inspect_picture(self.source, self.limits)

    @property
    def _picture(self) -> Picture:
        if self._decoded is None:
            self._decoded = self._for_stages(open_picture(self.source, self.limits))
        return self._decoded

    @cached_property
    def _saved_as(self) -> LayerFormat:
        return layer_format(self._picture, self.source)

    def _for_stages(self, picture: Picture) -> Picture:
        """Return the picture with its pixels, mapped if they are many; they need the memory."""
        picture = picture.without_image()
        if not self._is_mapped(picture.pixels):
            return picture
        self.workspace.save_pixels(0, picture.pixels)
        return replace(picture, pixels=self.workspace.load_pixels(0, mapped=True))

    def _is_mapped(self, pixels: NDArray[np.uint8]) -> bool:
        return CAN_UNLOAD and pixels.size > LARGE_VALUES

    @cached_property
    def _options_with_payload(self) -> ProtectionOptions:
        """Return the options with a payload: the stages of one run write the same number."""
        return self.options.with_payload()

    def _stage_input(self, index: int) -> StageInput:
        picture = self._picture
        return StageInput(
            self._pixels_before(index),
            picture.pixels,
            picture.alpha,
            self._options_with_payload,
            self.controls,
            saved_as=self._saved_as,
            xmp=carried_xmp(picture),
            signing=self.signing,
            stages_explicit=self.stages_explicit,
            stages_before=self.workspace.stages_before(index),
            cache=self.cache,
            is_grey=picture.is_grey,
            source=SourceFile(self.source, picture.header.suffix),
        )


def _with_final(layer: Json, stage: Stage, final: NDArray[np.uint8], inputs: StageInput) -> Json:
    with _blaming(stage.name):
        left = stage.measure_final(final, inputs)
    return {**layer, "metrics": {**layer["metrics"], "final": left}}


@contextmanager
def _blaming(stage: str) -> Iterator[None]:
    """Raise errors of the block as the failure of `stage`, with a message for the sender.

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
    except Exception as error:  # its message may hold secrets: paths, keys
        raise StageFailed(stage, f"internal error ({type(error).__name__})") from error
