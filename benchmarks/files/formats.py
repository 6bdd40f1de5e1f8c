"""Print how far a layer is from its original before a stage changes a pixel, by outside viewers.

    python benchmarks/files/formats.py        # needs the test extra, chromium and ImageMagick

Three scenes, ramps, a photograph and pixel art, in every combination of format, depth, colour type
and colour description are opened and saved again as a layer; a viewer from outside the project
shows both. Differences are of 255, over all pixels and channels in sRGB; bytes are the layer's for
each of the original's.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from artscraper_runner.imaging.decode import open_picture
from artscraper_runner.imaging.encode import layer_format, save_layer
from artscraper_runner.options import PictureLimits
from benchmarks.files.format_combinations import SCENES, Combination, combinations
from benchmarks.files.viewers import Viewers, missing_viewers, open_viewers

MEAN_LIMIT = 1.0


@dataclass(frozen=True)
class Difference:
    """The difference, of 255, between the original and its layer, as a viewer shows both.

    `growth`: the layer's bytes for each of the original's.
    """

    name: str
    mean: float
    largest: int
    growth: float


def compare(combination: Combination, viewers: Viewers, folder: Path) -> Difference:
    """Return how a layer of the combination differs from its original."""
    source = folder / f"original{combination.suffix}"
    combination.write(source)
    picture = open_picture(source, PictureLimits())
    how = layer_format(picture, source)
    layer = folder / f"layer{how.suffix}"
    save_layer(picture.pixels, picture, layer, how)
    before, after = viewers.show(source).astype(int), viewers.show(layer).astype(int)
    change = np.abs(before - after)
    growth = layer.stat().st_size / source.stat().st_size
    return Difference(combination.name, float(change.mean()), int(change.max()), growth)


def _print_summary(rows: list[Difference]) -> None:
    """Print one row for each scene and format."""
    groups: dict[str, list[Difference]] = {}
    for row in rows:
        scene, name = row.name.split(": ", 1)
        groups.setdefault(f"{scene}: {name.replace(',', ' ').split()[0]}", []).append(row)
    print(f"\n{'format':24s} {'files':>6s} {'mean':>6s} {'worst mean':>11s} {'largest':>8s}")
    for name, group in groups.items():
        mean, worst = np.mean([row.mean for row in group]), max(row.mean for row in group)
        largest = max(row.largest for row in group)
        print(f"{name:24s} {len(group):6d} {mean:6.2f} {worst:11.2f} {largest:8d}")


def main() -> int:
    """Print the table; the exit status is 1 if a mean difference exceeds the limit."""
    if missing := missing_viewers():
        sys.exit(f"not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as name, open_viewers(Path(name)) as viewers:
        files = [each for scene in SCENES for each in combinations(scene())]
        rows = [compare(combination, viewers, Path(name)) for combination in files]
    print(f"{'combination':56s} {'mean':>6s} {'largest':>8s} {'bytes':>6s}")
    for row in rows:
        print(f"{row.name:56s} {row.mean:6.2f} {row.largest:8d} {row.growth:6.2f}")
    _print_summary(rows)
    worst = max(rows, key=lambda row: row.mean)
    print(f"\n{len(rows)} combinations; largest mean difference {worst.mean:.2f} ({worst.name}),")
    print(f"mean over all {np.mean([row.mean for row in rows]):.2f} of 255")
    return int(worst.mean > MEAN_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
