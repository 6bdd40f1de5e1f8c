"""List the parts of a picture file that layers keep, change and drop."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from artscraper_runner.analysis.metadata.ai_use import c2pa_statement
from artscraper_runner.analysis.steganalysis.lsb_message import as_stored, read_lsb_message
from artscraper_runner.analysis.steganalysis.trailing_bytes import find_trailing_bytes
from artscraper_runner.imaging import iptc
from artscraper_runner.imaging.decode import Picture
from artscraper_runner.imaging.encode import (
    LayerFormat,
    carried_comment,
    carried_exif,
    carried_iptc,
    carried_text,
    is_png_text,
    stripped_xmp,
    why_xmp_is_left_out,
)
from artscraper_runner.imaging.notes import Action, Note, Subject, sort_notes
from artscraper_runner.types import Json

_LOSSLESS_GROWTH = 8
_LOSSY_GROWTH = 1.5
_XMP_DETAILS = {
    Subject.GPS: "GPS fields in XMP are removed.",
    Subject.THUMBNAIL: "A thumbnail in XMP is removed.",
    Subject.GAIN_MAP: "XMP no longer promises a gain map, which layers do not have.",
    Subject.MOTION_PHOTO: "XMP no longer promises a video, which layers do not have.",
    Subject.EMBEDDED_PICTURES: "XMP no longer lists further pictures or depth maps.",
    Subject.XMP: "The extended XMP packet is left out.",
}
_PHOTOSHOP_THUMBNAILS = (0x0409, 0x040C)
# SubIFDs, the resources and layers of Photoshop, GeoTIFF.
_PRIVATE_TIFF_TAGS = (330, 34_377, 37_724, 33_550, 33_922, 34_735)
_GAIN_MAP = re.compile(rb"urn:iso:std:iso:ts:21496|hdrgm:Version|HDRGainMap")
_GAIN_MAP_SEARCH_BYTES = 1 << 20


def take_inventory(
    picture: Picture, source: Path, how: LayerFormat, layers: Sequence[Json] = ()
) -> list[Note]:
    """Return a note for each part of the file at `source` that layers in `how` keep or lose.

    `layers` are the records of the layers; some stages treat parts differently.
    """
    notes = [*picture.container.notes, *picture.colour.notes]
    notes += _of_frames(picture)
    notes += _of_encoding(picture, how)
    notes += carried_exif(picture, how).notes
    notes += _of_xmp(picture, how)
    notes += _of_iptc(picture, how)
    notes += _of_text(picture, how)
    notes += _of_jpeg(picture)
    notes += _of_c2pa(source, layers)
    notes += _of_watermark(picture, layers)
    notes += _of_other_programs(picture)
    notes += _of_the_rest(picture, source)
    return sort_notes(notes)


def growth_note(original_bytes: int, layer_bytes: int, how: LayerFormat) -> Note | None:
    """Return a note if a layer's file is larger than users expect, None if it is not."""
    times = layer_bytes / max(1, original_bytes)
    if times <= (_LOSSLESS_GROWTH if how.lossless else _LOSSY_GROWTH):
        return None
    if how.is_lossless_instead:
        reason = "it is saved without loss, since lossy coding would change it too much"
    elif how.lossless:
        reason = "a change in flat places does not compress without loss"
    elif how.coding.quality is not None or how.coding.divisor > 1:
        reason = "it is coded more finely, since it would lose too much otherwise"
    else:
        reason = "the change is detail that has to be encoded"
    detail = f"The last layer's file is {times:.1f} times as large as the original: {reason}."
    return Note.changed(Subject.FILE_SIZE, detail)


def _of_frames(picture: Picture) -> Iterator[Note]:
    header = picture.header
    if header.frames > 1:
        detail = f"The first of {header.frames} frames is used; the others are left out."
        yield Note.dropped(Subject.ANIMATION, detail)
    avif = picture.container.avif
    if avif is not None and avif.clean_aperture is not None:
        detail = f"Only the clean aperture of {header.width} x {header.height} px is used."
        yield Note.changed(Subject.CROP, detail)


def _of_encoding(picture: Picture, how: LayerFormat) -> Iterator[Note]:
    header = picture.header
    if how.name != header.format:
        detail = f"{header.format} becomes {how.name}, which can hold the change."
        yield Note.changed(Subject.ENCODING, detail)
    elif (coded := _how_coded(picture, how)) is not None:
        yield Note.changed(Subject.ENCODING, coded)
    if header.mode in ("P", "PA"):
        yield Note.changed(Subject.COLOUR_MODEL, "Palette colours become RGB.")
    if picture.coding is not None and picture.coding.progressive:
        yield Note.kept(Subject.PROGRESSIVE, "Layers are progressive, too.")
    png, tiff = picture.container.png, picture.container.tiff
    bits = max(0 if png is None else png.bit_depth, 0 if tiff is None else tiff.bits)
    if bits > 8:
        yield Note.changed(Subject.BIT_DEPTH, f"{bits} bits a channel become 8.")


def _how_coded(picture: Picture, how: LayerFormat) -> str | None:
    """Return how a layer of the original's format is coded; None if it is as the original."""
    if how.is_lossless_instead:
        return "Saved without loss: lossy coding would change the picture by more than 1 of 255."
    if how.lossless:
        return None
    if how.coding.jpeg is None:
        return f"Saved as {how.name} at quality {how.coding.quality}."
    if not picture.is_converted and how.coding.divisor == 1 and how.coding.jpeg == picture.coding:
        return None
    reason = (
        "its colours are converted"
        if picture.is_converted
        else "its own coding would change it by more than 1 of 255 once more"
    )
    return (
        f"Coded with the original's tables divided by {how.coding.divisor:g} and full chroma:"
        f" {reason}."
    )


def _of_xmp(picture: Picture, how: LayerFormat) -> Iterator[Note]:
    if (why := why_xmp_is_left_out(picture, how)) is not None:
        yield Note.dropped(Subject.XMP, why)
        return
    stripped = stripped_xmp(picture)
    if stripped is None:
        return
    for subject in stripped.dropped:
        yield Note.dropped(subject, _XMP_DETAILS.get(subject, "Removed from XMP."))
    if how.name == "BMP":
        yield Note.dropped(Subject.XMP, "BMP holds no XMP.")
    else:
        yield Note.kept(Subject.XMP, "The XMP packet.")


def _of_iptc(picture: Picture, how: LayerFormat) -> Iterator[Note]:
    block = iptc.read_iptc(picture.info, picture.exif)
    if block is not None:
        if carried_iptc(picture) is None or how.name not in ("JPEG", "TIFF", "PNG"):
            yield Note.dropped(Subject.IPTC, "IPTC fields cannot be carried over.")
        else:
            yield Note.kept(Subject.IPTC, "Captions, creators, copyright and keywords.")
        if iptc.has_preview(block):
            detail = "A preview or unreadable rest in IPTC is removed."
            yield Note.dropped(Subject.THUMBNAIL, detail)
    photoshop = picture.info.get("photoshop")
    if isinstance(photoshop, dict) and any(key in photoshop for key in _PHOTOSHOP_THUMBNAILS):
        detail = "The thumbnail in Photoshop's resources is removed."
        yield Note.dropped(Subject.THUMBNAIL, detail)


def _of_text(picture: Picture, how: LayerFormat) -> Iterator[Note]:
    if picture.info.get("comment") and picture.header.format in ("JPEG", "GIF"):
        kept = carried_comment(picture) is not None and how.name in ("JPEG", "PNG")
        action = Action.KEPT if kept else Action.DROPPED
        yield Note(Subject.COMMENT, action, "The comment in the file.")
    if picture.header.format == "PNG":
        carried = carried_text(picture)
        names = [key for key, value in picture.info.items() if is_png_text(key, value)]
        if carried:
            detail = f"Text: {', '.join(sorted(carried)[:20])}."
            yield Note.kept(Subject.TEXT, detail[:500])
        if len(carried) < len(names):
            yield Note.dropped(Subject.THUMBNAIL, "Text that holds a picture is removed.")


def _of_jpeg(picture: Picture) -> Iterator[Note]:
    jpeg = picture.container.jpeg
    if jpeg is None:
        return
    if jpeg.further_pictures > 0:
        detail = f"Further pictures of the MPF index are left out: {jpeg.further_pictures}."
        yield Note.dropped(Subject.EMBEDDED_PICTURES, detail)
    if jpeg.has_extended_xmp:
        yield Note.dropped(Subject.XMP, _XMP_DETAILS[Subject.XMP])
    if jpeg.has_small_picture:
        yield Note.dropped(Subject.THUMBNAIL, "The thumbnail in the JFIF header is removed.")


def _of_c2pa(source: Path, layers: Sequence[Json]) -> Iterator[Note]:
    if not c2pa_statement(source)["manifest"]:
        return
    signed = [layer["metrics"] for layer in layers if layer.get("metrics", {}).get("signed")]
    if any(metrics["ingredient"] for metrics in signed):
        detail = "The C2PA manifest of the original is an ingredient of the new one."
        yield Note.kept(Subject.C2PA, detail)
    elif signed:
        detail = "The C2PA manifest is left out: it contains a picture or a place, or is damaged."
        yield Note.dropped(Subject.C2PA, detail)
    else:
        detail = (
            "The C2PA manifest is left out: it describes the unchanged file. The stage c2pa signs"
            " anew and keeps it as an ingredient."
        )
        yield Note.dropped(Subject.C2PA, detail)


def _of_watermark(picture: Picture, layers: Sequence[Json]) -> Iterator[Note]:
    for metrics in (layer.get("metrics", {}) for layer in layers):
        method = metrics.get("earlier_method")
        if earlier := metrics.get("overwritten"):
            detail = (
                f"The picture carried the watermark {earlier} (method {method}), which the new one"
                " replaces or damages."
            )
            yield Note.changed(Subject.WATERMARK, detail)
        if earlier := metrics.get("kept"):
            detail = (
                f"The picture carries the watermark {earlier} (method {method}) already; it gets"
                " no other."
            )
            yield Note.kept(Subject.WATERMARK, detail)
        if metrics.get("earlier_rings"):
            detail = "The picture seems to carry the rings of the stage fourier-ring already."
            yield Note.kept(Subject.WATERMARK, detail)
    if read_lsb_message(as_stored(picture.pixels, picture.orientation)) is not None:
        detail = "The text in the lowest bits of the picture is lost: every change overwrites it."
        yield Note.dropped(Subject.WATERMARK, detail)


def _of_other_programs(picture: Picture) -> Iterator[Note]:
    container = picture.container
    names: list[str] = []
    if container.png is not None:
        names += container.png.private_chunks
    if container.jpeg is not None:
        names += container.jpeg.other_segments
    if container.tiff is not None:
        names += [str(tag) for tag in _PRIVATE_TIFF_TAGS if tag in picture.exif]
    if names:
        detail = f"Data of other programs is left out: {', '.join(names[:20])}."
        yield Note.dropped(Subject.OTHER_DATA, detail[:500])


def _of_the_rest(picture: Picture, source: Path) -> Iterator[Note]:
    behind = find_trailing_bytes(source, picture.header.format)
    if behind is not None and behind.size:
        detail = f"{behind.size} bytes behind the picture ({behind.kind}) are left out."
        yield Note.dropped(Subject.TRAILING_DATA, detail)
    avif = picture.container.avif
    if (avif is not None and avif.has_gain_map) or _has_gain_map(source):
        detail = "The gain map is left out: layers show the standard range."
        yield Note.dropped(Subject.GAIN_MAP, detail)


def _has_gain_map(source: Path) -> bool:
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _GAIN_MAP.search(data, 0, _GAIN_MAP_SEARCH_BYTES) is not None
