"""Visibility judges from outside the project: Butteraugli, SSIMULACRA2 and FLIP.

None of them is used by a protection stage, and no number of a stage is fitted to their values on
the benchmark's pictures. Butteraugli is Debian's package `butteraugli`; the other two are the
packages `ssimulacra2` and `flip-evaluator` of the extra `test`.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import flip_evaluator
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from ssimulacra2.ssimulacra2 import compute_ssimulacra2

Pixels = NDArray[np.uint8]
_TIMEOUT_S = 600


@dataclass(frozen=True)
class Judge:
    """A judge by name.

    `visibility` maps an original and a changed picture, uint8 (H, W, 3), to a value that is 0 for
    equal pictures and grows with what shows; `as_published` maps that to the judge's own scale.
    """

    name: str
    visibility: Callable[[Pixels, Pixels], float]
    as_published: Callable[[float], float]


def butteraugli(original: Pixels, changed: Pixels) -> float:
    """Return the largest value of Butteraugli's map; below 1 a change is not visible.

    Raises:
        RuntimeError: the command is missing or rejects the pictures.
    """
    with tempfile.TemporaryDirectory() as folder:
        pair = _saved(Path(folder), original, changed)
        try:
            output = subprocess.run(
                ["butteraugli", *pair], check=True, capture_output=True, timeout=_TIMEOUT_S
            ).stdout
        except FileNotFoundError as error:
            raise RuntimeError("expected the command butteraugli (Debian's package)") from error
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"butteraugli failed: {error.stderr.decode()[:200]}") from error
    return float(output.split()[0])


def ssimulacra2(original: Pixels, changed: Pixels) -> float:
    """Return the SSIMULACRA2 score: 100 for equal pictures, 90 not distinguishable, 70 high."""
    with tempfile.TemporaryDirectory() as folder:
        return float(compute_ssimulacra2(*_saved(Path(folder), original, changed)))


def flip(original: Pixels, changed: Pixels) -> float:
    """Return the mean of the LDR-FLIP map, 0 to 1."""
    pair = (pixels.astype(np.float32) / 255 for pixels in (original, changed))
    _, mean, _ = flip_evaluator.evaluate(*pair, "LDR", applyMagma=False)
    return float(mean)


def _saved(folder: Path, original: Pixels, changed: Pixels) -> tuple[str, str]:
    paths = folder / "original.png", folder / "changed.png"
    for path, pixels in zip(paths, (original, changed), strict=True):
        Image.fromarray(pixels).save(path, compress_level=1)
    return str(paths[0]), str(paths[1])


JUDGES = (
    Judge("Butteraugli", butteraugli, lambda value: value),
    Judge(
        "SSIMULACRA2",
        lambda original, changed: 100 - ssimulacra2(original, changed),
        lambda value: 100 - value,
    ),
    Judge("FLIP", flip, lambda value: value),
)
