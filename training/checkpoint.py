"""Checkpoints of a run: everything that is needed to go on, written atomically."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

LATEST = "latest.pt"


def save(folder: Path, state: dict[str, Any]) -> Path:
    """Write a state under ``folder`` and answer the file; a crash leaves the previous one."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary, final = folder / f"{LATEST}.part", folder / LATEST
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(final)
    return final


def load(folder: Path) -> dict[str, Any] | None:
    """Return the latest state under ``folder``; None when there is none yet."""
    path = folder / LATEST
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
