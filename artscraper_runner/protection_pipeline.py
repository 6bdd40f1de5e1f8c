"""Protect one picture, or every picture in a folder, in this process."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from artscraper_runner.errors import InvalidOption, PictureError, StageFailed
from artscraper_runner.options import (
    AnalysisOptions,
    PictureLimits,
    ProtectionOptions,
    SigningSettings,
)
from artscraper_runner.pipeline.folders import folder_pictures, result_folders, save_protected
from artscraper_runner.pipeline.run import PictureRun
from artscraper_runner.pipeline.verdict import describe
from artscraper_runner.pipeline.workspace import empty_workspace
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


@dataclass(frozen=True)
class ProtectedPicture:
    """A protected picture, kept in a temporary folder until it is saved.

    `summary` is what summary.json holds. The layers exist as long as this object does.
    """

    summary: Json

    @property
    def path(self) -> Path:
        """The file of the last layer."""
        return Path(self.summary["layers"][-1]["path"])

    @property
    def verdict(self) -> str:
        """One line in words: visibility, effect, faces, watermark."""
        return describe(self.summary)

    def save(self, target: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the protected picture to the file `target`; missing folders are made.

        Raises:
            InvalidOption: the suffix does not match the picture's format.
            FileExistsError: there is a file and `overwrite` is off.
        """
        return save_protected(self.path, Path(target), overwrite=overwrite)


def protect(
    image: str | PathLike[str],
    *,
    stages: tuple[str, ...] | None = None,
    analysis: bool = False,
    controls: Controls | None = None,
    **options: Any,
) -> ProtectedPicture:
    """Protect the picture at `image`.

    Args:
        image: a picture file.
        stages: names of stages, in order; None: the default ones.
        analysis: also run the analysis; `summary` then names its file.
        controls: progress and cancellation.
        options: fields of `ProtectionOptions`, such as `strength="medium"` or `seed=7`.

    Example:
        >>> protect("in.jpg", strength="medium").save("out.jpg")  # doctest: +SKIP

    Raises:
        InvalidOption: an option is unknown, or its value is not valid.
        PictureError: the picture cannot be opened.
        StageFailed: a stage failed.
    """
    unknown = sorted(options.keys() - ProtectionOptions.__dataclass_fields__.keys())
    if unknown:
        valid = ", ".join(ProtectionOptions.__dataclass_fields__)
        raise InvalidOption(f"unknown option {unknown[0]!r}; valid: {valid}")
    config = WorkflowConfig(stages, ProtectionOptions(**options))
    folder = Path(tempfile.mkdtemp(prefix="artscraper-"))
    try:
        summary = protect_picture(
            Path(image),
            folder,
            config=config,
            include_hash_analysis=analysis,
            controls=controls,
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    picture = ProtectedPicture(summary)
    weakref.finalize(picture, shutil.rmtree, folder, ignore_errors=True)
    return picture


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
    workspace = empty_workspace(image, output, config.limits)
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


def run_full_workflow(
    input_dir: str | Path = "input",
    output_root: str | Path = "outputs",
    include_hash_analysis: bool = True,
    config: WorkflowConfig | None = None,
    *,
    on_picture: Callable[[Path], Controls] = lambda path: Controls(),
) -> Json:
    """Protect every picture in `input_dir`, each into a folder of its own below `output_root`.

    `on_picture` returns, before each picture, how its progress is shown and how it is cancelled.

    Returns:
        `{"processed": [{"image", "output_dir", "summary", "data"}], "failed": [{"image",
        "error"}]}`, in the order of the names: `summary` is the path of summary.json, `data` its
        content. A picture that cannot be processed does not stop the others.

    Raises:
        InvalidOption: `input_dir` is not a folder.
        Cancelled: `should_stop` of a picture's controls returned true.
    """
    folder = Path(input_dir)
    if not folder.is_dir():
        raise InvalidOption(f"expected a folder of pictures, found none at {folder}")
    result: Json = {"processed": [], "failed": []}
    for image, output in result_folders(folder_pictures(folder), Path(output_root)):
        row: Json = {"image": str(image.absolute())}
        try:
            summary = protect_picture(
                image,
                output,
                config=config,
                include_hash_analysis=include_hash_analysis,
                controls=on_picture(image),
            )
        except (PictureError, StageFailed) as error:
            result["failed"].append({**row, "error": error.full})
        else:
            summary_path = output.absolute() / "summary.json"
            row |= {"output_dir": str(summary_path.parent), "summary": str(summary_path)}
            result["processed"].append({**row, "data": summary})
    return result


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
