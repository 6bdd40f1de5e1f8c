"""The components that are available on this machine, and why others are not."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from artscraper_runner.analysis.processors import processor_names
from artscraper_runner.errors import MissingDependency
from artscraper_runner.models import encoder_names, require_encoder, standby_encoders
from artscraper_runner.models.accelerators import (
    ACCELERATORS,
    OPENVINO,
    has_native_bfloat16,
    select_accelerator,
    unavailable_reason,
)
from artscraper_runner.models.graph import thread_count
from artscraper_runner.stages import stage_names, stage_obstacle


@dataclass(frozen=True)
class Part:
    """A component of some kind; `reason` is why it is unavailable, "" if it is available."""

    kind: Literal["stage", "encoder", "accelerator", "processor"]
    name: str
    reason: str = ""


def all_parts(
    *, models_dir: Path | None = None, allow_downloads: bool = False, has_tineye_key: bool = False
) -> list[Part]:
    """Return every stage, encoder, accelerator and processor, in this order."""
    parts = [Part("stage", name, stage_obstacle(name)) for name in stage_names()]
    present = standby_encoders("", models_dir)
    missing = "" if allow_downloads and models_dir else _no_weights(models_dir)
    for name in encoder_names():
        parts.append(Part("encoder", name, _encoder_reason(name, present, missing)))
    parts += [Part("accelerator", name, unavailable_reason(name)) for name in ACCELERATORS]
    without_key = "" if has_tineye_key else "needs a key: tineye_api_key"
    for name in processor_names():
        parts.append(Part("processor", name, without_key if name == "tineye" else ""))
    return parts


def _no_weights(models_dir: Path | None) -> str:
    if models_dir is None:
        return "needs models_dir, the folder of its weights"
    return f"its weights are not in {models_dir}, and may not be downloaded"


def _encoder_reason(name: str, present: tuple[str, ...], missing: str) -> str:
    try:
        require_encoder(name)
    except MissingDependency as error:
        return f"needs {error.package}: {error.install}"
    return "" if name in present else missing


def device_name(accelerator: str = "auto") -> str:
    """Return the device of the attacks for the setting `accelerator`."""
    chosen = select_accelerator(accelerator)
    if uses_gpu(accelerator):
        return f"GPU ({chosen})"
    return f"CPU ({platform.machine()}, {thread_count()} threads, {_runtime(chosen)})"


def uses_gpu(accelerator: str = "auto") -> bool:
    """Return whether the attacks compute on a GPU, for the setting `accelerator`."""
    return select_accelerator(accelerator) in ("cuda", "coreml", "directml")


def _runtime(accelerator: str) -> str:
    if accelerator != OPENVINO:
        return "ONNX Runtime"
    return "OpenVINO, bfloat16" if has_native_bfloat16() else "OpenVINO"
