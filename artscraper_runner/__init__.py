"""Artscraper's pipelines: analyse a picture, protect it stage by stage, keep every layer.

The names below are the public ones; the gateway, scripts and the command line use no others.
They are loaded when first used, so importing this package is quick and loads neither NumPy
nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOME = {
    "RunnerError": "errors",
    "BrokenPicture": "errors",
    "Cancelled": "errors",
    "InvalidOption": "errors",
    "PictureTooLarge": "errors",
    "UnknownName": "errors",
    "UnsupportedPicture": "errors",
    "AnalysisOptions": "types",
    "PictureLimits": "types",
    "Progress": "types",
    "ProtectionOptions": "types",
    "PictureHeader": "images",
    "inspect_picture": "images",
    "processor_names": "processors",
    "stage_names": "protections",
    "default_stages": "protections",
    "PictureRun": "picture_run",
    "Workspace": "workspace",
    "run_full_workflow": "protection_pipeline",
    "protect_picture": "protection_pipeline",
    "analyse_picture": "analysis",
}

__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:
    from artscraper_runner.analysis import analyse_picture
    from artscraper_runner.errors import (
        BrokenPicture,
        Cancelled,
        InvalidOption,
        PictureTooLarge,
        RunnerError,
        UnknownName,
        UnsupportedPicture,
    )
    from artscraper_runner.images import PictureHeader, inspect_picture
    from artscraper_runner.picture_run import PictureRun
    from artscraper_runner.processors import processor_names
    from artscraper_runner.protection_pipeline import protect_picture, run_full_workflow
    from artscraper_runner.protections import default_stages, stage_names
    from artscraper_runner.types import (
        AnalysisOptions,
        PictureLimits,
        Progress,
        ProtectionOptions,
    )
    from artscraper_runner.workspace import Workspace


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
