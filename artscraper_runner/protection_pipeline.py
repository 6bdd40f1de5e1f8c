"""Take a picture, or a folder of them, through analysis and protection in this process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from artscraper_runner.errors import InvalidOption, PictureError, StageFailed
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

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".avif"}
)


@dataclass(frozen=True)
class WorkflowConfig:
    """How pictures are worked on; `stages` None = the default ones, () = only the original.

    `signing` says who signs files for the stage c2pa, None = nobody.
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
    """Analyses and protects the picture at `image`, writes everything under `output`.

    Returns the summary, as in summary.json.

    Raises:
        UnknownName: a stage, processor, encoder or concept that is not in its registry.
        PictureError: the picture cannot be opened.
        StageFailed: a stage broke.
        Cancelled: the caller asked to stop.
    """
    config = config or WorkflowConfig()
    controls = controls or Controls()
    stages = chosen_stages(config.stages)
    check_options(config.protection)
    workspace = _workspace(image, output, config.limits)
    total = 1 + include_hash_analysis + len(stages)
    within = _Within(controls, total)
    run = PictureRun(
        image,
        workspace,
        config.limits,
        config.protection,
        within.controls(),
        config.signing,
        insists=config.stages is not None,
    )
    try:
        controls.on_progress(Progress("original", 0, total))
        layers = [run.keep_original()]
        analysis = None
        if include_hash_analysis:
            controls.on_progress(Progress("analysis", 1, total))
            analysis = run.analyse(config.analysis)
        for index, name in enumerate(stages, start=1):
            within.enter(name, index + include_hash_analysis)
            layers.append(run.protect(name, index))
        summary = run.write_summary(layers, analysis)
        controls.on_progress(Progress("done", total, total))
        return summary
    finally:
        workspace.remove_work()


def _workspace(image: Path, output: Path, limits: PictureLimits) -> Workspace:
    """An empty one; what an earlier run has left there goes only if the picture can be taken."""
    inspect_picture(image, limits)
    if image.resolve().is_relative_to(output.resolve() / "layers"):
        raise InvalidOption(f"expected a picture outside the results, found {image} among them")
    workspace = Workspace(output=output, work=output / ".work")
    workspace.clear()
    workspace.create()
    return workspace


class _Within:
    """Shows the progress inside a stage as that of the whole run, which stands at one step."""

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


def run_full_workflow(
    input_dir: str | Path = "input",
    output_root: str | Path = "outputs",
    include_hash_analysis: bool = True,
    config: WorkflowConfig | None = None,
    *,
    on_picture: Callable[[Path], Controls] = lambda path: Controls(),
) -> Json:
    """Protects every picture in `input_dir`, each into a folder of its own under `output_root`.

    Returns `{"processed": [{"image", "output_dir", "summary"}], "failed": [{"image", "error"}]}`,
    each in the order of the names: a picture that cannot be worked on does not stop the others.
    `on_picture` is asked, before each picture, how to show its progress and stop it.

    Raises:
        InvalidOption: `input_dir` is no folder.
        Cancelled: the caller asked to stop.
    """
    folder = Path(input_dir)
    if not folder.is_dir():
        raise InvalidOption(f"expected a folder of pictures, found none at {folder}")
    result: Json = {"processed": [], "failed": []}
    for image, output in _targets(folder, Path(output_root)):
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
            row |= {"output_dir": str(output.absolute()), "summary": summary}
            result["processed"].append(row)
    return result


def output_folder(image: Path, root: Path) -> Path:
    """Returns a folder under `root` named after the picture, safe on every file system."""
    return root / (re.sub(r"[^\w.-]+", "-", image.stem).strip(".-")[:80] or "picture")


def _targets(folder: Path, root: Path) -> Iterator[tuple[Path, Path]]:
    """Pictures of one stem (a.jpg, a.png) get folders of their own."""
    taken: set[str] = set()
    for image in sorted(folder.iterdir()):
        if image.suffix.lower() not in PICTURE_SUFFIXES or not image.is_file():
            continue
        first = output = output_folder(image, root)
        number = 1
        while output.name.casefold() in taken:
            number += 1
            output = first.with_name(f"{first.name}-{number}")
        taken.add(output.name.casefold())
        yield image, output
