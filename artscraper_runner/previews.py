"""A small copy of a picture to look at: WebP or JPEG, upright, in the picture's own colours."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from artscraper_runner.images import Picture, open_picture
from artscraper_runner.saving import rgb_profile
from artscraper_runner.types import PREVIEW_SIDES, PictureLimits
from artscraper_runner.workspace import atomic_path

PREVIEW_FORMATS = {".webp": "WEBP", ".jpg": "JPEG"}
_QUALITY = 82
_PAPER = (255, 255, 255)  # behind transparent pixels where the format has no alpha


def write_preview(source: Path, destination: Path, side: int, limits: PictureLimits) -> None:
    """Writes a copy of `source` whose longer side is `side` px, or its own where it is smaller.

    The suffix of `destination` says the format, one of PREVIEW_FORMATS. Decodes: call it where a
    hostile picture can do no harm.

    Raises:
        ValueError: `side` is outside PREVIEW_SIDES, or the suffix is not known.
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
    profile = rgb_profile(picture.info.get("icc_profile"))
    with atomic_path(destination) as temporary:
        small.save(temporary, kind, quality=_QUALITY, icc_profile=profile)


def _small(picture: Picture, side: int, *, with_alpha: bool) -> Image.Image:
    image = Image.fromarray(picture.pixels)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    if image.mode == "RGBA" and not with_alpha:
        paper = Image.new("RGB", image.size, _PAPER)
        paper.paste(image, mask=image.getchannel("A"))
        return paper
    return image
