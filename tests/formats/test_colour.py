"""Colours that a file describes in any way look the same in its layers, previews and pixels."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from artscraper_runner.errors import UnsupportedVariant
from artscraper_runner.imaging import icc
from artscraper_runner.imaging.decode import Picture, inspect_picture, open_picture
from artscraper_runner.imaging.encode import carried_exif, layer_format, save_layer
from artscraper_runner.imaging.thumbnails import write_preview
from artscraper_runner.options import PictureLimits
from benchmarks.files.format_combinations import photograph
from benchmarks.files.format_files import (
    P3,
    chrm,
    cmyk_profile,
    colour_samples,
    eight,
    gama,
    grey_profile,
    grey_samples,
    iccp,
    write_bmp,
    write_png,
    write_tiff,
)

LIMITS = PictureLimits()


def in_srgb(picture: Picture) -> np.ndarray:
    if picture.colour.profile is None:
        return picture.pixels.astype(int)
    image = ImageCms.profileToProfile(
        Image.fromarray(picture.pixels),
        BytesIO(picture.colour.profile),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    return np.asarray(image).astype(int)


def saved_again(source: Path, folder: Path) -> Picture:
    picture = open_picture(source, LIMITS)
    how = layer_format(picture, source)
    layer = folder / f"layer{how.suffix}"
    save_layer(picture.pixels, picture, layer, how)
    return open_picture(layer, LIMITS)


def through(profile: bytes) -> np.ndarray:
    """Return the ramp of `colour_samples` as a viewer shows it that supports the profile."""
    image = ImageCms.profileToProfile(
        Image.fromarray(eight(colour_samples())),
        BytesIO(profile),
        ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )
    return np.asarray(image).astype(int)


LINEAR = icc.build_profile(icc.SRGB_PRIMARIES, icc.LINEAR_CURVE, "linear")


@pytest.mark.parametrize(
    ("chunks", "profile"),
    [
        ((gama(1.0),), LINEAR),
        ((gama(0.45455), chrm(icc.PRIMARIES[12])), None),
        (((b"cICP", bytes((12, 13, 0, 1))),), P3),
        (((b"cICP", bytes((1, 8, 0, 1))),), LINEAR),
    ],
)
def test_png_colour_chunks_are_applied_or_kept(
    tmp_path: Path, chunks: tuple[tuple[bytes, bytes], ...], profile: bytes | None
) -> None:
    source = tmp_path / "a.png"
    write_png(source, colour_samples(), 2, 8, *chunks)
    if profile is None:
        profile = icc.build_profile(icc.PRIMARIES[12], (100_000 / 45_455,), "P3, 2.2")
    expected = through(profile)
    assert np.abs(in_srgb(open_picture(source, LIMITS)) - expected).max() <= 2
    assert np.abs(in_srgb(saved_again(source, tmp_path)) - expected).max() <= 2
    write_preview(source, tmp_path / "small.webp", 96, LIMITS)
    shown = in_srgb(open_picture(tmp_path / "small.webp", LIMITS))
    assert np.abs(shown.mean((0, 1)) - expected.mean((0, 1))).max() < 2


@pytest.mark.parametrize(("codes", "primaries"), [((12, 13), 12), ((9, 1), 9), ((1, 1), 1)])
def test_nclx_of_an_avif_becomes_a_profile(
    tmp_path: Path, codes: tuple[int, int], primaries: int
) -> None:
    source = tmp_path / "a.avif"
    Image.fromarray(eight(colour_samples())).save(source, quality=100, subsampling="4:4:4")
    data = bytearray(source.read_bytes())
    at = data.index(b"nclx") + 4
    data[at : at + 4] = struct.pack(">HH", *codes)
    source.write_bytes(bytes(data))
    profile = icc.build_profile(icc.PRIMARIES[primaries], icc.SRGB_CURVE, "expected")
    assert np.abs(in_srgb(open_picture(source, LIMITS)) - through(profile)).mean() < 1
    assert np.abs(in_srgb(saved_again(source, tmp_path)) - through(profile)).mean() < 2


def test_bmp_profile_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "a.bmp"
    write_bmp(source, colour_samples(), P3)
    picture = open_picture(source, LIMITS)
    assert picture.colour.profile == P3
    assert layer_format(picture, source).name == "PNG"
    assert np.abs(in_srgb(saved_again(source, tmp_path)) - through(P3)).max() <= 1


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_refused_with_the_reason(tmp_path: Path, transfer: int) -> None:
    source = tmp_path / "a.png"
    write_png(source, colour_samples(), 2, 16, (b"cICP", bytes((9, transfer, 0, 1))))
    with pytest.raises(UnsupportedVariant, match="HDR"):
        inspect_picture(source, LIMITS)


@pytest.mark.parametrize(
    ("suffix", "options"), [(".jpg", {"quality": 95}), (".png", {}), (".tif", {}), (".webp", {})]
)
def test_grey_profile_is_applied_and_grey_stays_grey(
    tmp_path: Path, suffix: str, options: dict[str, Any]
) -> None:
    source = tmp_path / f"a{suffix}"
    Image.fromarray(eight(grey_samples())).save(source, icc_profile=grey_profile(1.0), **options)
    picture = open_picture(source, LIMITS)
    if suffix == ".webp":  # holds RGB only: there the profile describes something else
        assert "ignored" in picture.colour.notes[0].detail
        return
    expected = through(LINEAR)[0, :, 0]  # the first row's red is a plain ramp
    ramp = dict(zip(eight(colour_samples())[0, :, 0].tolist(), expected.tolist(), strict=True))
    with Image.open(source) as image:
        stored = np.asarray(image)
    known = np.isin(stored, list(ramp))
    wanted = np.vectorize(lambda value: ramp.get(value, 0))(stored)
    assert np.abs(picture.pixels[..., 0].astype(int) - wanted)[known].max() <= 2
    for pixels in (picture.pixels, saved_again(source, tmp_path).pixels):
        assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize("big_endian", [False, True])
def test_min_is_white_with_16_bits_is_not_inverted(tmp_path: Path, *, big_endian: bool) -> None:
    source = tmp_path / "a.tif"
    samples = grey_samples()
    write_tiff(source, 65_535 - samples, photometric=0, big_endian=big_endian)
    assert (
        np.abs(open_picture(source, LIMITS).pixels[..., 0].astype(int) - eight(samples)).max() <= 1
    )


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("rows", [None, 7])
@pytest.mark.parametrize("bands", [3, 4])
def test_planar_16_bit_is_read_as_16_bit(
    tmp_path: Path, bands: int, rows: int | None, *, big_endian: bool
) -> None:
    source = tmp_path / "a.tif"
    samples = np.dstack([colour_samples(), grey_samples()])[..., :bands]
    extra = 2 if bands == 4 else None
    write_tiff(
        source,
        samples,
        photometric=2,
        planar=True,
        extra=extra,
        rows_per_strip=rows,
        big_endian=big_endian,
    )
    picture = open_picture(source, LIMITS)
    assert np.abs(picture.pixels.astype(int) - eight(colour_samples())).max() <= 1
    if bands == 4:
        assert picture.alpha is not None
        assert np.abs(picture.alpha.astype(int) - eight(grey_samples())).max() <= 1


def test_transparent_colour_of_16_bits_is_exact(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    samples = colour_samples()
    key = samples[5, 5].copy()
    samples[9:12, 9:12] = key
    samples[20, 20] = key + np.array([0, 1, 0], np.uint16)  # the high bytes are the key's
    write_png(source, samples, 2, 16, (b"tRNS", struct.pack(">3H", *key.tolist())))
    picture = open_picture(source, LIMITS)
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, (samples == key).all(axis=2))
    again = saved_again(source, tmp_path).alpha
    assert again is not None and np.array_equal(again, picture.alpha)


def test_colour_key_of_16_bits_is_exact(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    samples = grey_samples()
    write_png(source, samples, 0, 16, (b"tRNS", struct.pack(">H", int(samples[3, 4]))))
    picture = open_picture(source, LIMITS)
    assert np.abs(picture.pixels[..., 0].astype(int) - eight(samples)).max() <= 1
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, samples == samples[3, 4])


@pytest.mark.parametrize("depth", [2, 4])
def test_colour_key_of_few_bits_is_scaled(tmp_path: Path, depth: int) -> None:
    source = tmp_path / "a.png"
    write_png(source, grey_samples(), 0, depth, (b"tRNS", b"\0\1"))
    levels = np.round(grey_samples() / 65_535 * (2**depth - 1))
    picture = open_picture(source, LIMITS)
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha == 0, levels == 1)


@pytest.mark.parametrize("bands", [1, 3])
def test_premultiplied_alpha_is_undone(tmp_path: Path, bands: int) -> None:
    source = tmp_path / "a.tif"
    colours = eight(colour_samples())[..., :bands]
    alpha = np.full((*colours.shape[:2], 1), 128, np.uint8)
    multiplied = np.round(colours * (128 / 255)).astype(np.uint8)
    photometric = 2 if bands == 3 else 1
    write_tiff(source, np.dstack([multiplied, alpha]), photometric=photometric, extra=1)
    picture = open_picture(source, LIMITS)
    assert np.abs(picture.pixels[..., :bands].astype(int) - colours).max() <= 2
    assert picture.alpha is not None and (picture.alpha == 128).all()


def test_lab_tiff_becomes_srgb(tmp_path: Path) -> None:
    source = tmp_path / "a.tif"
    lab = np.zeros((8, 8, 3), np.uint8)
    lab[...] = (138, 38, 46)  # L 54, a 38, b 46: what (200, 100, 50) is under D50
    write_tiff(source, lab, photometric=8)
    shown = open_picture(source, LIMITS).pixels[0, 0].astype(int)
    assert np.abs(shown - (200, 100, 50)).max() <= 3


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
@pytest.mark.parametrize("profile", [b"abc", P3], ids=["short", "of RGB"])
def test_mismatched_profile_is_ignored_with_a_note(
    tmp_path: Path, suffix: str, profile: bytes
) -> None:
    image = Image.fromarray(eight(colour_samples())).convert("CMYK")
    bare, described = tmp_path / f"bare{suffix}", tmp_path / f"described{suffix}"
    image.save(bare)
    image.save(described, icc_profile=profile)
    picture = open_picture(described, LIMITS)
    assert np.array_equal(picture.pixels, open_picture(bare, LIMITS).pixels)
    assert {(note.subject, note.action) for note in picture.colour.notes} >= {
        ("colour-profile", "dropped")
    }


def test_unsupported_tiff_is_not_called_damaged(tmp_path: Path) -> None:
    source = tmp_path / "a.tif"
    write_tiff(source, np.zeros((4, 4, 7), np.uint8), photometric=2)
    with pytest.raises(UnsupportedVariant, match="7 x 8 bits"):
        inspect_picture(source, LIMITS)
    write_tiff(source, grey_samples(), photometric=1, fields=((339, 3, (2,)),))
    with pytest.raises(UnsupportedVariant, match="16 bits, signed, grey"):
        inspect_picture(source, LIMITS)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_black_follows_its_profile(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"a{suffix}"
    black = Image.new("CMYK", (16, 16), (0, 0, 0, 255))
    black.save(source, icc_profile=cmyk_profile())  # reflects 8 % of the light
    shown = open_picture(source, LIMITS).pixels
    assert np.abs(shown.astype(int) - 80).max() <= 3


@pytest.mark.parametrize(
    ("mode", "profile"), [("CMYK", None), ("CMYK", cmyk_profile()), ("L", grey_profile(1.8))]
)
def test_converted_jpeg_loses_little_when_encoded(
    tmp_path: Path, mode: str, profile: bytes | None
) -> None:
    source = tmp_path / "a.jpg"
    photograph().rgb.convert(mode).save(source, quality=90, icc_profile=profile)
    picture = open_picture(source, LIMITS)
    again = saved_again(source, tmp_path)
    assert np.abs(picture.pixels.astype(int) - again.pixels).mean() < 1
    layer = tmp_path / "layer.jpg"
    assert layer.stat().st_size < 1.5 * source.stat().st_size


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif"])
@pytest.mark.parametrize("maker_note", [b"short", b"x" * 65_000])
def test_adobe_rgb_by_exif_is_kept(tmp_path: Path, suffix: str, maker_note: bytes) -> None:
    source = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    directory = {1: "R03", 2: b"0100"}
    exif[ExifTags.IFD.Exif] = {0xA001: 0xFFFF, 0x927C: maker_note, ExifTags.IFD.Interop: directory}
    Image.fromarray(eight(colour_samples())).save(source, exif=exif)
    saved = saved_again(source, tmp_path).exif
    assert saved.get_ifd(ExifTags.IFD.Exif)[0xA001] == 0xFFFF
    assert saved.get_ifd(ExifTags.IFD.Interop) == directory
    picture = open_picture(source, LIMITS)
    notes = carried_exif(picture, layer_format(picture, source)).notes
    assert any("Adobe RGB" in note.detail for note in notes)


@pytest.mark.parametrize("kind", [b"link", b"nmcl", b"abst"])
def test_profile_of_another_class_is_kept_with_its_values(tmp_path: Path, kind: bytes) -> None:
    source = tmp_path / "a.jpg"
    profile = P3[:12] + kind + P3[16:]
    photograph().rgb.save(source, quality=95, icc_profile=profile)
    picture, again = open_picture(source, LIMITS), saved_again(source, tmp_path)
    assert picture.colour.profile == again.colour.profile == profile
    with Image.open(source) as image:
        assert np.array_equal(picture.pixels, np.asarray(image))


def test_truncated_profile_is_ignored_with_a_note(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    photograph().rgb.save(source, icc_profile=P3 + bytes(130_000))
    content = source.read_bytes()
    second = content.index(b"ICC_PROFILE\0\2") - 4
    size = int.from_bytes(content[second + 2 : second + 4], "big")
    source.write_bytes(content[:second] + content[second + 2 + size :])
    picture = open_picture(source, LIMITS)
    assert picture.colour.profile is None
    (note,) = picture.colour.notes
    assert (note.subject, note.action) == ("colour-profile", "dropped")
    assert "missing" in note.detail


@pytest.mark.parametrize("kind", ["iCCP", "cICP", "JPEG"])
def test_colours_beyond_srgb_stay_when_linear_light_is_converted(tmp_path: Path, kind: str) -> None:
    linear_p3 = icc.build_profile(icc.PRIMARIES[12], icc.LINEAR_CURVE, "linear P3")
    source = tmp_path / ("a.jpg" if kind == "JPEG" else "a.png")
    chunks = {"iCCP": iccp(linear_p3), "cICP": (b"cICP", bytes((12, 8, 0, 1)))}
    if kind == "JPEG":
        image = Image.fromarray(eight(colour_samples()))
        image.save(source, quality=97, subsampling=0, icc_profile=linear_p3)
    else:
        write_png(source, colour_samples(), 2, 8, chunks[kind])
    with Image.open(source) as image:
        stored = image.convert("RGB")
    expected = in_p3(stored, linear_p3)
    picture = open_picture(source, LIMITS)
    for each in (picture, saved_again(source, tmp_path)):
        assert each.colour.profile is not None
        shown = in_p3(Image.fromarray(each.pixels), each.colour.profile)
        assert np.abs(shown - expected).mean() < 1
    assert picture.colour.notes[0].action == "changed"


def in_p3(image: Image.Image, profile: bytes) -> np.ndarray:
    shown = ImageCms.profileToProfile(image, BytesIO(profile), BytesIO(P3), outputMode="RGB")
    return np.asarray(shown).astype(int)
