"""Small pictures of every accepted format and of each of its kinds, made here, byte for byte."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

SIZE = (32, 24)  # px: small files, so that a mutation meets something that matters
_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    b' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
    b' xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="48,8N"/></rdf:RDF></x:xmpmeta>'
)


def sample_pictures() -> dict[str, list[bytes]]:
    """Return whole files by the name of their format in `imaging.formats.container.FORMATS`."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    carried: dict[str, Any] = {"exif": _exif(), "icc_profile": profile}
    return {
        "JPEG": _jpegs(carried),
        "PNG": _pngs(carried),
        "WEBP": [
            _encoded("WEBP", quality=60),
            _encoded("WEBP", "RGBA", lossless=True, xmp=_XMP, **carried),
            _encoded("WEBP", save_all=True, append_images=_frames(), duration=[50, 70, 90]),
        ],
        "TIFF": _tiffs(carried),
        "GIF": [
            _encoded("GIF", "P", comment=b"drawn here"),
            _encoded("GIF", "P", save_all=True, append_images=_frames(), loop=0, transparency=3),
            _encoded("GIF", "L", interlace=True),
        ],
        "BMP": [_encoded("BMP", mode) for mode in ("RGB", "P", "1", "RGBA")],
        "AVIF": [
            _encoded("AVIF", quality=40, speed=10),
            _encoded("AVIF", "RGBA", speed=10, xmp=_XMP, **carried),
            _encoded("AVIF", save_all=True, append_images=_frames(), speed=10),
        ],
    }


def _jpegs(carried: dict[str, Any]) -> list[bytes]:
    return [
        _encoded("JPEG", quality=70),
        _encoded("JPEG", progressive=True, restart_marker_rows=1, comment=b"drawn here"),
        _encoded("JPEG", "CMYK"),
        _encoded("JPEG", xmp=_XMP, **carried),
        _encoded("JPEG", "L", dpi=(300, 300), exif=_exif()),
        _encoded("MPO", save_all=True, append_images=_frames()),
    ]


def _pngs(carried: dict[str, Any]) -> list[bytes]:
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "nobody")
    text.add_text("Description", "compressed " * 40, zip=True)
    text.add_itxt("XML:com.adobe.xmp", _XMP.decode())
    deep = np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(SIZE[::-1]) * 80
    buffer = io.BytesIO()
    Image.fromarray(deep).save(buffer, "PNG")
    return [
        _encoded("PNG", "RGBA", pnginfo=text, dpi=(72, 72), **carried),
        buffer.getvalue(),
        _encoded("PNG", "P", transparency=b"\x00\x80\xff"),
        _encoded("PNG", "1"),
        _encoded("PNG", save_all=True, append_images=_frames(), duration=60),
    ]


def _tiffs(carried: dict[str, Any]) -> list[bytes]:
    kinds = ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", None)
    return [
        *(_encoded("TIFF", compression=kind) for kind in kinds),
        _encoded("TIFF", "CMYK"),
        _encoded("TIFF", "RGBA", **carried),
        _encoded("TIFF", "1", compression="group4"),
        _encoded("TIFF", "L", big_tiff=True),
        _encoded("TIFF", save_all=True, append_images=_frames()),
    ]


def _encoded(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    _drawn(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _drawn(mode: str, *, shift: int = 0) -> Image.Image:
    rows, columns = np.mgrid[0 : SIZE[1], 0 : SIZE[0]] + shift
    channels = (rows * 9, columns * 7, rows * columns)
    pixels = np.stack(channels, axis=2).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def _frames() -> list[Image.Image]:
    return [_drawn("RGB", shift=shift) for shift in (5, 9)]


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x013B], exif[0x0112] = "Maker", "Artist", 6
    exif.get_ifd(0x8769)[0x829A] = (1, 125)
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 0.0)
    return exif
