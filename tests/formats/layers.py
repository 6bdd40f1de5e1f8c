"""Pictures with metadata that tests make, and what a layer of one keeps."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

from PIL import Image

from artscraper_runner.analysis.inventory import take_inventory
from artscraper_runner.imaging.decode import open_picture
from artscraper_runner.imaging.encode import layer_format, save_layer
from artscraper_runner.options import PictureLimits
from benchmarks.files.format_files import colour_samples, eight

LIMITS = PictureLimits()
IPTC = b"\x1c\x02\x50\x00\x0cAda Lovelace\x1c\x02\x74\x00\x0c(c) 2026 Ada"


def drawn() -> Image.Image:
    return Image.fromarray(eight(colour_samples()))


def small_jpeg() -> bytes:
    buffer = io.BytesIO()
    drawn().resize((32, 24)).save(buffer, "JPEG")
    return buffer.getvalue()


def layer_and_notes(source: Path) -> tuple[Path, set[tuple[str, str]]]:
    picture = open_picture(source, LIMITS)
    how = layer_format(picture, source)
    layer = source.with_name(f"layer{how.suffix}")
    save_layer(picture.pixels, picture, layer, how)
    notes = [note.to_json() for note in take_inventory(picture, source, how)]
    json.dumps(notes, allow_nan=False)
    assert all(
        0 < len(note["detail"]) <= 500 and str(source) not in note["detail"] for note in notes
    )
    return layer, {(note["subject"], note["action"]) for note in notes}


def photoshop_segment(*resources: tuple[int, bytes]) -> bytes:
    content = b"Photoshop 3.0\0"
    for number, value in resources:
        content += b"8BIM" + struct.pack(">HHI", number, 0, len(value)) + value
        content += b"\0" * (len(value) % 2)
    return b"\xff\xed" + struct.pack(">H", len(content) + 2) + content
