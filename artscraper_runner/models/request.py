"""What a caller asks of the registry, and what the registry asks of an encoder's file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """How to load one encoder; passed on unchanged by encoders that load others."""

    models_dir: Path | None = None  # where weights are looked up and downloads kept; None: nowhere
    allow_downloads: bool = False  # fetch missing weights whose digest is pinned
    device: str = "cpu"  # torch's name of it
    bfloat16: bool | None = None  # compute in it; None: where the processor does so natively
    base_url: str | None = None  # where downloads come from; None: where they are published
