"""A one-line verdict on a protected picture: visibility, effect, faces, watermark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from artscraper_runner.types import Json

# Visibility of the final layer, about Butteraugli's value: not visible up to 1, visible from 2.
_NOT_VISIBLE, _HARDLY_VISIBLE = 1.0, 2.0


def describe(summary: Json) -> str:
    """Return the sentence for the final layer of `summary`."""
    layers = [layer for layer in summary["layers"] if layer["stage"] != "original"]
    if not any(layer["applied"] for layer in layers):
        return "not protected: no stage was applied"
    parts = [_visibility(layers[-1]), *_effect(layers), *_faces(layers), *_watermark(layers)]
    return "; ".join(parts)


def _visibility(final: Json) -> str:
    visibility = final["metrics"]["visibility"]
    if visibility <= _NOT_VISIBLE:
        words = "the change is not visible"
    elif visibility <= _HARDLY_VISIBLE:
        words = "the change is hardly visible"
    else:
        words = "the change is visible where the picture is smooth"
    return f"{words} (visibility {visibility:.1f})"


def _effect(layers: list[Json]) -> Iterator[str]:
    """Yield the effect on an encoder of the final picture, if an attack measured it."""
    finals = [_final(layer) for layer in layers if "times_shaped_noise" in _final(layer)]
    if finals:
        verdict, ratio = finals[-1]["verdict"], finals[-1]["times_shaped_noise"]["plain"]
        words = f"moves the encoder {ratio or 0:.1f} times as far as noise of the same shape"
        yield verdict or words


def _faces(layers: list[Json]) -> Iterator[str]:
    for layer in layers:
        faces = _final(layer).get("faces") or layer.get("metrics", {}).get("faces") or []
        only = "" if any("attacked_distance" in face for face in faces) else " alone"
        if faces:
            cloaked = sum(face["is_another_person"]["plain"] for face in faces)
            found = f"{cloaked} of {len(faces)} faces"
            yield f"{found} cloaked against dlib's recogniser of 2017{only}"
            if cloaked < len(faces):
                yield f"{len(faces) - cloaked} not protected: still the same person to it"


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
