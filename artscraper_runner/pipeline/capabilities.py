"""What can be used on this machine as it is set up, and of the rest why not."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from artscraper_runner.analysis.processors import processor_names
from artscraper_runner.models import encoder_names, standby_encoders
from artscraper_runner.stages import stage_names, stage_obstacle


@dataclass(frozen=True)
class Part:
    """A stage, an encoder or a processor; `reason` "" = it can be used, else why it cannot."""

    kind: Literal["stage", "encoder", "processor"]
    name: str
    reason: str = ""


def all_parts(
    *, models_dir: Path | None = None, allow_downloads: bool = False, has_tineye_key: bool = False
) -> list[Part]:
    """Returns every stage, encoder and processor, in this order."""
    found = [Part("stage", name, stage_obstacle(name)) for name in stage_names()]
    present = standby_encoders("", models_dir)
    missing = "" if allow_downloads and models_dir else _no_weights(models_dir)
    for name in encoder_names():
        found.append(Part("encoder", name, "" if name in present else missing))
    without_key = "" if has_tineye_key else "needs a key: tineye_api_key"
    for name in processor_names():
        found.append(Part("processor", name, without_key if name == "tineye" else ""))
    return found


def _no_weights(models_dir: Path | None) -> str:
    if models_dir is None:
        return "needs models_dir, the folder of its weights"
    return f"its weights are not in {models_dir}, and may not be downloaded"


def device_name() -> str:
    """Returns what the attacks compute on: the GPU's name, or the processor's. Loads torch."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)"
