"""One picture in many combinations of format, depth, colour type and colour description."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.imaging import icc
from benchmarks.files.format_files import (
    ADOBE_RGB,
    GAMMA_18,
    LINEAR,
    P3,
    REC2020,
    SRGB,
    Samples,
    alpha_samples,
    chrm,
    cmyk_profile,
    colour_samples,
    eight,
    gama,
    grey_profile,
    grey_samples,
    iccp,
    write_avif,
    write_bmp,
    write_png,
    write_tiff,
)

_PHOTOGRAPH = Path(__file__).resolve().parents[2] / "input" / "astronaut.jpg"
_PHOTOGRAPH_BOX = (150, 50, 342, 178)  # left, upper, right, lower in px: face, suit, flag


@dataclass(frozen=True)
class Combination:
    """One file: `write` puts it at the path that it gets, whose suffix is `suffix`."""

    name: str
    suffix: str
    write: Callable[[Path], None]


@dataclass(frozen=True)
class Scene:
    """Displayed pixels: uint16 samples, `colour` (H, W, 3), `grey` and `alpha` (H, W)."""

    name: str
    colour: Samples
    grey: Samples
    alpha: Samples

    @cached_property
    def rgb(self) -> Image.Image:
        """The colours in 8 bits."""
        return Image.fromarray(eight(self.colour))

    def image(self, mode: str) -> Image.Image:
        """Return the scene in one of Pillow's modes."""
        if mode == "L":
            return Image.fromarray(eight(self.grey))
        if mode == "RGBA":
            rgba = self.rgb.copy()
            rgba.putalpha(Image.fromarray(eight(self.alpha)))
            return rgba
        if mode == "P":
            return self.rgb.quantize(64)
        return self.rgb if mode == "RGB" else self.rgb.convert(mode)

    def saved(self, name: str, suffix: str, mode: str, **options: Any) -> Combination:
        """Return a combination that Pillow can write."""
        return Combination(name, suffix, lambda path: self.image(mode).save(path, **options))


def ramps() -> Scene:
    """Return soft ramps in all channels, which show errors of colour conversion."""
    return Scene("ramps", colour_samples(), grey_samples(), alpha_samples())


def photograph() -> Scene:
    """Return a photograph with fine detail, which shows losses of coding."""
    with Image.open(_PHOTOGRAPH) as image:
        small = image.convert("RGB").crop(_PHOTOGRAPH_BOX)
    grey = np.asarray(small.convert("L")).astype(np.uint16) * np.uint16(257)
    alpha = np.linspace(65_535, 16_384, len(grey)).round().astype(np.uint16)
    colour = np.asarray(small).astype(np.uint16) * np.uint16(257)
    return Scene("photograph", colour, grey, np.repeat(alpha[:, None], grey.shape[1], axis=1))


def pixel_art() -> Scene:
    """Return large pixels of strong colours, which subsampled chroma loses first."""
    rng = np.random.default_rng(4)
    palette = np.array([(220, 30, 40), (20, 60, 230), (240, 220, 60), (30, 160, 80)], np.uint16)
    blocks = rng.integers(0, len(palette), (22, 32))
    chosen = blocks.repeat(3, axis=0).repeat(3, axis=1)[:64]
    colour = palette[chosen] * np.uint16(257)
    grey = (chosen * 21_845).astype(np.uint16)
    return Scene("pixel art", colour, grey, alpha_samples())


SCENES = (ramps, photograph, pixel_art)


def _jpegs(scene: Scene) -> list[Combination]:
    best = {"quality": 95, "subsampling": 0}
    files = [
        scene.saved("JPEG grey", ".jpg", "L", quality=95),
        scene.saved(
            "JPEG grey, profile gamma 1.8", ".jpg", "L", quality=95, icc_profile=grey_profile(1.8)
        ),
        scene.saved(
            "JPEG grey, profile gamma 2.2", ".jpg", "L", quality=95, icc_profile=grey_profile(2.2)
        ),
        scene.saved("JPEG grey, profile of RGB (P3)", ".jpg", "L", quality=95, icc_profile=P3),
        scene.saved("JPEG 4:4:4", ".jpg", "RGB", **best),
        scene.saved("JPEG 4:2:0", ".jpg", "RGB", quality=90),
        scene.saved("JPEG 4:2:2, quality 75", ".jpg", "RGB", quality=75, subsampling=1),
        scene.saved("JPEG progressive", ".jpg", "RGB", progressive=True, **best),
        scene.saved("JPEG CMYK", ".jpg", "CMYK", quality=95),
        scene.saved("JPEG CMYK, profile", ".jpg", "CMYK", quality=95, icc_profile=cmyk_profile()),
    ]
    for name, profile in _rgb_profiles().items():
        files.append(
            scene.saved(f"JPEG, profile {name}", ".jpg", "RGB", icc_profile=profile, **best)
        )
    return files


def _rgb_profiles() -> dict[str, bytes]:
    return {
        "sRGB": SRGB,
        "P3": P3,
        "Adobe RGB": ADOBE_RGB,
        "2020": REC2020,
        "gamma 1.8": GAMMA_18,
        "linear": LINEAR,
    }


def _pngs(scene: Scene) -> list[Combination]:
    def png(
        name: str, samples: Samples, kind: int, depth: int, *chunks: tuple[bytes, bytes]
    ) -> None:
        files.append(
            Combination(
                f"PNG {name}", ".png", lambda path: write_png(path, samples, kind, depth, *chunks)
            )
        )

    files: list[Combination] = []
    grey, colour, alpha = scene.grey, scene.colour, scene.alpha
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
        files.append(scene.saved(f"PNG palette {bits} bits", ".png", "P", bits=bits))
    files.append(
        Combination(
            "PNG palette, tRNS",
            ".png",
            lambda path: scene.image("P").save(path, transparency=bytes(range(0, 256, 4))),
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
    return files


def _webps_and_others(scene: Scene) -> list[Combination]:
    best = {"quality": 95, "subsampling": "4:4:4"}
    files = [
        scene.saved("WebP lossless", ".webp", "RGB", lossless=True),
        scene.saved("WebP lossless, alpha", ".webp", "RGBA", lossless=True, exact=True),
        scene.saved("WebP lossless, profile P3", ".webp", "RGB", lossless=True, icc_profile=P3),
        scene.saved("WebP lossy", ".webp", "RGB", quality=90),
        scene.saved("WebP lossy, alpha", ".webp", "RGBA", quality=90),
        scene.saved(
            "WebP lossy, profile Adobe RGB", ".webp", "RGB", quality=90, icc_profile=ADOBE_RGB
        ),
        scene.saved("GIF", ".gif", "P"),
        scene.saved("GIF, transparency", ".gif", "P", transparency=3),
        scene.saved("GIF grey", ".gif", "L"),
        scene.saved("BMP RGB", ".bmp", "RGB"),
        scene.saved("BMP palette", ".bmp", "P"),
        scene.saved("BMP grey", ".bmp", "L"),
        scene.saved("BMP 1 bit", ".bmp", "1"),
        scene.saved("AVIF 4:4:4", ".avif", "RGB", **best),
        scene.saved("AVIF 4:2:0", ".avif", "RGB", quality=90, subsampling="4:2:0"),
        scene.saved("AVIF grey", ".avif", "L", quality=95),
        scene.saved("AVIF, alpha", ".avif", "RGBA", **best),
        scene.saved(
            "AVIF, profile P3", ".avif", "RGB", quality=95, subsampling="4:4:4", icc_profile=P3
        ),
    ]
    for name, profile in {"P3": P3, "linear": LINEAR}.items():
        write = partial(write_bmp, samples=scene.colour, profile=profile)
        files.append(Combination(f"BMP, profile {name}", ".bmp", write))
    for name, codes in {"P3": (12, 13), "2020": (9, 1), "709": (1, 1), "linear": (1, 8)}.items():
        write = partial(write_avif, samples=scene.colour, codes=codes)
        files.append(Combination(f"AVIF, nclx {name}", ".avif", write))
    return files


def _tiffs(scene: Scene) -> list[Combination]:
    def tiff(name: str, samples: NDArray[np.unsignedinteger], **options: Any) -> None:
        write = partial(write_tiff, samples=samples, **options)
        files.append(Combination(f"TIFF {name}", ".tif", write))

    files: list[Combination] = []
    grey, colour, alpha = scene.grey, scene.colour, scene.alpha
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
    cmyk = np.asarray(scene.image("CMYK"))
    tiff("CMYK 8 bits", cmyk, photometric=5)
    tiff("CMYK 8 bits, profile", cmyk, photometric=5, profile=cmyk_profile())
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        options = {"quality": 95} if compression == "jpeg" else {}
        files.append(
            scene.saved(
                f"TIFF RGB, {compression}", ".tif", "RGB", compression=compression, **options
            )
        )
    palette = scene.image("P")
    colours = np.zeros((256, 3), int)
    stored = np.array(palette.getpalette()).reshape(-1, 3)
    colours[: len(stored)] = stored
    # Pillow's colour maps are a little too dark: 256 times the 8 bits instead of 257 times.
    colour_map = (320, 3, tuple((colours.T.ravel() * 257).tolist()))
    tiff("palette", np.asarray(palette), photometric=3, fields=(colour_map,))
    files.append(scene.saved("TIFF 1 bit, group 4", ".tif", "1", compression="group4"))
    return files


def combinations(scene: Scene) -> list[Combination]:
    """Return every combination of the table for a scene."""
    files = [*_jpegs(scene), *_pngs(scene), *_webps_and_others(scene), *_tiffs(scene)]
    return [replace(each, name=f"{scene.name}: {each.name}") for each in files]
