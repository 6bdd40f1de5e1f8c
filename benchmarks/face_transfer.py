"""Print whether cloaked faces are still recognised, by dlib and by a recogniser never attacked.

Run `python benchmarks/face_transfer.py --images DIR --models DIR` from the repository root. DIR of
models holds `reid0095/face-reidentification-retail-0095.xml` and
`landmarks-regression-retail-0009.xml` of the Open Model Zoo (Apache-2.0), read by OpenVINO. A face
is recognised if, of all clean faces, its own is the nearest to the cloaked one, and the similarity
is above that of any two people.
"""

from __future__ import annotations

import argparse
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openvino import Core
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from artscraper_runner.faces.detection import Face, find_faces  # noqa: E402
from artscraper_runner.faces.geometry import aligned_face  # noqa: E402
from artscraper_runner.faces.network import face_network  # noqa: E402
from benchmarks.faces import applied, opened, through_jpeg  # noqa: E402

Pixels = NDArray[np.uint8]
PICTURES = (
    "paintings/mona_lisa.jpg",
    "paintings/delaunay_portrait.jpg",
    "photos/kodak_04.png",
)
# Eyes, tip of the nose and corners of the mouth in the aligned face of reid0095, in shares.
_REFERENCE = np.array(
    [(0.3156, 0.4616), (0.6826, 0.4598), (0.5003, 0.6405), (0.3495, 0.8247), (0.6534, 0.8233)]
)
_SIDE, _LANDMARK_SIDE = 128, 48


class Reid0095:
    """face-reidentification-retail-0095: 256 numbers, compared by their cosine."""

    def __init__(self, folder: Path) -> None:
        core = Core()
        self._landmarks, self._network = (
            core.compile_model(folder / f"{name}.xml", "CPU")
            for name in ("landmarks-regression-retail-0009", "face-reidentification-retail-0095")
        )

    def embedding(self, pixels: Pixels, face: Face) -> NDArray[np.float32]:
        """Return the unit embedding of a face in uint8 (H, W, 3)."""
        left, top, width, height = face.box
        image = Image.fromarray(pixels)
        crop = image.crop((left, top, left + width, top + height))
        small = crop.resize((_LANDMARK_SIDE, _LANDMARK_SIDE), Image.Resampling.BILINEAR)
        shares = self._first(self._landmarks, small).reshape(5, 2)
        points = shares * (width, height) + (left, top)
        values = self._first(self._network, _aligned(image, points)).reshape(-1)
        return np.asarray(values / np.linalg.norm(values), np.float32)

    def _first(self, model: Any, image: Image.Image) -> NDArray[np.float32]:
        bgr = np.asarray(image, np.float32)[..., ::-1].transpose(2, 0, 1)[None]
        return np.asarray(model(np.ascontiguousarray(bgr))[0])


def _aligned(image: Image.Image, points: NDArray[np.float64]) -> Image.Image:
    """Return the face aligned so that `points` lie nearest to the reference's."""
    source, target = (values[:, 0] + 1j * values[:, 1] for values in (_REFERENCE * _SIDE, points))
    deviation = source - source.mean()
    turn = np.vdot(deviation, target - target.mean()) / np.vdot(deviation, deviation)
    shift = target.mean() - turn * source.mean()
    matrix = (turn.real, -turn.imag, shift.real, turn.imag, turn.real, shift.imag)
    return image.transform(
        (_SIDE, _SIDE), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )


def by_dlib(pixels: Pixels, face: Face) -> NDArray[np.float32]:
    """Return dlib's embedding as a unit vector, so that both compare by the cosine."""
    values = face_network().embeddings(aligned_face(pixels, face.alignment))[0]
    return np.asarray(values / np.linalg.norm(values), np.float32)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, default=ROOT.parent / "shared" / "images")
    parser.add_argument("--models", type=Path, default=ROOT.parent / "shared" / "models")
    options = parser.parse_args()
    clean = {Path(name).stem: opened(options.images / name) for name in PICTURES}
    clean["astronaut"] = opened(ROOT / "input" / "astronaut.jpg")
    faces = {name: find_faces(pixels)[0] for name, pixels in clean.items()}
    layers = {name: applied("fawkes", pixels, pixels) for name, pixels in clean.items()}
    reid = Reid0095(options.models / "reid0095")
    print("| recogniser | face | cloaked | after JPEG 75 | clean JPEG 75 | other people | still |")
    print("|---|---|---|---|---|---|---|")
    for label, embed in (("dlib (attacked)", by_dlib), ("reid0095", reid.embedding)):
        known = {name: embed(clean[name], faces[name]) for name in clean}
        strangers = max(float(known[a] @ known[b]) for a, b in combinations(known, 2))
        for name, reference in known.items():
            seen = [
                embed(pixels, faces[name])
                for pixels in (layers[name], through_jpeg(layers[name]), through_jpeg(clean[name]))
            ]
            own = [float(each @ reference) for each in seen]
            nearest = max(known, key=lambda other: float(seen[0] @ known[other]))
            still = "recognised" if nearest == name and own[0] > strangers else "not recognised"
            cells = " | ".join(f"{value:.3f}" for value in (*own, strangers))
            print(f"| {label} | {name} | {cells} | {still} |", flush=True)


if __name__ == "__main__":
    main()
