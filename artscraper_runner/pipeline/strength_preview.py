"""A part of a picture as a whole job would leave it: in memory, without files and measurements.

The parts of a large picture are changed at the size that attacks and mark work at in the whole,
and their change is enlarged as it would be there; else it would look finer than it will be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.attacks.presets import STRENGTHS
from artscraper_runner.attacks.run_cache import RunCache
from artscraper_runner.attacks.scaling import apply_perturbation, working_size
from artscraper_runner.attacks.transforms import to_picture
from artscraper_runner.imaging.decode import open_picture
from artscraper_runner.imaging.tiles import resized
from artscraper_runner.imaging.visibility import VisibleChange
from artscraper_runner.options import (
    PART_MAX_SIDE,
    PREVIEW_STAGES,
    PictureLimits,
    ProtectionOptions,
)
from artscraper_runner.pipeline.sight import visibility_bound, within_sight
from artscraper_runner.stages import load_stage
from artscraper_runner.stages.stage import Stage, StageInput
from artscraper_runner.types import Controls, StageResult
from artscraper_runner.watermarks.luma_change import add_luma

Pixels = NDArray[np.uint8]
Change = NDArray[np.float32]
Size = tuple[int, int]  # height, width in px
MARK = "invisible-watermark"
_RUN_AT = "high"
_WARM_SIDE = 64  # px
_MARKED_SIDE = 512  # px; what a mark repeats in, of which a part alone may be too small


@dataclass(frozen=True)
class PicturePart:
    """A part of a picture, uint8 (H, W, 3), of which `whole` is the size.

    What its previews share is kept in `cache`.
    """

    pixels: Pixels
    whole: Size
    cache: RunCache = field(default_factory=RunCache)

    @classmethod
    def opened(cls, path: Path, whole: Size) -> PicturePart:
        """Return the part in the file at `path`.

        Raises:
            PictureError: it cannot be opened, or a side is longer than PART_MAX_SIDE.
        """
        limits = PictureLimits(max_side=PART_MAX_SIDE, max_pixels=PART_MAX_SIDE**2)
        return cls(open_picture(path, limits).pixels, whole)

    def write_preview(
        self, target: Path, stages: Sequence[str], options: ProtectionOptions
    ) -> None:
        """Write what `preview` returns to `target`, as PNG."""
        Image.fromarray(self.preview(stages, options)).save(target, "PNG", compress_level=1)

    def preview(self, stages: Sequence[str], options: ProtectionOptions) -> Pixels:
        """Return the part, uint8 (H, W, 3), as it looks after `stages`, PREVIEW_STAGES in order.

        The stages run once, at the highest strength; that of the options shows the share of their
        change which its bounds are of those. It differs from the stages' own result in detail, not
        in how much is seen.
        """
        strength, highest = (STRENGTHS[name] for name in (options.strength, _RUN_AT))
        key = (tuple(stages), replace(options, strength=_RUN_AT))
        change, mark = self.cache.remember("change", key, lambda: self._change(*key))
        share = np.float32(strength.visibility / highest.visibility)
        shown = apply_perturbation(
            self.pixels, change * share, original=self.pixels, budget=strength.budget
        )
        shown = add_luma(shown, mark * share)
        sight = self.cache.remember("sight of part", None, lambda: VisibleChange.of(self.pixels))
        return sight.within(strength.visibility, before=self.pixels, changed=shown)

    def _change(
        self, stages: tuple[str, ...], options: ProtectionOptions
    ) -> tuple[Change, NDArray[np.float32]]:
        """Return the change by `stages`, float32 (1, 3, h, w) of [0, 1], at the working size.

        That by the mark is apart, (h, w) in levels of luma, since it is enlarged in its own way.
        """
        small = self._small()
        mark = np.zeros(small.shape[:2], np.float32)
        inputs = StageInput(
            *(small, small, None, options.with_payload(), Controls()),
            cache=self.cache,
            is_preview=True,
        )
        for name in stages:
            stage = load_stage(name)
            inputs = replace(inputs, visibility=visibility_bound(stage, options, stages))
            result = within_sight(stage, inputs, self._applied(stage, inputs))
            if result.pixels is not None:
                pixels = inputs.admissible(result.pixels)
                if name == MARK:
                    mark = (pixels.astype(np.float32) - inputs.pixels).mean(2)
                inputs = replace(inputs, pixels=pixels)
            inputs = replace(inputs, stages_before=(*inputs.stages_before, name))
        return to_picture(inputs.pixels) - to_picture(small) - mark / np.float32(255), mark

    def _small(self) -> Pixels:
        """Return the part at the size at which the whole picture is worked on."""
        height, width = self.pixels.shape[:2]
        scale = working_size(*self.whole)[0] / self.whole[0]
        if scale == 1:
            return self.pixels
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        return self.cache.remember("small", size, lambda: resized(self.pixels, size))

    def _applied(self, stage: Stage, inputs: StageInput) -> StageResult:
        """Apply the stage; the mark to the part continued by its mirror image.

        A mark is enlarged to pictures, so that a part alone would get one of another size.
        """
        if stage.name != MARK:
            return stage.apply(inputs)
        height, width = inputs.pixels.shape[:2]
        rows, columns = (
            max(side, min(_MARKED_SIDE, whole))
            for side, whole in zip((height, width), working_size(*self.whole), strict=True)
        )
        around = ((0, rows - height), (0, columns - width), (0, 0))
        original = self.cache.remember(
            "continued", (rows, columns), lambda: np.pad(inputs.original, around, "symmetric")
        )
        continued = replace(
            inputs, pixels=np.pad(inputs.pixels, around, "symmetric"), original=original
        )
        result = stage.apply(continued)
        if result.pixels is None:
            return result
        return replace(result, pixels=np.ascontiguousarray(result.pixels[:height, :width]))


def warm_up_previews(options: ProtectionOptions) -> None:
    """Load what previews compute with; the first one then takes no longer than others."""
    grey = np.full((_WARM_SIDE, _WARM_SIDE, 3), 128, np.uint8)
    PicturePart(grey, (_WARM_SIDE, _WARM_SIDE)).preview(PREVIEW_STAGES, options)
