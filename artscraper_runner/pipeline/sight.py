"""The visibility bound of a stage, and its result scaled back to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isinf

from artscraper_runner.attacks.presets import PUBLISHED, STRENGTHS
from artscraper_runner.attacks.visibility_budget import stage_bound
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.stages.stage import Stage, StageInput
from artscraper_runner.types import StageResult


def visibility_bound(
    stage: Stage, options: ProtectionOptions, stages: Sequence[str]
) -> float | None:
    """Return the bound on what shows of the layer of `stage`.

    None for stages that are not bounded, and for the published presets, which have their own.
    `stages` are all stages of the run, which share the bound.
    """
    if not stage.is_bounded_by_sight or options.preset == PUBLISHED:
        return None
    return stage_bound(STRENGTHS[options.strength].visibility, stage.name, stages)


def within_sight(stage: Stage, inputs: StageInput, result: StageResult) -> StageResult:
    """Return the result as it may be saved.

    What shows more than the bound of the input, or the result's own, is scaled back, and where that
    leaves nothing of the stage it is not applied. A stage may have done so itself.
    """
    bound = result.visibility or inputs.visibility
    if result.pixels is None or result.is_within_sight or bound is None or isinf(bound):
        return result
    pixels = inputs.admissible(result.pixels)
    kept = inputs.visible_change().within(
        bound, before=inputs.pixels, changed=pixels, overwrite=pixels.flags.writeable
    )
    why = None if kept is pixels else stage.why_lost(inputs.admissible(kept), inputs)
    return replace(result, pixels=kept) if why is None else StageResult(None, reason=why)
