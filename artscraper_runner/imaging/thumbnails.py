"""Previews of pictures: WebP or JPEG, upright, in the picture's own colours."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from artscraper_runner.imaging.decode import Picture, open_picture
from artscraper_runner.imaging.files import atomic_path
from artscraper_runner.options import PREVIEW_SIDES, PictureLimits

PREVIEW_FORMATS = {".webp": "WEBP", ".jpg": "JPEG"}
_QUALITY = 82
_GAP = 3  # times the preview's size down to which means are good enough
_BAND_ROWS = 256
_PAPER = (255, 255, 255)  # behind transparent pixels where the format has no alpha


def write_preview(source: Path, destination: Path, side: int, limits: PictureLimits) -> None:
    """Write a copy of `source` with a longer side of at most `side` px.

    The suffix of `destination` decides the format, one of PREVIEW_FORMATS. Decodes: call it where
    a hostile picture can do no harm.

    Raises:
        ValueError: `side` is outside PREVIEW_SIDES, or the suffix is unknown.
        PictureError: `source` cannot be opened.
    """
    smallest, largest = PREVIEW_SIDES
    if not smallest <= side <= largest:
        raise ValueError(f"side: expected {smallest} to {largest} px, got {side}")
    if destination.suffix not in PREVIEW_FORMATS:
        valid = ", ".join(PREVIEW_FORMATS)
        raise ValueError(f"expected a file name that ends in {valid}, got {destination.name!r}")
    kind = PREVIEW_FORMATS[destination.suffix]
    picture = open_picture(source, limits)
    small = _small(picture, side, with_alpha=kind != "JPEG")
    with atomic_path(destination) as temporary:
        small.save(temporary, kind, quality=_QUALITY, icc_profile=picture.colour.profile)


def _small(picture: Picture, side: int, *, with_alpha: bool) -> Image.Image:
    height, width = picture.pixels.shape[:2]
    longest = max(width, height)
    factor = max(1, longest // (_GAP * side))
    size = (width, height)
    if longest > side:
        size = (max(1, round(width * side / longest)), max(1, round(height * side / longest)))
    box = (0, 0, width / factor, height / factor)
    image = _reduced(picture, factor).resize(size, Image.Resampling.LANCZOS, box)
    if picture.alpha is None:
        return image
    image = image.convert("RGBA")
    if with_alpha:
        return image
    paper = Image.new("RGB", size, _PAPER)
    paper.paste(image, mask=image.getchannel("A"))
    return paper


def _reduced(picture: Picture, factor: int) -> Image.Image:
    """Return means of `factor` x `factor` px: RGB, or RGBa, whose colours are multiplied by alpha.

    In bands of rows, since the full size is held as often as it is converted otherwise.
    """
    import numpy as np

    height, width = picture.pixels.shape[:2]
    mode = "RGB" if picture.alpha is None else "RGBa"
    reduced = Image.new(mode, (-(-width // factor), -(-height // factor)))
    rows = factor * max(1, _BAND_ROWS // factor)
    for top in range(0, height, rows):
        band = picture.pixels[top : top + rows]
        if picture.alpha is not None:
            band = np.dstack([band, picture.alpha[top : top + rows]])
        image = Image.fromarray(band)
        reduced.paste(image.convert(mode).reduce(factor), (0, top // factor))
    return reduced
