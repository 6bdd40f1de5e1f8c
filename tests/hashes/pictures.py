"""Pictures that hashes must agree on: samples, random, flat, tiny, every mode, very wide."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SAMPLES = Path(__file__).resolve().parents[2].parent / "shared" / "images"
SIZES = ((1, 1), (7, 3), (8, 8), (64, 64), (101, 60), (160, 97))  # width, height in px
MODES = ("RGB", "L", "P", "1", "RGBA", "LA")


def sample_pictures() -> list[Path]:
    """Return every PNG and JPEG of the samples; none when they are not there."""
    return sorted(path for path in SAMPLES.rglob("*") if path.suffix in {".png", ".jpg"})


def random_picture(size: tuple[int, int], mode: str, seed: int = 0) -> Image.Image:
    """Return noise; a third of it transparent where `mode` has alpha."""
    random = np.random.default_rng(seed)
    rgba = random.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    rgba[..., 3] *= random.random(rgba.shape[:2]) > 1 / 3
    if mode in ("RGBA", "LA"):
        return Image.fromarray(rgba).convert(mode)
    return Image.fromarray(np.ascontiguousarray(rgba[..., :3])).convert(mode)


def with_margin(size: tuple[int, int], margin: int) -> Image.Image:
    """Return noise in the middle of one grey: most blocks are equal, so medians are ties."""
    pixels = np.full((size[1], size[0], 3), margin, np.uint8)
    middle = slice(size[1] // 3, size[1] // 2), slice(size[0] // 3, size[0] // 2)
    pixels[middle] = np.asarray(random_picture(size, "RGB", 1))[middle]
    return Image.fromarray(pixels)


def made_pictures() -> Iterator[tuple[str, Image.Image]]:
    """Yield the name and the picture of every made one."""
    for size in SIZES:
        for mode in MODES:
            yield f"random {mode} {size}", random_picture(size, mode)
        for grey in (0, 1, 20, 127, 128, 200, 255):
            yield f"flat {grey} {size}", Image.new("RGB", size, (grey, grey, grey))
        for grey in (0, 30, 255):
            yield f"margin {grey} {size}", with_margin(size, grey)
    for height in (150, 180, 200, 240, 400):  # about twice the width the order of passes turns
        yield f"portrait {height}", random_picture((100, height), "RGB")
    yield "wide", random_picture((20_000, 10), "RGB")
    yield "high", random_picture((10, 20_000), "RGB")


def sixteen_bit(size: tuple[int, int]) -> Image.Image:
    """Return 16-bit grey noise (mode I;16), part of it within the lowest 8 bits."""
    random = np.random.default_rng(2)
    values = random.integers(0, 65_536, size[::-1]) >> random.integers(0, 12, size[::-1])
    return Image.fromarray(values.astype(np.uint16))
