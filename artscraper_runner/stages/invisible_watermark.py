"""The stage `invisible-watermark`: a number or a short text hidden in the picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from artscraper_runner.errors import PictureTooSmall, StageFailed
from artscraper_runner.imaging.encode import as_saved
from artscraper_runner.imaging.formats.coding import as_coded
from artscraper_runner.imaging.tiles import over_bands, unload
from artscraper_runner.options import TEXT_BYTES
from artscraper_runner.stages.stage import Stage, StageInput
from artscraper_runner.types import Json, Project, StageResult
from artscraper_runner.watermarks import dwt_dct_svd, tiled_spread_spectrum

Pixels = NDArray[np.uint8]

CROPPED = "cropped"
_STRIP_ROWS, _MARGIN_ROWS = 512, 8  # px; strips, and what a bicubic filter reaches


@dataclass(frozen=True)
class EarlierMark:
    """A mark by the method `tiled` or `dwtDctSvd` in the original; `payload` in hex."""

    method: str
    payload: str


class InvisibleWatermark(Stage):
    """A tiled spread-spectrum mark, or dwtDctSvd as the package invisible-watermark reads it."""

    name = "invisible-watermark"
    description = (
        "Hides 64 bits or a short text that survive JPEG, resizing and cropping;"
        " read-watermark reads them."
    )
    project = Project(
        "invisible-watermark",
        "a tiled spread-spectrum mark of our own by default; its method dwtDctSvd on request,"
        " re-implemented and compatible",
    )
    measures_final = True
    is_bounded_by_sight = True

    def prepare(self, inputs: StageInput) -> None:
        """Search the original for an earlier mark."""
        _earlier_mark(inputs)

    def apply(self, inputs: StageInput) -> StageResult:
        """Embed the payload of the options; pass a picture through that cannot carry it."""
        payload = _payload(inputs)
        if inputs.alpha is not None and not inputs.alpha.any():
            return StageResult(pixels=None, reason="the picture is fully transparent")
        keeps = inputs.options.keep_watermark
        earlier = _earlier_mark(inputs) if keeps or not inputs.is_preview else None
        if earlier is not None and keeps:
            reason = f"the picture already carries the watermark {earlier.payload}, which is kept"
            return StageResult(pixels=None, reason=reason, metrics=_kept(earlier))
        method = inputs.options.watermark_method
        if method == "dwtDctSvd" and inputs.is_grey:
            reason = "the picture is grey, and dwtDctSvd marks its colour; use the method tiled"
            return StageResult(pixels=None, reason=reason)
        try:
            marked, bound = _marked(inputs, payload)
        except PictureTooSmall:
            return StageResult(pixels=None, reason=_too_small(inputs))
        if marked is None:
            reason = (
                "the mark cannot be read back: too little of the picture can be changed without"
                f" being seen at strength {inputs.options.strength}"
            )
            if earlier is not None:
                reason += f"; the earlier watermark {earlier.payload} stays"
            return StageResult(pixels=None, reason=reason, metrics=_kept(earlier))
        marking: Json = {
            "method": method,
            "payload": payload.hex(),
            "text": inputs.options.watermark_text,
            "overwritten": None if earlier is None else earlier.payload,
            "earlier_method": None if earlier is None else earlier.method,
        }
        is_within = not math.isinf(bound)
        return StageResult(marked, metrics=marking, visibility=bound, is_within_sight=is_within)

    def why_lost(self, pixels: Pixels, inputs: StageInput) -> str | None:
        """Return why the mark is skipped if the visibility bound leaves too little to be read."""
        if _holds(pixels, inputs, _payload(inputs)):
            return None
        return "the mark cannot be read back within what may be seen at this strength"

    def measure(self, saved: Pixels, inputs: StageInput) -> Json:
        """Return how the saved file reads.

        `bit_accuracy`, 0..1, is the share of payload bits that are right; for the tiled method
        also `decoded`, whether the checksum is right too, and `confidence`, 0..1.
        """
        payload = _payload(inputs)
        if inputs.options.watermark_method == "dwtDctSvd":
            return {"bit_accuracy": dwt_dct_svd.bit_accuracy(saved, payload)}
        decoded = tiled_spread_spectrum.read(saved, search=False)
        return {
            "bit_accuracy": tiled_spread_spectrum.bit_accuracy(saved, payload),
            "decoded": decoded is not None and decoded.payload == payload,
            "confidence": round(decoded.confidence, 4) if decoded else 0.0,
        }


def find_earlier_mark(pixels: Pixels) -> EarlierMark | None:
    """Return the mark that uint8 (H, W, 3) carries, None without one.

    A tiled mark is also found in a picture that was cropped, turned or pasted since. One of
    dwtDctSvd has no checksum and is found only where its blocks still lie where they were.

    Raises:
        UnsupportedPixels: `pixels` is not uint8 (H, W, 3).
    """
    reading = tiled_spread_spectrum.read_watermark(pixels)
    if reading.payload is not None:
        return EarlierMark("tiled", reading.payload)
    payload = dwt_dct_svd.find(pixels)
    return None if payload is None else EarlierMark("dwtDctSvd", payload.hex())


def _kept(earlier: EarlierMark | None) -> Json:
    """Return the metrics of a stage that leaves an earlier mark as it is."""
    if earlier is None:
        return {}
    return {"kept": earlier.payload, "earlier_method": earlier.method}


def _earlier_mark(inputs: StageInput) -> EarlierMark | None:
    original, cache = inputs.original, inputs.cache
    key = cache.token(original)
    return cache.remember("earlier mark", key, lambda: find_earlier_mark(original))


def _payload(inputs: StageInput) -> bytes:
    """Return the payload; dwtDctSvd takes a text unpadded, since its readers know the length."""
    payload = inputs.options.payload
    if payload is None:
        raise StageFailed(InvisibleWatermark.name, "no payload was chosen")
    if inputs.options.watermark_method == "dwtDctSvd" and len(payload) == TEXT_BYTES:
        return payload.rstrip(b"\0")
    return payload


def _marked(inputs: StageInput, payload: bytes) -> tuple[Pixels | None, float]:
    """Return the marked picture, and the bound on what shows that it keeps.

    The mark keeps the bound of the strength, or a part of it, if it is read then from the
    strength's `copies`. In a textured picture it may pass that bound, as the strength's `bounds`
    say, instead of being lost: a viewer sees less of noise in texture than the visibility model
    says. In a flat one it may not. Where the layer's own coding would lose it, there is no mark.
    dwtDctSvd has no bound but the one that its readers expect.
    """
    if inputs.visibility is None or inputs.options.watermark_method == "dwtDctSvd":
        marked = _embed(inputs, payload, None)
        return (marked if _holds(inputs.admissible(marked), inputs, payload) else None), math.inf
    is_flat = tiled_spread_spectrum.is_flat(inputs.original)
    name = inputs.options.strength
    strength = tiled_spread_spectrum.strength_at(name, *inputs.pixels.shape[:2])
    factors = tuple(factor for factor in strength.bounds if factor <= 1 or not is_flat)
    kept: tuple[Pixels | None, float] = None, inputs.visibility
    most = 0
    for factor in factors:
        bound = factor * inputs.visibility
        marked = _embed(inputs, payload, bound)
        within = inputs.visible_change().within(
            bound, before=inputs.pixels, changed=inputs.admissible(marked), overwrite=True
        )
        within = inputs.admissible(within)
        unload(inputs.pixels, inputs.original)
        if not _holds(_as_layer(within, inputs), inputs, payload):
            continue
        survived = _groups_survived(within, payload, strength.copies)
        if survived > most or not most:
            kept, most = (within, bound), survived
        if survived == len(strength.copies):
            break
    return kept


def _as_layer(marked: Pixels, inputs: StageInput) -> Pixels:
    """Return the pixels of the layer's file."""
    how = inputs.saved_as
    return marked if how.lossless else as_saved(marked, how, is_grey=inputs.is_grey)


def _groups_survived(marked: Pixels, payload: bytes, groups: tuple[tuple[str, ...], ...]) -> int:
    """Return how many groups of copies are read, before the first that is not."""
    for survived, group in enumerate(groups):
        if not all(_is_read(name, COPIES[name](marked), payload) for name in group):
            return survived
    return len(groups)


def _is_read(name: str, copy: Pixels, payload: bytes) -> bool:
    """Return whether the tiled mark is read from a copy: by the slow search only where it moved."""
    decoded = tiled_spread_spectrum.read(copy, search=name == CROPPED)
    return decoded is not None and decoded.payload == payload


def _as_jpeg(pixels: Pixels) -> Pixels:
    return as_coded(pixels, "JPEG", {"quality": 75})


def _halved(pixels: Pixels) -> Pixels:
    """Return the pixels at half of the size by bicubic resampling, in strips."""

    height, width = (side // 2 for side in pixels.shape[:2])
    result = np.empty((height, width, 3), np.uint8)
    scale = len(pixels) / height

    def halve(rows: slice) -> None:
        low, high = rows.start * scale, rows.stop * scale
        top = max(0, int(low) - _MARGIN_ROWS)
        strip = Image.fromarray(pixels[top : int(high) + _MARGIN_ROWS])
        box = (0, low - top, pixels.shape[1], min(high - top, strip.height))
        size = (width, rows.stop - rows.start)
        result[rows] = np.asarray(strip.resize(size, Image.Resampling.BICUBIC, box=box))

    over_bands(halve, height, rows=_STRIP_ROWS, reads=[pixels])
    return result


def _cropped(pixels: Pixels) -> Pixels:
    """Return a view without the upper and the right tenth."""
    height, width = pixels.shape[:2]
    return pixels[height // 10 :, : width - width // 10]


COPIES: dict[str, Callable[[Pixels], Pixels]] = {
    "jpeg-75": _as_jpeg,
    "half": _halved,
    CROPPED: _cropped,
}


def _embed(inputs: StageInput, payload: bytes, visibility: float | None) -> Pixels:
    if inputs.options.watermark_method == "dwtDctSvd":
        height, width = inputs.pixels.shape[:2]
        if min(height, width) < dwt_dct_svd.MIN_SIDE:
            raise PictureTooSmall(height=height, width=width, min_pixels=dwt_dct_svd.MIN_SIDE**2)
        return dwt_dct_svd.embed(inputs.pixels, payload)
    return tiled_spread_spectrum.embed(
        inputs.pixels,
        payload,
        strength=inputs.options.strength,
        original=inputs.original,
        sight=None if visibility is None else inputs.visible_change(),
        visibility=visibility,
    )


def _holds(marked: Pixels, inputs: StageInput, payload: bytes) -> bool:
    if inputs.options.watermark_method == "dwtDctSvd":
        return dwt_dct_svd.read(marked, len(payload)) == payload
    decoded = tiled_spread_spectrum.read(marked, search=False)
    return decoded is not None and decoded.payload == payload


def _too_small(inputs: StageInput) -> str:
    height, width = inputs.pixels.shape[:2]
    least = dwt_dct_svd.MIN_SIDE
    if inputs.options.watermark_method == "tiled":
        least = tiled_spread_spectrum.least_side(height, width)
    return f"needs at least {least} px on the short side, the picture has {width}x{height}"
