"""No text of a layer carries a small copy of the picture."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from PIL import ExifTags, Image, PngImagePlugin

from .layers import IPTC, drawn, layer_and_notes, photoshop_segment, small_jpeg


def wrapped_pictures() -> dict[str, bytes]:
    """A small copy of the picture as programs hide it in text."""
    import base64

    encoded = base64.b64encode(small_jpeg())
    return {
        "data URL": b"preview: data:image/jpeg;base64," + encoded,
        "JSON": b'{"size": 32, "thumbnail": "' + encoded + b'"}',
        "raw": b"thumb" + small_jpeg(),
    }


TEXT_PLACES = ("comment", "user comment", "IPTC caption", "PNG text")


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        *((place, kind) for place in TEXT_PLACES for kind in ("data URL", "JSON", "raw")),
        ("XMP", "data URL"),
        ("XMP", "JSON"),
    ],
)
def test_no_text_carries_a_small_copy(tmp_path: Path, place: str, kind: str) -> None:
    content = wrapped_pictures()[kind]
    source = tmp_path / ("a.png" if place == "PNG text" else "a.jpg")
    if place == "comment":
        drawn().save(source, comment=content)
    elif place == "user comment":
        exif = Image.Exif()
        exif[ExifTags.IFD.Exif] = {0x9286: b"ASCII\0\0\0" + content}
        drawn().save(source, exif=exif)
    elif place == "IPTC caption":
        field = b"\x1c\x02\x78" + struct.pack(">H", len(content)) + content
        drawn().save(source)
        plain = source.read_bytes()
        source.write_bytes(plain[:2] + photoshop_segment((0x0404, IPTC + field)) + plain[2:])
    elif place == "PNG text":
        text = PngImagePlugin.PngInfo()
        text.add_text("Description", content)
        drawn().save(source, pnginfo=text)
    else:
        value = content.decode().replace('"', "&quot;")
        packet = (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF'
            ' xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description'
            f' xmlns:p="urn:pen"><p:State>{value}</p:State></r:Description></r:RDF></x:xmpmeta>'
        )
        drawn().save(source, xmp=packet.encode())
    layer, notes = layer_and_notes(source)
    saved = layer.read_bytes()
    assert b"/9j/" not in saved and saved.count(b"\xff\xd8\xff") <= 1
    assert {action for _, action in notes} >= {"dropped"}
    if place == "IPTC caption":
        assert ("iptc", "kept") in notes and b"Ada Lovelace" in saved
