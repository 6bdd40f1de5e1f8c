"""One line in words about a protected picture: visibility, effect, faces, watermark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from artscraper_runner.types import Json

# SSIM of the final layer against the original, and what a viewer notices of such a change.
_HARD_TO_SEE, _HARDLY_VISIBLE = 0.985, 0.95


def describe(summary: Json) -> str:
    """Return the sentence for the final layer of `summary`."""
    layers = [layer for layer in summary["layers"] if layer["stage"] != "original"]
    if not any(layer["applied"] for layer in layers):
        return "not protected: no stage was applied"
    parts = [_visibility(layers[-1]), *_effect(layers), *_faces(layers), *_watermark(layers)]
    return "; ".join(parts)


def _visibility(final: Json) -> str:
    ssim = final["metrics"]["ssim"]
    if ssim >= _HARD_TO_SEE:
        words = "the change is hard to see"
    elif ssim >= _HARDLY_VISIBLE:
        words = "the change is visible in a close comparison"
    else:
        words = "the change is visible"
    return f"{words} (SSIM {ssim:.2f})"


def _effect(layers: list[Json]) -> Iterator[str]:
    """Yield what an encoder sees of the final picture, if an attack measured it."""
    ratios = [
        ratio
        for layer in layers
        if (ratio := _final(layer).get("times_noise", {}).get("plain")) is not None
    ]
    if ratios:
        ratio = ratios[-1]
        words = f"moves the encoder {ratio:.1f} times as far as noise of the same size"
        yield words if ratio > 1.1 else "moves the encoder no farther than noise"


def _faces(layers: list[Json]) -> Iterator[str]:
    for layer in layers:
        faces = _final(layer).get("faces") or layer.get("metrics", {}).get("faces") or []
        if faces:
            cloaked = sum(face["is_another_person"]["plain"] for face in faces)
            yield f"{cloaked} of {len(faces)} faces cloaked"


def _watermark(layers: list[Json]) -> Iterator[str]:
    for layer in layers:
        metrics = layer.get("metrics", {})
        if layer["applied"] and "bit_accuracy" in metrics:
            content = metrics.get("text") or metrics.get("payload")
            readable = _final(layer).get("decoded", metrics.get("decoded"))
            yield f"watermark {content}" if readable else f"watermark {content} cannot be read"


def _final(layer: Json) -> dict[str, Any]:
    final: dict[str, Any] = layer.get("metrics", {}).get("final") or {}
    return final
