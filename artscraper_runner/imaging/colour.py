"""Turn a decoded picture into 8-bit RGB and say how those pixels are meant.

All colour management of the runner happens here. A picture in an RGB space keeps its numbers, and
the description of that space goes with them (ICC profile; the PNG chunks of a PNG). Whatever else
there is becomes sRGB: CMYK and LAB through their profile, grey through its own (and stays R = G =
B). Linear light, in which a small change would be a large one to the eye, gets the curve of sRGB.
Spaces without a faithful form in 8 bits (PQ, HLG) are refused.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from artscraper_runner.errors import BrokenPicture, UnsupportedVariant
from artscraper_runner.imaging import icc
from artscraper_runner.imaging.notes import Action, Note, Subject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artscraper_runner.imaging.formats.png import PngFile

    Plane = NDArray[np.uint8]

_BAND_ROWS = 16
_FAR_FROM_PERCEPTUAL = 32  # of 255; a gamma of 1.8 is 14 away from sRGB, linear light 61
_SRGB_GAMMA = 45_455  # what PNG writers mean by sRGB
_PNG_UNIT = 100_000
# Profiles that can describe pictures of a mode: grey values are RGB values, too.
_SPACES = {"L": ("GRAY", "RGB "), "CMYK": ("CMYK",), "LAB": ("Lab ",)}


@dataclass(frozen=True)
class Colour:
    """The colour space of a picture's values. `profile` None: sRGB.

    `png_chunks` say the same in the words of the PNG that the picture came from.
    """

    profile: bytes | None = None
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Rendered:
    """8-bit pixels, uint8 (H, W, 3), alpha (H, W) or None, and how they are meant.

    `is_converted`: they are other numbers than the decoder's, in sRGB.
    """

    pixels: Plane
    alpha: Plane | None
    colour: Colour
    is_grey: bool
    is_converted: bool


def declared_by_profile(profile: object) -> Colour:
    """Return the meaning that an embedded ICC profile gives, as far as it can be used."""
    if not profile:
        return Colour()
    opened = icc.open_profile(profile)
    if opened is None:
        return Colour(notes=(_ignored("it cannot be read"),))
    return Colour(profile=opened.content)


def without_whole_profile() -> Colour:
    """Return the meaning of a file that holds parts of a profile, which viewers ignore."""
    return Colour(notes=(_ignored("parts of it are missing"),))


def declared_by_png(png: PngFile) -> Colour:
    """Return the meaning of cICP, sRGB, gAMA and cHRM, the first of which wins.

    Raises:
        UnsupportedVariant: the picture is HDR, or its transfer function is unknown.
    """
    chunks = dict(png.colour_chunks)
    if (cicp := chunks.get(b"cICP")) is not None:
        return replace(declared_by_cicp(cicp[0], cicp[1]), png_chunks=png.colour_chunks)
    as_they_are = Colour(png_chunks=png.colour_chunks)
    if not chunks or b"sRGB" in chunks:
        return as_they_are
    gamma = int.from_bytes(chunks.get(b"gAMA", b""), "big") or _SRGB_GAMMA
    curve = icc.SRGB_CURVE if b"gAMA" not in chunks else (_PNG_UNIT / gamma,)
    points = icc.SRGB_PRIMARIES
    if (chrm := chunks.get(b"cHRM")) is not None:
        numbers = [int.from_bytes(chrm[place : place + 4], "big") for place in range(0, 32, 4)]
        points = tuple(number / _PNG_UNIT for number in numbers)
    is_srgb = max(abs(a - b) for a, b in zip(points, icc.SRGB_PRIMARIES, strict=True)) < 0.002
    if is_srgb and abs(gamma - _SRGB_GAMMA) < 500:
        return as_they_are
    try:
        profile = icc.open_profile(icc.build_profile(points, curve, "gAMA and cHRM"))
    except (ValueError, ArithmeticError, struct.error):
        profile = None
    if profile is None:
        return Colour(notes=(_ignored("gAMA and cHRM describe no colour space"),))
    return Colour(profile.content, png.colour_chunks)


def declared_by_cicp(primaries: int, transfer: int) -> Colour:
    """Return the meaning of code points of ITU-T H.273, as PNG and AVIF have them.

    Raises:
        UnsupportedVariant: the picture is HDR, or the code points are unknown.
    """
    if transfer in icc.HDR_CURVES:
        raise UnsupportedVariant(
            f"this picture is HDR ({icc.HDR_CURVES[transfer]}), which 8 bits a channel cannot"
            " hold; save it as SDR"
        )
    curve, points = icc.CURVES.get(transfer), icc.PRIMARIES.get(primaries)
    if curve is None or points is None:
        raise UnsupportedVariant(
            f"unknown colours (CICP primaries {primaries}, transfer {transfer}); save the picture"
            " in sRGB or with an ICC profile"
        )
    if points == icc.SRGB_PRIMARIES and curve == icc.SRGB_CURVE:
        return Colour()
    name = f"CICP {primaries}/{transfer}"
    return Colour(icc.build_profile(points, curve, name))


def render(
    image: Image.Image,
    declared: Colour,
    *,
    min_is_white: bool = False,
    grey_tolerance: int = 0,
) -> Rendered:
    """Return the 8-bit RGB pixels of a decoded picture in any mode of Pillow's.

    `min_is_white`: 16-bit samples grow darker, which Pillow reverses for 8 bits only. A picture
    whose channels differ by no more than `grey_tolerance` is grey.

    Raises:
        UnsupportedVariant: 32 bits a channel.
        BrokenPicture: the pixels cannot be converted.
    """
    image, alpha, is_exact = _without_alpha(image, min_is_white=min_is_white)
    notes = list(declared.notes)
    if not is_exact:
        notes.append(Note.changed(Subject.BIT_DEPTH, "16 bits a channel become 8."))
    profile = icc.open_profile(declared.profile)
    if profile is not None and (reason := _why_unfit(profile, image.mode)):
        notes.append(_ignored(reason))
        profile, declared = None, replace(declared, profile=None)
    try:
        rendered = _convert(image, profile)
    except (OSError, ValueError, TypeError) as error:
        if profile is None:
            raise BrokenPicture(f"pixels of mode {image.mode} cannot be converted") from error
        notes.append(_ignored("the colours cannot be converted through it"))
        rendered, declared = _convert(image, None), replace(declared, profile=None)
    pixels, kept_profile, note = rendered
    if note is not None:
        notes.append(note)
    is_converted = note is not None and note.action is Action.CHANGED
    colour = Colour(kept_profile, () if is_converted else declared.png_chunks, tuple(notes))
    is_grey = _is_grey(image.mode, pixels, alpha, grey_tolerance)
    return Rendered(pixels, alpha, colour, is_grey, is_converted)


def _convert(
    image: Image.Image, profile: icc.Profile | None
) -> tuple[Plane, bytes | None, Note | None]:
    """Return uint8 (H, W, 3), its remaining profile, and the changes."""
    import numpy as np

    if image.mode in ("CMYK", "LAB"):
        note = Note.changed(Subject.COLOUR_MODEL, f"{image.mode} is converted to sRGB.")
        return _array(_through(image, profile)), None, note
    if image.mode == "L":
        levels = _grey_levels(profile)
        pixels = _array(image)[..., 0]
        if levels is not None:
            pixels = levels[pixels]
        pixels = np.repeat(pixels[..., None], 3, axis=2)
        if levels is None:
            return pixels, profile.content if profile else None, _kept(profile)
        detail = "Grey is converted to the sRGB curve through its profile."
        return pixels, None, Note.changed(Subject.COLOUR_PROFILE, detail)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    if profile is None or not (profile.is_of_device and _is_linear(profile)):
        return _array(rgb), profile.content if profile else None, _kept(profile)
    target = icc.with_srgb_curve(profile)
    detail = f"Linear light is converted to {'sRGB' if target is None else 'the curve of sRGB'}."
    note = Note.changed(Subject.COLOUR_PROFILE, detail)
    return _array(_through(rgb, profile, target)), target, note


def _without_alpha(
    image: Image.Image, *, min_is_white: bool
) -> tuple[Image.Image, Plane | None, bool]:
    """Return the picture in L, RGB, CMYK or LAB, alpha, and whether its samples had 8 bits."""
    import numpy as np

    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        key = image.info.get("transparency")
        alpha = np.where(values == key, 0, 255).astype(np.uint8) if isinstance(key, int) else None
        grey = ((values.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)
        return Image.fromarray(255 - grey if min_is_white else grey), alpha, False
    if image.mode in ("I", "F"):
        raise UnsupportedVariant(
            "expected 8 or 16 bits a channel, found 32; save the picture with 16 or fewer"
        )
    straight = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}.get(image.mode)
    if straight is not None:
        image = image.convert(straight)
    if image.mode in ("LA", "RGBA"):
        colours = image.getchannel("L") if image.mode == "LA" else image  # alpha: see `_array`
        return colours, _array(image.getchannel("A"))[..., 0], True
    if "transparency" in image.info and image.mode in ("1", "L", "P", "RGB"):
        rgba = image.convert("RGBA")
        colours = image.convert("L") if image.mode in ("1", "L") else rgba.convert("RGB")
        return colours, _array(rgba.getchannel("A"))[..., 0], True
    if image.mode in ("L", "RGB", "CMYK", "LAB"):
        return image, None, True
    return image.convert("L" if image.mode == "1" else "RGB"), None, True


def _why_unfit(profile: icc.Profile, mode: str) -> str:
    """Return why the profile cannot describe a picture of this mode; empty if it can.

    One of a wrong class stays with RGB numbers: viewers differ on it, and see the layer as they
    see the original.
    """
    if profile.space not in _SPACES.get(mode, ("RGB ",)):
        return f"it describes {profile.space.strip()}, the picture is {mode}"
    if not profile.is_of_device and mode not in ("RGB", "RGBA"):
        return "its class is not one of pictures"
    return ""


def _through(
    image: Image.Image, profile: icc.Profile | None, target: bytes | None = None
) -> Image.Image:
    """Convert through the profile to `target`, None: sRGB; without one as if inks were ideal.

    Raises:
        ValueError: the profile cannot be used.
    """
    from PIL import ImageCms

    if profile is None and image.mode != "LAB":
        return image.convert("RGB")
    if profile is None or image.mode == "LAB":
        source: object = ImageCms.createProfile("LAB")
    else:
        source = BytesIO(profile.content)
    if image.mode == "RGBA":
        image = image.convert("RGB")
    into: object = ImageCms.createProfile("sRGB") if target is None else BytesIO(target)
    try:
        converted = ImageCms.profileToProfile(
            image,
            source,  # type: ignore[arg-type]
            into,  # type: ignore[arg-type]
            outputMode="RGB",
            # The perceptual intent moves the black point, which browsers leave where it is: black
            # ink would be up to 30 of 255 darker than they show it.
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            # Little-CMS' table for CMYK is off by up to 17 of 255 in the dark; without it a
            # megapixel takes 0.2 s longer.
            flags=ImageCms.Flags.NOOPTIMIZE if image.mode == "CMYK" else ImageCms.Flags.NONE,
        )
    except ImageCms.PyCMSError as error:
        raise ValueError("the profile cannot be used") from error
    if converted is None:
        raise ValueError("no conversion")
    return converted


def _grey_levels(profile: icc.Profile | None) -> Plane | None:
    """Return the sRGB level of each of 256 grey levels; None if they are the same numbers."""
    import numpy as np

    if profile is None:
        return None
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    if profile.space == "GRAY":
        return _array(_through(ramp, profile))[0, :, 1]
    if not _is_linear(profile):
        return None
    return _array(_through(ramp.convert("RGB"), profile))[0, :, 1]


def _is_linear(profile: icc.Profile) -> bool:
    """Return whether equal steps of the numbers are far from equal steps to the eye."""
    import numpy as np

    grey = np.repeat(np.arange(0, 256, 16, dtype=np.uint8)[None, :, None], 3, axis=2)
    shown = _array(_through(Image.fromarray(grey), profile)).astype(int)
    return bool(np.abs(shown.mean(2) - grey.mean(2)).max() > _FAR_FROM_PERCEPTUAL)


def _is_grey(mode: str, pixels: Plane, alpha: Plane | None, tolerance: int) -> bool:
    """Return whether R = G = B, up to a tolerance, wherever the picture can be seen."""
    import numpy as np

    if mode == "L":
        return True
    for top in range(0, len(pixels), 256):
        rows = pixels[top : top + 256]
        coloured = rows.max(2) - rows.min(2) > tolerance
        if alpha is not None:
            coloured &= alpha[top : top + 256] > 0
        if np.any(coloured):
            return False
    return True


def _array(image: Image.Image) -> Plane:
    """uint8 (H, W, C) of an 8-bit picture, not writable; C is 3 at most: no alpha.

    Band by band: `np.asarray` packs the whole picture in small pieces and joins them, which takes
    four times as long on 24 megapixels, and as much memory again.
    """
    import numpy as np

    width, height = image.size
    bands = len(image.getbands())
    pixels = np.empty((height, width, min(bands, 3)), np.uint8)
    for top in range(0, height, _BAND_ROWS):
        band = image.crop((0, top, width, min(top + _BAND_ROWS, height)))
        rows = pixels[top : top + _BAND_ROWS]
        rows[:] = np.frombuffer(band.tobytes(), np.uint8).reshape(-1, width, bands)[..., :3]
    pixels.flags.writeable = False
    return pixels


def _kept(profile: icc.Profile | None) -> Note | None:
    if profile is None:
        return None
    return Note.kept(Subject.COLOUR_PROFILE, "The colours keep their description.")


def _ignored(reason: str) -> Note:
    """Return the note on a profile that is not used."""
    return Note.dropped(Subject.COLOUR_PROFILE, f"The colour profile is ignored: {reason}.")
