"""Write picture files that Pillow cannot write: bit depths, chunks, planes, colour descriptions."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from artscraper_runner.imaging import icc

Samples = NDArray[np.uint16]  # 0..65535
SIDE = (96, 64)  # width, height in px
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
P3 = icc.build_profile(icc.PRIMARIES[12], icc.SRGB_CURVE, "P3")
ADOBE_RGB = icc.build_profile(
    (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06), (563 / 256,), "Adobe RGB"
)
REC2020 = icc.build_profile(icc.PRIMARIES[9], (2.4,), "2020")
GAMMA_18 = icc.build_profile(icc.SRGB_PRIMARIES, (1.8,), "1.8")
LINEAR = icc.build_profile(icc.SRGB_PRIMARIES, icc.LINEAR_CURVE, "linear")


def colour_samples() -> Samples:
    """Return uint16 (H, W, 3): soft ramps in all three channels."""
    width, height = SIDE
    rows, columns = np.mgrid[0:height, 0:width].astype(float)
    red = columns / (width - 1)
    green = rows / (height - 1)
    blue = 0.5 + 0.4 * np.sin(columns / 9) * np.cos(rows / 7)
    return np.round(np.stack([red, green, blue], axis=2) * 65_535).astype(np.uint16)


def grey_samples() -> Samples:
    """Return uint16 (H, W): a ramp with waves on it."""
    return np.round(colour_samples()[..., 0] * 0.7 + colour_samples()[..., 2] * 0.3).astype(
        np.uint16
    )


def alpha_samples() -> Samples:
    """Return uint16 (H, W): opaque at the top, a quarter at the bottom."""
    width, height = SIDE
    ramp = np.linspace(65_535, 16_384, height)
    return np.repeat(np.round(ramp)[:, None], width, axis=1).astype(np.uint16)


def eight(samples: Samples) -> NDArray[np.uint8]:
    """Return 16-bit samples in 8 bits."""
    return np.round(samples / 257).astype(np.uint8)


def grey_profile(gamma: float) -> bytes:
    """Return an ICC profile of grey with a gamma curve (version 2.1)."""
    return _profile(
        b"GRAY",
        b"XYZ ",
        {b"kTRC": b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"},
        b"mntr",
    )


def cmyk_profile() -> bytes:
    """Return an ICC profile of CMYK whose inks let light through in the ratio of `inks`."""
    grid = 7
    inks = np.array([[0.1, 0.9, 0.97], [0.92, 0.12, 0.85], [0.97, 0.93, 0.12], [0.08, 0.08, 0.08]])
    steps = np.linspace(0, 1, grid)
    amounts = np.stack(np.meshgrid(steps, steps, steps, steps, indexing="ij"), axis=-1)
    light = np.prod(1 - amounts[..., None] * (1 - inks), axis=-2).reshape(-1, 3)
    to_xyz = np.array(
        [[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]]
    )
    relative = light @ to_xyz.T / to_xyz.sum(1)
    cube = np.where(relative > 0.008856, np.cbrt(relative), 7.787 * relative + 16 / 116)
    lightness = 116 * cube[:, 1] - 16
    red_green, yellow_blue = 500 * (cube[:, 0] - cube[:, 1]), 200 * (cube[:, 1] - cube[:, 2])
    lab = np.stack([lightness * 2.55, red_green + 128, yellow_blue + 128], axis=1)
    nodes = np.clip(np.round(lab), 0, 255).astype(np.uint8).tobytes()
    identity = struct.pack(">9i", *(65_536 if place % 4 == 0 else 0 for place in range(9)))
    table = b"mft1\0\0\0\0" + bytes((4, 3, grid, 0)) + identity
    table += bytes(range(256)) * 4 + nodes + bytes(range(256)) * 3
    return _profile(b"CMYK", b"Lab ", {b"A2B0": table}, b"prtr")


def _profile(space: bytes, connection: bytes, tags: dict[bytes, bytes], kind: bytes) -> bytes:
    white = struct.pack(">3i", 63_190, 65_536, 54_061)
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 78
    tags = {b"desc": text, b"wtpt": b"XYZ \0\0\0\0" + white, **tags}
    table, content, place = b"", b"", 132 + 12 * len(tags)
    for tag, value in tags.items():
        table += struct.pack(">4sII", tag, place + len(content), len(value))
        content += value + b"\0" * (-len(value) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s",
        place + len(content),
        b"",
        0x02100000,
        kind,
        space,
        connection,
        b"",
        b"acsp",
    )
    return header + b"\0" * 28 + white + b"\0" * 48 + struct.pack(">I", len(tags)) + table + content


# --- PNG -------------------------------------------------------------------------------------


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a PNG chunk with its length and checksum."""
    crc = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def write_png(
    path: Path, samples: Samples, colour_type: int, depth: int, *chunks: tuple[bytes, bytes]
) -> None:
    """Write uint16 samples (H, W) or (H, W, C) at `depth` bits; `chunks` come before the pixels."""
    height, width = samples.shape[:2]
    levels = np.round(samples / 65_535 * (2**depth - 1)).astype(np.uint16).reshape(height, -1)
    if depth == 16:
        rows = levels.astype(">u2").view(np.uint8).reshape(height, -1)
    elif depth == 8:
        rows = levels.astype(np.uint8)
    else:
        bits = (levels[..., None] >> np.arange(depth - 1, -1, -1)) & 1
        rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    content = b"".join(png_chunk(kind, content) for kind, content in chunks)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + content
        + png_chunk(b"IDAT", packed)
        + png_chunk(b"IEND", b"")
    )


def iccp(profile: bytes) -> tuple[bytes, bytes]:
    """Return the chunk iCCP of a profile."""
    return b"iCCP", b"profile\0\0" + zlib.compress(profile)


def chrm(points: icc.Chromaticities) -> tuple[bytes, bytes]:
    """Return the chunk cHRM of chromaticities."""
    return b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in points))


def gama(gamma: float) -> tuple[bytes, bytes]:
    """Return the chunk gAMA; 0.45455 is the usual one."""
    return b"gAMA", struct.pack(">I", round(gamma * 100_000))


# --- TIFF ------------------------------------------------------------------------------------


def write_tiff(
    path: Path,
    samples: NDArray[np.unsignedinteger],
    *,
    photometric: int,
    planar: bool = False,
    big_endian: bool = False,
    extra: int | None = None,
    profile: bytes | None = None,
    rows_per_strip: int | None = None,
    fields: tuple[tuple[int, int, tuple[int, ...]], ...] = (),
) -> None:
    """Write uncompressed samples of 8, 16 or 32 bits, (H, W) or (H, W, C), as they are."""
    order: Literal[">", "<"] = ">" if big_endian else "<"
    height, width = samples.shape[:2]
    planes = samples.reshape(height, width, -1)
    bands, bits = planes.shape[2], samples.dtype.itemsize * 8
    rows = rows_per_strip or height
    layers = [planes[..., [band]] for band in range(bands)] if planar else [planes]
    strips = [
        layer[top : top + rows].astype(samples.dtype.newbyteorder(order)).tobytes()
        for layer in layers
        for top in range(0, height, rows)
    ]
    entries: list[tuple[int, int, tuple[int, ...] | bytes]] = [
        (256, 4, (width,)),
        (257, 4, (height,)),
        (258, 3, (bits,) * bands),
        (259, 3, (1,)),
        (262, 3, (photometric,)),
        (273, 4, tuple(8 + sum(map(len, strips[:place])) for place in range(len(strips)))),
        (277, 3, (bands,)),
        (278, 4, (rows,)),
        (279, 4, tuple(map(len, strips))),
        (284, 3, (2 if planar else 1,)),
        *((tag, kind, values) for tag, kind, values in fields),
    ]
    if extra is not None:
        entries.append((338, 3, (extra,)))
    if profile is not None:
        entries.append((34_675, 7, profile))
    pixels = b"".join(strips)
    path.write_bytes(_tiff_of(order, pixels, sorted(entries, key=lambda entry: entry[0])))


def _tiff_of(
    order: str, pixels: bytes, entries: list[tuple[int, int, tuple[int, ...] | bytes]]
) -> bytes:
    pixels += b"\0" * (len(pixels) % 2)
    directory = 8 + len(pixels)
    values_at = directory + 2 + 12 * len(entries) + 4
    table, values = b"", b""
    for tag, kind, content in entries:
        letter = {3: "H", 4: "I", 7: "B"}[kind]
        data = (
            content
            if isinstance(content, bytes)
            else struct.pack(f"{order}{len(content)}{letter}", *content)
        )
        field = data.ljust(4, b"\0")
        if len(data) > 4:
            field = struct.pack(f"{order}I", values_at + len(values))
            values += data + b"\0" * (len(data) % 2)
        table += struct.pack(f"{order}HHI", tag, kind, len(content)) + field
    head = b"MM\0*" if order == ">" else b"II*\0"
    head += struct.pack(f"{order}I", directory)
    count = struct.pack(f"{order}H", len(entries))
    return head + pixels + count + table + b"\0" * 4 + values


# --- BMP and AVIF ---------------------------------------------------------------------------


def write_bmp(path: Path, samples: Samples, profile: bytes) -> None:
    """Write a BMP with a header of version 5 and an embedded profile, from (H, W, 3) samples.

    Rows are not padded: the width is a multiple of 4.
    """
    pixels = eight(samples)
    height, width = pixels.shape[:2]
    rows = pixels[::-1, :, ::-1].tobytes()
    header = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 24, 0, len(rows), 2835, 2835, 0, 0)
    header += b"\0" * 16 + b"DEBM" + b"\0" * 48
    header += struct.pack("<4I", 4, 124 + len(rows), len(profile), 0)
    content = header + rows + profile
    path.write_bytes(b"BM" + struct.pack("<IHHI", 14 + len(content), 0, 0, 138) + content)


def write_avif(path: Path, samples: Samples, codes: tuple[int, int]) -> None:
    """Write an AVIF of (H, W, 3) samples whose nclx box has these primaries and this transfer."""
    Image.fromarray(eight(samples)).save(path, quality=95, subsampling="4:4:4")
    data = bytearray(path.read_bytes())
    at = data.index(b"nclx") + 4
    data[at : at + 4] = struct.pack(">HH", *codes)
    path.write_bytes(bytes(data))
