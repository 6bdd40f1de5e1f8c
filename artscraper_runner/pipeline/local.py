"""Run one picture through analysis and protection in this process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from artscraper_runner.errors import InvalidOption
from artscraper_runner.imaging.decode import inspect_picture
from artscraper_runner.options import (
    AnalysisOptions,
    PictureLimits,
    ProtectionOptions,
    SigningSettings,
)
from artscraper_runner.pipeline.run import PictureRun
from artscraper_runner.pipeline.workspace import Workspace
from artscraper_runner.stages import check_options, chosen_stages
from artscraper_runner.types import Controls, Json, Progress


@dataclass(frozen=True)
class WorkflowConfig:
    """The analysis and protection of each picture.

    `stages` None runs the default stages, an empty tuple keeps the original only. `signing` is
    needed by the stage c2pa alone.
    """

    stages: tuple[str, ...] | None = None
    protection: ProtectionOptions = field(default_factory=ProtectionOptions)
    analysis: AnalysisOptions = field(default_factory=AnalysisOptions)
    limits: PictureLimits = field(default_factory=PictureLimits)
    signing: SigningSettings | None = None


def protect_picture(
    image: Path,
    output: Path,
    *,
    config: WorkflowConfig | None = None,
    include_hash_analysis: bool = True,
    controls: Controls | None = None,
) -> Json:
    """Analyse and protect the picture at `image`; write every result below the folder `output`.

    Returns:
        The summary, as in summary.json.

    Raises:
        UnknownName: a stage, processor, encoder or concept that is not in its registry.
        PictureError: the picture cannot be opened.
        StageFailed: a stage failed.
        Cancelled: `controls.should_stop` returned true.
    """
    config = config or WorkflowConfig()
    controls = controls or Controls()
    stages = chosen_stages(config.stages)
    check_options(config.protection)
    workspace = _workspace(image, output, config.limits)
    total = 1 + include_hash_analysis + len(stages)
    nested = _NestedProgress(controls, total)
    run = PictureRun(
        image,
        workspace,
        config.limits,
        config.protection,
        nested.controls(),
        config.signing,
        stages_explicit=config.stages is not None,
        stages=stages,
    )
    try:
        controls.on_progress(Progress("original", 0, total))
        layers = [run.keep_original()]
        analysis = None
        if include_hash_analysis:
            controls.on_progress(Progress("analysis", 1, total))
            analysis = run.analyse(config.analysis)
        following = (*stages[1:], None)
        for index, (name, after) in enumerate(zip(stages, following, strict=False), start=1):
            nested.enter(name, index + include_hash_analysis)
            layers.append(run.protect(name, index, following=after))
        summary = run.write_summary(layers, analysis)
        controls.on_progress(Progress("done", total, total))
        return summary
    finally:
        run.close()
        workspace.remove_work()


def _workspace(image: Path, output: Path, limits: PictureLimits) -> Workspace:
    """Return an empty workspace; results of an earlier run go only if the picture can be read."""
    inspect_picture(image, limits)
    if image.resolve().is_relative_to(output.resolve() / "layers"):
        raise InvalidOption(f"expected a picture outside the results, found {image} among them")
    workspace = Workspace(output=output, work=output / ".work")
    workspace.clear()
    workspace.create()
    return workspace


class _NestedProgress:
    """Shows the progress inside a stage as progress of the whole run, within one step of it."""

    def __init__(self, outer: Controls, total: int) -> None:
        self._outer, self._total, self._done = outer, total, 0

    def enter(self, name: str, done: int) -> None:
        self._done = done
        self._outer.on_progress(Progress(name, done, self._total))

    def controls(self) -> Controls:
        return Controls(self._show, self._outer.should_stop)

    def _show(self, inner: Progress) -> None:
        what = f"{inner.what} {inner.done}/{inner.total}" if inner.total else inner.what
        self._outer.on_progress(Progress(what, self._done, self._total))
