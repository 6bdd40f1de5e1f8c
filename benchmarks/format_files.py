"""Write one picture in many combinations of format, depth, colour type and colour description.

Files that Pillow cannot write (bit depths, chunks, planes) are put together byte by byte.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

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


@dataclass(frozen=True)
class Combination:
    """One file: `write` puts it at the path that it gets, whose suffix is `suffix`."""

    name: str
    suffix: str
    write: Callable[[Path], None]


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


# --- the table -------------------------------------------------------------------------------


def _image(mode: str) -> Image.Image:
    if mode == "L":
        return Image.fromarray(eight(grey_samples()))
    if mode == "LA":
        return Image.fromarray(np.dstack([eight(grey_samples()), eight(alpha_samples())]), "LA")
    rgb = Image.fromarray(eight(colour_samples()))
    if mode == "RGBA":
        rgb.putalpha(Image.fromarray(eight(alpha_samples())))
        return rgb
    if mode == "P":
        return rgb.quantize(64)
    return rgb if mode == "RGB" else rgb.convert(mode)


def _saved(name: str, suffix: str, mode: str, **options: Any) -> Combination:
    return Combination(name, suffix, lambda path: _image(mode).save(path, **options))


def _jpegs() -> list[Combination]:
    best = {"quality": 95, "subsampling": 0}
    found = [
        _saved("JPEG grey", ".jpg", "L", quality=95),
        _saved(
            "JPEG grey, profile gamma 1.8", ".jpg", "L", quality=95, icc_profile=grey_profile(1.8)
        ),
        _saved(
            "JPEG grey, profile gamma 2.2", ".jpg", "L", quality=95, icc_profile=grey_profile(2.2)
        ),
        _saved("JPEG grey, profile of RGB (P3)", ".jpg", "L", quality=95, icc_profile=P3),
        _saved("JPEG 4:4:4", ".jpg", "RGB", **best),
        _saved("JPEG 4:2:0", ".jpg", "RGB", quality=90),
        _saved("JPEG 4:2:2, quality 75", ".jpg", "RGB", quality=75, subsampling=1),
        _saved("JPEG progressive", ".jpg", "RGB", progressive=True, **best),
        _saved("JPEG CMYK", ".jpg", "CMYK", quality=95),
        _saved("JPEG CMYK, profile", ".jpg", "CMYK", quality=95, icc_profile=cmyk_profile()),
    ]
    for name, profile in _rgb_profiles().items():
        found.append(_saved(f"JPEG, profile {name}", ".jpg", "RGB", icc_profile=profile, **best))
    return found


def _rgb_profiles() -> dict[str, bytes]:
    return {
        "sRGB": SRGB,
        "P3": P3,
        "Adobe RGB": ADOBE_RGB,
        "2020": REC2020,
        "gamma 1.8": GAMMA_18,
        "linear": LINEAR,
    }


def _pngs() -> list[Combination]:
    def png(
        name: str, samples: Samples, kind: int, depth: int, *chunks: tuple[bytes, bytes]
    ) -> None:
        found.append(
            Combination(
                f"PNG {name}", ".png", lambda path: write_png(path, samples, kind, depth, *chunks)
            )
        )

    found: list[Combination] = []
    grey, colour, alpha = grey_samples(), colour_samples(), alpha_samples()
    for depth in (1, 2, 4, 8, 16):
        png(f"grey {depth} bits", grey, 0, depth)
    for depth in (8, 16):
        png(f"grey and alpha {depth} bits", np.dstack([grey, alpha]), 4, depth)
        png(f"RGB {depth} bits", colour, 2, depth)
        png(f"RGBA {depth} bits", np.dstack([colour, alpha]), 6, depth)
    for depth, key in ((2, 1), (4, 5), (8, 100), (16, int(grey[5, 5]))):
        png(f"grey {depth} bits, tRNS", grey, 0, depth, (b"tRNS", struct.pack(">H", key)))
    red, green, blue = (int(value) for value in eight(colour)[5, 5])
    png("RGB 8 bits, tRNS", colour, 2, 8, (b"tRNS", struct.pack(">3H", red, green, blue)))
    for bits in (1, 2, 4, 8):
        found.append(_saved(f"PNG palette {bits} bits", ".png", "P", bits=bits))
    found.append(
        Combination(
            "PNG palette, tRNS",
            ".png",
            lambda path: _image("P").save(path, transparency=bytes(range(0, 256, 4))),
        )
    )
    for name, profile in _rgb_profiles().items():
        png(f"RGB 8 bits, iCCP {name}", colour, 2, 8, iccp(profile))
    png("RGB 16 bits, iCCP P3", colour, 2, 16, iccp(P3))
    for name, chunks in {
        "sRGB": ((b"sRGB", b"\0"),),
        "gAMA 0.45455": (gama(0.45455),),
        "gAMA 0.55556": (gama(0.55556),),
        "gAMA 1": (gama(1.0),),
        "gAMA and cHRM of sRGB": (gama(0.45455), chrm(icc.SRGB_PRIMARIES)),
        "gAMA and cHRM of P3": (gama(0.45455), chrm(icc.PRIMARIES[12])),
        "cICP P3": ((b"cICP", bytes((12, 13, 0, 1))),),
        "cICP 2020": ((b"cICP", bytes((9, 1, 0, 1))),),
        "cICP linear": ((b"cICP", bytes((1, 8, 0, 1))),),
    }.items():
        png(f"RGB 8 bits, {name}", colour, 2, 8, *chunks)
    png("grey 8 bits, gAMA 1", grey, 0, 8, gama(1.0))
    png("grey 8 bits, profile gamma 1.8", grey, 0, 8, iccp(grey_profile(1.8)))
    png("grey 16 bits, profile gamma 1.8", grey, 0, 16, iccp(grey_profile(1.8)))
    png(
        "grey and alpha, profile gamma 1.8", np.dstack([grey, alpha]), 4, 8, iccp(grey_profile(1.8))
    )
    return found


def _webps_and_others() -> list[Combination]:
    found = [
        _saved("WebP lossless", ".webp", "RGB", lossless=True),
        _saved("WebP lossless, alpha", ".webp", "RGBA", lossless=True, exact=True),
        _saved("WebP lossless, profile P3", ".webp", "RGB", lossless=True, icc_profile=P3),
        _saved("WebP lossy", ".webp", "RGB", quality=90),
        _saved("WebP lossy, alpha", ".webp", "RGBA", quality=90),
        _saved("WebP lossy, profile Adobe RGB", ".webp", "RGB", quality=90, icc_profile=ADOBE_RGB),
        _saved("GIF", ".gif", "P"),
        _saved("GIF, transparency", ".gif", "P", transparency=3),
        _saved("GIF grey", ".gif", "L"),
        _saved("BMP RGB", ".bmp", "RGB"),
        _saved("BMP palette", ".bmp", "P"),
        _saved("BMP grey", ".bmp", "L"),
        _saved("BMP 1 bit", ".bmp", "1"),
        _saved("AVIF 4:4:4", ".avif", "RGB", quality=95, subsampling="4:4:4"),
        _saved("AVIF 4:2:0", ".avif", "RGB", quality=90, subsampling="4:2:0"),
        _saved("AVIF grey", ".avif", "L", quality=95),
        _saved("AVIF, alpha", ".avif", "RGBA", quality=95, subsampling="4:4:4"),
        _saved("AVIF, profile P3", ".avif", "RGB", quality=95, subsampling="4:4:4", icc_profile=P3),
    ]
    for name, profile in {"P3": P3, "linear": LINEAR}.items():
        write = partial(write_bmp, profile=profile)
        found.append(Combination(f"BMP, profile {name}", ".bmp", write))
    for name, codes in {"P3": (12, 13), "2020": (9, 1), "709": (1, 1), "linear": (1, 8)}.items():
        found.append(Combination(f"AVIF, nclx {name}", ".avif", partial(_write_avif, codes=codes)))
    return found


def write_bmp(path: Path, profile: bytes) -> None:
    """Write a BMP with a header of version 5 and an embedded profile."""
    pixels = eight(colour_samples())
    height, width = pixels.shape[:2]
    rows = pixels[::-1, :, ::-1].tobytes()  # a width of 96 px needs no padding
    header = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 24, 0, len(rows), 2835, 2835, 0, 0)
    header += b"\0" * 16 + b"DEBM" + b"\0" * 48
    header += struct.pack("<4I", 4, 124 + len(rows), len(profile), 0)
    content = header + rows + profile
    path.write_bytes(b"BM" + struct.pack("<IHHI", 14 + len(content), 0, 0, 138) + content)


def _write_avif(path: Path, *, codes: tuple[int, int]) -> None:
    _image("RGB").save(path, quality=95, subsampling="4:4:4")
    data = bytearray(path.read_bytes())
    at = data.index(b"nclx") + 4
    data[at : at + 4] = struct.pack(">HH", *codes)
    path.write_bytes(bytes(data))


def _tiffs() -> list[Combination]:
    def tiff(name: str, samples: NDArray[np.unsignedinteger], **options: Any) -> None:
        write = partial(write_tiff, samples=samples, **options)
        found.append(Combination(f"TIFF {name}", ".tif", write))

    found: list[Combination] = []
    grey, colour, alpha = grey_samples(), colour_samples(), alpha_samples()
    rgba = np.dstack([colour, alpha])
    for big in (False, True):
        end = ", big-endian" if big else ""
        tiff(f"grey 16 bits{end}", grey, photometric=1, big_endian=big)
        tiff(f"grey 16 bits, min is white{end}", 65_535 - grey, photometric=0, big_endian=big)
        tiff(f"RGB 16 bits{end}", colour, photometric=2, big_endian=big)
        tiff(f"RGB 16 bits, planes{end}", colour, photometric=2, planar=True, big_endian=big)
        tiff(f"RGBA 16 bits{end}", rgba, photometric=2, extra=2, big_endian=big)
        tiff(
            f"RGBA 16 bits, planes{end}", rgba, photometric=2, extra=2, planar=True, big_endian=big
        )
    tiff("grey 8 bits", eight(grey), photometric=1)
    tiff("grey 8 bits, min is white", 255 - eight(grey), photometric=0)
    tiff("RGB 8 bits", eight(colour), photometric=2)
    tiff(
        "RGB 8 bits, planes in strips", eight(colour), photometric=2, planar=True, rows_per_strip=7
    )
    tiff("RGB 16 bits, planes in strips", colour, photometric=2, planar=True, rows_per_strip=7)
    tiff("RGBA 8 bits", eight(rgba), photometric=2, extra=2)
    for bits, values in ((8, eight(rgba)), (8, np.dstack([eight(grey), eight(alpha)]))):
        name = "RGBA" if values.shape[2] == 4 else "grey and alpha"
        multiplied = values.copy()
        multiplied[..., :-1] = np.round(values[..., :-1] * (values[..., -1:] / 255))
        kind = 2 if values.shape[2] == 4 else 1
        tiff(f"{name} {bits} bits, multiplied alpha", multiplied, photometric=kind, extra=1)
    tiff("RGB 8 bits, profile P3", eight(colour), photometric=2, profile=P3)
    tiff("RGB 16 bits, planes, profile P3", colour, photometric=2, planar=True, profile=P3)
    tiff("grey 8 bits, profile gamma 1.8", eight(grey), photometric=1, profile=grey_profile(1.8))
    cmyk = np.asarray(_image("CMYK"))
    tiff("CMYK 8 bits", cmyk, photometric=5)
    tiff("CMYK 8 bits, profile", cmyk, photometric=5, profile=cmyk_profile())
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        options = {"quality": 95} if compression == "jpeg" else {}
        found.append(
            _saved(f"TIFF RGB, {compression}", ".tif", "RGB", compression=compression, **options)
        )
    found.append(_saved("TIFF palette", ".tif", "P"))
    found.append(_saved("TIFF 1 bit, group 4", ".tif", "1", compression="group4"))
    return found


def combinations() -> list[Combination]:
    """Return every combination of the table."""
    return [*_jpegs(), *_pngs(), *_webps_and_others(), *_tiffs()]
