"""The whole default job on pictures that divide by zero somewhere: nothing in it is no number."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image

from artscraper_runner.protection_pipeline import protect_picture

pytestmark = pytest.mark.system

TRANSPARENT = (slice(0, 30), slice(0, 40))


def half_transparent(textured: Any) -> Image.Image:
    alpha = np.full(textured.shape[:2], 255, np.uint8)
    alpha[TRANSPARENT] = 0
    return Image.fromarray(np.dstack([textured, alpha]))


def _resized(textured: Any, *, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(textured).resize(size)


PICTURES = {
    "1x1": lambda textured: Image.new("RGB", (1, 1), (200, 30, 90)),
    "8000x20": lambda textured: Image.fromarray(textured[:20]).resize((8000, 20)),
    **{
        f"{width}x{height}": partial(_resized, size=(width, height))
        for width, height in ((3, 900), (8, 400), (16, 400))
    },
    "black": lambda textured: Image.new("RGB", (56, 40)),
    "white": lambda textured: Image.new("RGB", (56, 40), (255, 255, 255)),
    "greyscale": lambda textured: Image.fromarray(textured).convert("L"),
    "flat": lambda textured: Image.new("RGB", (32, 32), (128, 128, 128)),
    "transparent": half_transparent,
}


def refused(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize("kind", PICTURES)
def test_default_job_writes_finite_metrics_and_keeps_hidden_pixels(
    kind: str, textured: Any, tmp_path: Path
) -> None:
    picture = PICTURES[kind](textured)
    picture.save(tmp_path / "art.png")
    protect_picture(tmp_path / "art.png", tmp_path / "out")
    written = [tmp_path / "out" / name for name in ("summary.json", "analysis.json")]
    summary, _ = (json.loads(path.read_text("utf-8"), parse_constant=refused) for path in written)
    layers = {layer["stage"]: layer for layer in summary["layers"]}
    for name in ("photoguard", "mist", "nightshade"):
        metrics = layers[name]["metrics"]
        assert metrics["visibility"] <= 1.2 * metrics["visibility_bound"]
        assert metrics["effective"] or metrics["verdict"] == "no protection beyond noise"
    if kind in {"greyscale", "black", "white", "flat"}:
        final = np.asarray(Image.open(summary["layers"][-1]["path"]).convert("RGB"))
        assert (final == final[..., :1]).all()
    assert all(layers[name]["applied"] for name in ("photoguard", "mist", "nightshade"))
    if picture.mode == "RGBA":
        for layer in layers.values():
            saved = np.asarray(Image.open(layer["path"]))
            assert np.array_equal(saved[TRANSPARENT], np.asarray(picture)[TRANSPARENT])
            assert np.array_equal(saved[..., 3], np.asarray(picture)[..., 3])


def test_protected_picture_is_protected_again_within_the_bound(
    textured: Any, tmp_path: Path
) -> None:
    large = np.tile(textured, (4, 3, 1))
    Image.fromarray(large).save(tmp_path / "art.png")
    first = protect_picture(tmp_path / "art.png", tmp_path / "first")
    again = protect_picture(Path(first["layers"][-1]["path"]), tmp_path / "again")
    final = again["layers"][-1]["metrics"]
    assert final["visibility"] <= 1.2 * final["visibility_bound"]
    earlier = first["layers"][-1]["metrics"]["payload"]
    assert final["overwritten"] == earlier
    assert any(note["subject"] == "watermark" for note in again["notes"])
