"""One picture's folders: the path of each file of a run, and atomic writes.

<output>/summary.json  analysis.json  layers/NN-<stage>/image.<suffix>  masks/NN-<stage>.png
<work>/NN.npy          the picture between two stages, without loss; removed at the end
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from artscraper_runner.errors import InvalidOption
from artscraper_runner.imaging.decode import inspect_picture
from artscraper_runner.imaging.files import atomic_path
from artscraper_runner.options import PictureLimits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OWN_NAME = re.compile(r"\d\d-[a-z0-9-]+(\.png)?")
_TEMPORARY = re.compile(r"\.[0-9a-f]{12}-")


@dataclass(frozen=True)
class Workspace:
    """`output` has results for the caller, `work` temporary files of this run.

    `shown_as` is where callers will find `output` once the run's owner has moved it, a folder or
    a URL; None: it stays.
    """

    output: Path
    work: Path
    shown_as: str | None = None

    def create(self) -> None:
        """Create the folders; files of an interrupted run are kept."""
        (self.output / "layers").mkdir(parents=True, exist_ok=True)

    def shown(self, path: Path) -> str:
        """Return the public name of a file below `output`."""
        if self.shown_as is None:
            return str(path.absolute())
        return f"{self.shown_as}/{path.relative_to(self.output).as_posix()}"

    def file(self, shown: str) -> Path:
        """Return the layer with the public name `shown`."""
        return self.output.joinpath(*PurePath(shown).parts[-3:])

    def clear(self) -> None:
        """Remove only the files of an earlier run."""
        for path in (*(self.output / "layers").glob("*"), *(self.output / "masks").glob("*")):
            if _OWN_NAME.fullmatch(path.name):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(self.work, ignore_errors=True)
        self.summary_path.unlink(missing_ok=True)
        self.analysis_path.unlink(missing_ok=True)

    @property
    def summary_path(self) -> Path:
        return self.output / "summary.json"

    @property
    def analysis_path(self) -> Path:
        return self.output / "analysis.json"

    def layer_path(self, index: int, stage: str, suffix: str) -> Path:
        """Return the path of a layer and make its folder; `suffix` with its dot."""
        folder = self.output / "layers" / f"{index:02d}-{stage}"
        folder.mkdir(exist_ok=True)  # no parents: a deleted job's folders must not come back
        return folder / f"image{suffix}"

    def stages_before(self, index: int) -> tuple[str, ...]:
        """Return the stages whose layers here come before layer `index`, in their order."""
        folders = sorted((self.output / "layers").glob("[0-9][0-9]-*"))
        return tuple(folder.name[3:] for folder in folders if int(folder.name[:2]) < index)

    def mask_path(self, index: int, stage: str) -> Path:
        """Return the path of a stage's change mask and make its folder."""
        folder = self.output / "masks"
        folder.mkdir(exist_ok=True)
        return folder / f"{index:02d}-{stage}.png"

    def save_pixels(self, index: int, pixels: NDArray[np.uint8]) -> None:
        """Keep the picture after stage `index` for the next one."""
        import numpy as np

        self.work.mkdir(exist_ok=True)
        with atomic_path(self._pixels_path(index)) as temporary, temporary.open("wb") as file:
            np.save(file, pixels, allow_pickle=False)

    def load_pixels(self, index: int, *, mapped: bool = False) -> NDArray[np.uint8]:
        """Return uint8 (H, W, 3) as stage `index` left it.

        `mapped`: not writable, read on first use; see `imaging.tiles`.
        """
        import numpy as np

        path = self._pixels_path(index)
        pixels: NDArray[np.uint8] = np.load(path, "r" if mapped else None, allow_pickle=False)
        return pixels

    def remove_halves(self) -> None:
        """Remove the temporary files that a killed run left beside its results."""
        for path in self.output.rglob(".*-*"):
            if _TEMPORARY.match(path.name):
                path.unlink(missing_ok=True)

    def remove_work(self) -> None:
        """Remove the temporary files of the run."""
        shutil.rmtree(self.work, ignore_errors=True)

    def _pixels_path(self, index: int) -> Path:
        return self.work / f"{index:02d}.npy"


def empty_workspace(image: Path, output: Path, limits: PictureLimits) -> Workspace:
    """Return a workspace below `output`, whose earlier results go only if `image` can be read.

    Raises:
        InvalidOption: the picture is among those results.
        PictureError: the picture cannot be read.
    """
    inspect_picture(image, limits)
    if image.resolve().is_relative_to(output.resolve() / "layers"):
        raise InvalidOption(f"expected a picture outside the results, found {image} among them")
    workspace = Workspace(output=output, work=output / ".work")
    workspace.clear()
    workspace.create()
    return workspace
