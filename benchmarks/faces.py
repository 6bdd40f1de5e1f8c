"""Print what cloaking reaches on faces, as dlib itself sees the full-size picture as saved.

Run `python benchmarks/faces.py --images DIR` from the repository root, or as a table of
`benchmarks/protection.py`. DIR holds the sample pictures.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from artscraper_runner.attacks.evaluation import random_signs  # noqa: E402
from artscraper_runner.attacks.run_cache import RunCache  # noqa: E402
from artscraper_runner.attacks.transforms import to_picture, to_pixels  # noqa: E402
from artscraper_runner.faces.detection import (  # noqa: E402
    Face,
    faces_in,
    find_faces,
)
from artscraper_runner.faces.network import (  # noqa: E402
    LANDMARKS,
    RECOGNITION,
    face_network,
    model_file,
)
from artscraper_runner.imaging import metrics  # noqa: E402
from artscraper_runner.models.graph import thread_count  # noqa: E402
from artscraper_runner.options import ProtectionOptions  # noqa: E402
from artscraper_runner.pipeline.sight import visibility_bound, within_sight  # noqa: E402
from artscraper_runner.stages import load_stage  # noqa: E402
from artscraper_runner.stages.stage import StageInput  # noqa: E402
from artscraper_runner.types import Controls  # noqa: E402

FACES = ("paintings/mona_lisa.jpg", "paintings/delaunay_portrait.jpg", "photos/kodak_04.png")
LATER = ("photoguard", "mist", "nightshade")
JOB = ("fawkes", *LATER, "invisible-watermark")  # whose stages share what may be seen
BARS = {"cloaked": (0.85, 0.75, 0.75), "final": (0.7, None, None)}
_NO_BARS = (None, None, None)
SECONDS_A_FACE, SECONDS_TO_DETECT = 3.0, 2.0
_cache = RunCache()  # of all tables: faces of a picture are looked for once
Pixels = NDArray[np.uint8]


class Judge:
    """dlib alone: its detector, its landmarks, its alignment and its recogniser."""

    def __init__(self) -> None:
        self._landmarks = dlib.shape_predictor(str(model_file(LANDMARKS)))
        self._network = dlib.face_recognition_model_v1(str(model_file(RECOGNITION)))

    def embedding(self, pixels: Pixels, box: tuple[int, int, int, int]) -> NDArray[np.float64]:
        """Return the embedding of the face nearest to `box`, or of the box itself."""
        found = [face.box for face in find_faces(pixels) if _overlap(face.box, box) > 0.4]
        left, top, width, height = max(found, key=lambda each: _overlap(each, box), default=box)
        pixels = np.ascontiguousarray(pixels)
        rectangle = dlib.rectangle(left, top, left + width - 1, top + height - 1)
        shape = self._landmarks(pixels, rectangle)
        return np.array(self._network.compute_face_descriptor(pixels, shape))

    def moved(self, original: Pixels, changed: Pixels, face: Face) -> list[float]:
        """Return the distance from the original face: as saved, after JPEG 75 and after halving."""
        before = self.embedding(original, face.box)
        half = tuple(side // 2 for side in face.box)
        after = (
            self.embedding(changed, face.box),
            self.embedding(through_jpeg(changed), face.box),
            self.embedding(halved(changed), half),  # type: ignore[arg-type]
        )
        return [float(np.linalg.norm(each - before)) for each in after]


def _overlap(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0, across) * max(0, down)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def through_jpeg(pixels: Pixels) -> Pixels:
    """Return the picture as JPEG of quality 75 shows it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=75)
    return np.array(Image.open(file).convert("RGB"))


def halved(pixels: Pixels) -> Pixels:
    """Return the picture at half the size, by area."""
    size = (pixels.shape[1] // 2, pixels.shape[0] // 2)
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def opened(path: Path) -> Pixels:
    """Return a picture as uint8 (H, W, 3)."""
    return np.array(Image.open(path).convert("RGB"))


def applied(stage: str, before: Pixels, original: Pixels, **options: Any) -> Pixels:
    """Return the layer after `stage` within its bound, saved as PNG and opened again."""
    chosen, loaded = ProtectionOptions(**options), load_stage(stage)
    inputs = StageInput(
        before,
        original,
        None,
        chosen,
        Controls(),
        stages_before=JOB[: JOB.index(stage)],
        visibility=visibility_bound(loaded, chosen, JOB),
        cache=_cache,
    )
    pixels = within_sight(loaded, inputs, loaded.apply(inputs)).pixels
    assert pixels is not None, stage
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return np.array(Image.open(file))


def noisy(original: Pixels, changed: Pixels) -> Pixels:
    """Random signs with the mean square error of `changed`."""
    return to_pixels(random_signs(to_picture(original), like=to_picture(changed)))


def noisy_in_box(original: Pixels, changed: Pixels, face: Face) -> Pixels:
    """Random signs in the face's box with the error that the change has there."""
    left, top, width, height = face.box
    rows, columns = slice(max(0, top), top + height), slice(max(0, left), left + width)
    picture = original.copy()
    picture[rows, columns] = noisy(original[rows, columns], changed[rows, columns])
    return picture


def print_faces(images: Path, strength: str = "medium", preset: str = "default") -> None:
    """Print the distances of each face: cloaked, in the final picture, and by noise."""
    judge = Judge()
    print(f"\n### Faces, {strength}, {preset}, as dlib sees the picture as saved\n")
    print("| picture | layer | moved | after JPEG 75 | after halving | SSIM | PSNR dB | Linf | |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in FACES:
        original = opened(images / name)
        (face,) = find_faces(original)
        cloaked = applied("fawkes", original, original, strength=strength, preset=preset)
        final = cloaked
        for stage in LATER:
            final = applied(stage, final, original, strength=strength)
        layers = {"cloaked": cloaked, "final": final}
        layers["random signs"] = noisy_in_box(original, cloaked, face)
        for layer, pixels in layers.items():
            moved = judge.moved(original, pixels, face)
            is_judged = (strength, preset) == ("medium", "default")
            bars = BARS.get(layer, _NO_BARS) if is_judged else _NO_BARS
            print_row(Path(name).stem, layer, moved, bars, original, pixels)


def print_row(
    name: str,
    layer: str,
    moved: list[float],
    bars: tuple[float | None, ...],
    original: Pixels,
    pixels: Pixels,
) -> None:
    """Print one line of the table, with the target value."""
    wanted = [(value, bar) for value, bar in zip(moved, bars, strict=True) if bar is not None]
    verdict = "reached" if all(value >= bar for value, bar in wanted) else "MISSED"
    quality = (metrics.ssim(original, pixels), metrics.psnr(original, pixels))
    cells = [f"{value:.3f}" for value in (*moved, *quality) if value is not None]
    cells += [str(metrics.linf(original, pixels)), verdict if wanted else ""]
    print(f"| {name} | {layer} | " + " | ".join(cells) + " |", flush=True)


def print_times(images: Path) -> None:
    """Print wall and processor seconds of a face and of detection in 24 megapixels."""
    print(f"\n### Times of faces, {thread_count()} threads, {os.cpu_count()} cores\n")
    print(f"load average before: {os.getloadavg()[0]:.1f}\n")
    print("| what | seconds | of processors | at most | |\n|---|---|---|---|---|")
    face_network()
    for name in FACES:
        original = opened(images / name)
        faces_in(original, _cache)  # is remembered, so that it is not counted
        taken = seconds(lambda: applied("fawkes", original, original))  # noqa: B023
        print_time(f"a face, {Path(name).stem}", taken, SECONDS_A_FACE)
    large = np.array(Image.open(images / FACES[1]).convert("RGB").resize((4000, 6000)))
    taken = min(seconds(lambda: find_faces(large)) for _ in range(3))
    print_time("looking for faces, 4000x6000", taken, SECONDS_TO_DETECT)


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall time of `work`, and that of all its threads on processors."""
    begun, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begun, time.process_time() - used


def print_time(what: str, taken: tuple[float, float], bar: float) -> None:
    """Print one line of the table of times."""
    verdict = "reached" if taken[0] <= bar else "MISSED"
    print(f"| {what} | {taken[0]:.3f} | {taken[1]:.3f} | {bar} | {verdict} |", flush=True)


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "images")
    options = parser.parse_args()
    print_faces(options.images)
    for strength in ("low", "high"):
        print_faces(options.images, strength)
    print_faces(options.images, "medium", "published")
    print_times(options.images)


if __name__ == "__main__":
    main()
