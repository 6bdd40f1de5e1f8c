"""Save one layer with its mask and measure it as saved.

Nothing here depends on the run that it belongs to, so another thread may save and measure a layer
while the next stage works on `AppliedStage.pixels`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.imaging import metrics
from artscraper_runner.imaging.decode import Picture, open_picture
from artscraper_runner.imaging.encode import save_layer
from artscraper_runner.imaging.files import atomic_path
from artscraper_runner.imaging.tiles import unload
from artscraper_runner.options import PictureLimits
from artscraper_runner.pipeline.workspace import Workspace
from artscraper_runner.stages.stage import Stage, StageInput
from artscraper_runner.types import Json, StageResult

MASK_GAIN = 16  # a change of 16 of 255 is white
MASK_MAX_SIDE = 1024  # px


@dataclass(frozen=True)
class AppliedStage:
    """A stage's change before it is saved; `pixels` uint8 (H, W, 3) is the next stage's input."""

    stage: Stage
    inputs: StageInput
    result: StageResult
    pixels: NDArray[np.uint8]

    @property
    def is_applied(self) -> bool:
        """Whether the stage changed the picture or its file."""
        return self.result.pixels is not None

    def with_pixels(self, pixels: NDArray[np.uint8]) -> AppliedStage:
        """Return the same with another array of the same pixels."""
        result = replace(self.result, pixels=pixels) if self.is_applied else self.result
        return replace(self, result=result, pixels=pixels)


@dataclass(frozen=True)
class LayerWork:
    """The inputs for saving and measuring a layer. Layers count from 1."""

    index: int
    applied: AppliedStage
    picture: Picture
    workspace: Workspace
    limits: PictureLimits

    @property
    def path(self) -> Path:
        """The path of the layer's file."""
        name, suffix = self.applied.stage.name, self.applied.inputs.saved_as.suffix
        return self.workspace.layer_path(self.index, name, suffix)


@dataclass(frozen=True)
class SavedLayer:
    """A layer's files; `pixels` is the file at `path`, opened again."""

    path: Path
    mask_path: Path
    pixels: NDArray[np.uint8]
    file_metrics: Json


def save_layer_files(work: LayerWork) -> SavedLayer:
    """Save the layer, its mask and the pixels for the next stage, and open the layer again.

    Raises:
        RunnerError: the encoder or the stage's work on the file failed.
        OSError: a file cannot be written.
    """
    path = work.path
    with ThreadPoolExecutor(1) as beside:  # the encoder of the layer is busy for as long
        mask = beside.submit(_save_mask, work)
        handed_on = beside.submit(work.workspace.save_pixels, work.index, work.applied.pixels)
        file_metrics = _save_picture(work, path)
        saved = open_picture(path, work.limits).pixels
        mask_path, _ = mask.result(), handed_on.result()
    return SavedLayer(path, mask_path, saved, file_metrics)


def record_layer(work: LayerWork, saved: SavedLayer) -> Json:
    """Measure the layer as saved and return its record for summary.json.

    Raises:
        RunnerError: the stage could not measure it.
    """
    height, width = work.applied.pixels.shape[:2]
    return {
        "stage": work.applied.stage.name,
        "description": work.applied.stage.description,
        "path": work.workspace.shown(saved.path),
        "processing_size": list(work.applied.result.processing_size or (width, height)),
        "applied": work.applied.is_applied,
        "reason": work.applied.result.reason,
        "mask_path": work.workspace.shown(saved.mask_path),
        "metrics": {**_measure(work, saved), **saved.file_metrics},
    }


def _measure(work: LayerWork, saved: SavedLayer) -> Json:
    inputs = replace(work.applied.inputs, made=work.applied.pixels)
    distances = {
        "linf": metrics.linf(inputs.original, saved.pixels),
        "psnr_db": metrics.psnr(inputs.original, saved.pixels),
        "ssim": metrics.ssim(inputs.original, saved.pixels),
    }
    bound = work.applied.result.visibility or inputs.visibility
    visibility, x, y = inputs.visible_change().worst(saved.pixels)
    sight = {
        "visibility": round(visibility, 3),
        "visibility_place": [round(x, 4), round(y, 4)],
        "visibility_bound": round(bound, 3) if bound is not None and isfinite(bound) else None,
    }
    unload(inputs.original, inputs.pixels)  # a stage looks at reduced copies
    of_stage = work.applied.stage.measure(saved.pixels, inputs) if work.applied.is_applied else {}
    return {**distances, **sight, **work.applied.result.metrics, **of_stage}


def _save_picture(work: LayerWork, path: Path) -> Json:
    how = work.applied.inputs.saved_as
    if not work.applied.is_applied:
        save_layer(work.applied.pixels, work.picture, path, how)
        return {}
    with atomic_path(path) as temporary:
        save_layer(
            work.applied.pixels,
            work.picture,
            temporary,
            how,
            edit_xmp=partial(work.applied.stage.edit_xmp, options=work.applied.inputs.options),
        )
        return work.applied.stage.finish_file(temporary, work.applied.inputs)


def _save_mask(work: LayerWork) -> Path:
    path = work.workspace.mask_path(work.index, work.applied.stage.name)
    mask = metrics.change_mask(
        work.applied.inputs.pixels, work.applied.pixels, gain=MASK_GAIN, max_side=MASK_MAX_SIDE
    )
    with atomic_path(path) as temporary:
        Image.fromarray(mask).save(temporary, format="PNG")
    return path
