"""Draw picture files with hostile metadata: EXIF, XMP, ICC profiles, PNG chunks, JPEG segments.

The pixels are sound, so that a reader gets as far as the metadata. Fields have wrong types, counts
and orders, packets are cut or hold pictures, profiles and chunks are damaged.
"""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

from hypothesis import strategies as st
from PIL import Image, ImageCms

from artscraper_gateway.tests.fuzz.mutations import STEP, mutated
from artscraper_gateway.tests.fuzz.sample_pictures import sample_pictures
from artscraper_runner.imaging import icc

METADATA_KINDS = ("JPEG metadata", "PNG metadata", "WEBP metadata", "AVIF metadata")
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_TAGS = (0x010E, 0x010F, 0x0110, 0x0112, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x0213)
_MORE_TAGS = (0x8298, 0x9C9B, 0x9C9F, 0x4746, 0x02BC, 0x83BB, 0x0201, 0x0202)
_CAMERA_TAGS = (0x829A, 0x8827, 0x9000, 0x9286, 0x927C, 0xA005, 0xA001, 0xA002, 0xA420)
_GPS_TAGS = (0, 1, 2, 3, 4, 5, 6, 7, 18, 29)
_NAMESPACES = (
    "http://ns.adobe.com/xap/1.0/",
    "http://ns.adobe.com/xap/1.0/g/img/",
    "http://ns.adobe.com/hdr-gain-map/1.0/",
    "http://ns.google.com/photos/1.0/camera/",
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.adobe.com/exif/1.0/",
    "http://ns.adobe.com/tiff/1.0/",
)
_NAMES = (
    "Thumbnails",
    "image",
    "Version",
    "MotionPhoto",
    "Directory",
    "GPSLatitude",
    "Orientation",
)
_CHUNKS = (
    *(b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"tRNS", b"PLTE", b"pHYs", b"tIME", b"bKGD"),
    *(b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"caBX", b"sBIT", b"IDAT"),
)


def _small_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 90, 40)).save(buffer, "JPEG")
    return buffer.getvalue()


_JPEG = _small_jpeg()
_PROFILES = (
    ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    icc.build_profile(icc.PRIMARIES[12], icc.SRGB_CURVE, "P3"),
    icc.build_profile(icc.SRGB_PRIMARIES, icc.LINEAR_CURVE, "linear"),
)
_VALUES = st.sampled_from((b"72dpi\0", _JPEG, b"\xff" * 12, b"\0" * 8, b"1/0", b"")) | st.binary(
    max_size=24
)
_ENTRY = st.tuples(st.integers(0, 14), st.sampled_from((0, 1, 2, 3, 70_000, 2**32 - 1)), _VALUES)


def _directory(tags: tuple[int, ...]) -> st.SearchStrategy[list[tuple[int, Any]]]:
    return st.lists(st.tuples(st.sampled_from(tags), _ENTRY), max_size=6)


@st.composite
def exif_blocks(draw: st.DrawFn) -> bytes:
    """Draw an EXIF block whose fields have any type, count and value."""
    order = draw(st.sampled_from("<>"))
    main = draw(_directory(_TAGS + _MORE_TAGS))
    main.append((0x0112, (3, 1, struct.pack(f"{order}H", draw(st.integers(0, 9))))))
    nested = {0x8769: draw(_directory(_CAMERA_TAGS)), 0x8825: draw(_directory(_GPS_TAGS))}
    head = b"II*\0" if order == "<" else b"MM\0*"
    block = bytearray(head + struct.pack(f"{order}I", 8))
    pointers = _append_directory(block, order, main, tuple(nested))
    for tag, entries in nested.items():
        struct.pack_into(f"{order}I", block, pointers[tag], len(block))
        _append_directory(block, order, entries, ())
    return b"Exif\0\0" + bytes(block)


def _append_directory(
    block: bytearray, order: str, entries: list[tuple[int, Any]], pointers: tuple[int, ...]
) -> dict[int, int]:
    """Append a directory and its values; return where the values of `pointers` stand."""
    rows = sorted(
        [*entries, *((tag, (4, 1, b"\0" * 4)) for tag in pointers)], key=lambda row: row[0]
    )
    start = len(block)
    values = start + 2 + 12 * len(rows) + 4
    table, content, places = struct.pack(f"{order}H", len(rows)), b"", {}
    for number, (tag, (kind, count, value)) in enumerate(rows):
        field = value.ljust(4, b"\0")
        if len(value) > 4:
            field = struct.pack(f"{order}I", values + len(content))
            content += value
        if tag in pointers:
            places[tag] = start + 2 + 12 * number + 8
        table += struct.pack(f"{order}HHI", tag, kind, count) + field
    block += table + b"\0" * 4 + content
    return places


@st.composite
def xmp_packets(draw: st.DrawFn) -> bytes:
    """Draw an XMP packet of properties that matter, in places and with values that may not."""
    values = (base64.b64encode(_JPEG).decode(), "48,8N", "1", "", "\u00e4", "6", "&amp;", "<x/>")
    parts = []
    for _ in range(draw(st.integers(0, 5))):
        namespace = draw(st.sampled_from(_NAMESPACES))
        name, value = draw(st.sampled_from(_NAMES)), draw(st.sampled_from(values))
        if draw(st.booleans()) and "<" not in value:
            parts.append(f'<r:Description xmlns:n="{namespace}" n:{name}="{value}"/>')
        else:
            parts.append(f'<n:{name} xmlns:n="{namespace}">{value}</n:{name}>')
    inner = f"<r:Description>{''.join(parts)}</r:Description>"
    packet = (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="{_RDF}">{inner}</r:RDF></x:xmpmeta>'
    )
    encoded = packet.encode(draw(st.sampled_from(("utf-8", "utf-16", "utf-16-be"))))
    return mutated(encoded, draw(st.lists(STEP, max_size=2)), with_checksums=False)


@st.composite
def profiles(draw: st.DrawFn) -> bytes:
    """Draw an ICC profile, often damaged, or of another colour space than it says."""
    content = bytearray(draw(st.sampled_from(_PROFILES)))
    if draw(st.booleans()):
        content[16:20] = draw(st.sampled_from((b"GRAY", b"CMYK", b"Lab ", b"RGB ", b"4CLR")))
    if draw(st.booleans()):
        content[12:16] = draw(st.sampled_from((b"link", b"abst", b"scnr", b"prtr", b"nmcl")))
    return mutated(bytes(content), draw(st.lists(STEP, max_size=3)), with_checksums=False)


@st.composite
def _png_files(draw: st.DrawFn) -> bytes:
    content = draw(st.sampled_from(sample_pictures()["PNG"]))
    chunks = b""
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(_CHUNKS))
        body = draw(st.binary(max_size=40))
        if kind == b"iCCP" and draw(st.booleans()):
            body = b"p\0\0" + zlib.compress(draw(profiles()))
        elif kind == b"eXIf":
            body = draw(exif_blocks())[6:]
        elif kind == b"iTXt" and draw(st.booleans()):
            body = b"XML:com.adobe.xmp\0\0\0\0\0" + draw(xmp_packets())
        elif kind in (b"tEXt", b"zTXt") and draw(st.booleans()):
            body = b"Raw profile type iptc\0" + draw(st.binary(max_size=60)).hex().encode()
        crc = zlib.crc32(kind + body) ^ draw(st.sampled_from((0, 0, 1)))
        chunks += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)
    place = draw(st.sampled_from((33, len(content) - 12)))
    return content[:place] + chunks + content[place:]


@st.composite
def _jpeg_files(draw: st.DrawFn) -> bytes:
    content = draw(st.sampled_from(sample_pictures()["JPEG"]))
    bodies = st.one_of(
        st.tuples(st.just(0xE1), exif_blocks()),
        st.tuples(st.just(0xE1), xmp_packets().map(b"http://ns.adobe.com/xap/1.0/\0".__add__)),
        st.tuples(st.just(0xE2), profiles().map(b"ICC_PROFILE\0\1\1".__add__)),
        st.tuples(st.just(0xE2), st.binary(max_size=60).map(b"MPF\0II*\0\x08\0\0\0".__add__)),
        st.tuples(st.just(0xED), st.binary(max_size=60).map(b"Photoshop 3.0\0008BIM\4\4".__add__)),
        st.tuples(st.just(0xFE), st.just(_JPEG) | st.binary(max_size=60)),
        st.tuples(st.just(0xE0), st.binary(max_size=20).map(b"JFXX\0".__add__)),
    )
    segments = b"".join(
        b"\xff" + bytes((marker,)) + struct.pack(">H", len(body) + 2) + body
        for marker, body in draw(st.lists(bodies, min_size=1, max_size=4))
        if len(body) < 65_000
    )
    end = len(content) - draw(st.sampled_from((0, 0, 0, 2, 5)))
    return content[:2] + segments + content[2:end]


@st.composite
def _pillow_files(draw: st.DrawFn, kind: str) -> bytes:
    buffer = io.BytesIO()
    image = Image.new(draw(st.sampled_from(("RGB", "RGBA"))), (16, 12), (200, 90, 40))
    options: dict[str, Any] = {"speed": 10} if kind == "AVIF" else {}
    if kind == "WEBP":
        options["exif"] = draw(exif_blocks())
    if draw(st.booleans()):
        options["xmp"] = draw(xmp_packets())
    if draw(st.booleans()):
        options["icc_profile"] = draw(profiles())
    image.save(buffer, kind, **options)
    steps = st.lists(STEP, max_size=2)
    return mutated(buffer.getvalue(), draw(steps), with_checksums=False)


def metadata_files(kind: str) -> st.SearchStrategy[bytes]:
    """Return the strategy for one of METADATA_KINDS."""
    name = kind.partition(" ")[0]
    if name == "PNG":
        return _png_files()
    return _jpeg_files() if name == "JPEG" else _pillow_files(name)
