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
    "StageFailed": "errors",
    "BrokenPicture": "errors",
    "Cancelled": "errors",
    "InvalidOption": "errors",
    "PictureError": "errors",
    "PictureTooLarge": "errors",
    "UnknownName": "errors",
    "UnsupportedPicture": "errors",
    "AnalysisOptions": "types",
    "TINEYE_URL": "types",
    "Controls": "types",
    "PictureLimits": "types",
    "Progress": "types",
    "ProtectionOptions": "types",
    "SigningSettings": "types",
    "Reading": "watermarks.reading",
    "read_watermark": "watermarks.reading",
    "PictureHeader": "images",
    "inspect_picture": "images",
    "open_picture": "images",
    "processor_names": "processors",
    "stage_names": "protections",
    "check_options": "protections",
    "chosen_stages": "protections",
    "default_stages": "protections",
    "needs_network": "protections",
    "encoder_names": "encoders",
    "watch_timings": "timings",
    "PREVIEW_SIDES": "types",
    "write_preview": "previews",
    "PictureRun": "picture_run",
    "Workspace": "workspace",
    "run_full_workflow": "protection_pipeline",
    "protect_picture": "protection_pipeline",
    "analyse_picture": "analysis",
    "Part": "availability",
    "all_parts": "availability",
    "device_name": "availability",
    "stage_obstacle": "protections",
    "preload": "preloading",
}

if TYPE_CHECKING:
    from artscraper_runner.analysis import analyse_picture as analyse_picture
    from artscraper_runner.availability import Part as Part
    from artscraper_runner.availability import all_parts as all_parts
    from artscraper_runner.availability import device_name as device_name
    from artscraper_runner.encoders import encoder_names as encoder_names
    from artscraper_runner.errors import BrokenPicture as BrokenPicture
    from artscraper_runner.errors import Cancelled as Cancelled
    from artscraper_runner.errors import InvalidOption as InvalidOption
    from artscraper_runner.errors import PictureError as PictureError
    from artscraper_runner.errors import PictureTooLarge as PictureTooLarge
    from artscraper_runner.errors import RunnerError as RunnerError
    from artscraper_runner.errors import StageFailed as StageFailed
    from artscraper_runner.errors import UnknownName as UnknownName
    from artscraper_runner.errors import UnsupportedPicture as UnsupportedPicture
    from artscraper_runner.images import PictureHeader as PictureHeader
    from artscraper_runner.images import inspect_picture as inspect_picture
    from artscraper_runner.images import open_picture as open_picture
    from artscraper_runner.picture_run import PictureRun as PictureRun
    from artscraper_runner.preloading import preload as preload
    from artscraper_runner.previews import write_preview as write_preview
    from artscraper_runner.processors import processor_names as processor_names
    from artscraper_runner.protection_pipeline import protect_picture as protect_picture
    from artscraper_runner.protection_pipeline import run_full_workflow as run_full_workflow
    from artscraper_runner.protections import check_options as check_options
    from artscraper_runner.protections import chosen_stages as chosen_stages
    from artscraper_runner.protections import default_stages as default_stages
    from artscraper_runner.protections import needs_network as needs_network
    from artscraper_runner.protections import stage_names as stage_names
    from artscraper_runner.protections import stage_obstacle as stage_obstacle
    from artscraper_runner.timings import watch_timings as watch_timings
    from artscraper_runner.types import PREVIEW_SIDES as PREVIEW_SIDES
    from artscraper_runner.types import TINEYE_URL as TINEYE_URL
    from artscraper_runner.types import AnalysisOptions as AnalysisOptions
    from artscraper_runner.types import Controls as Controls
    from artscraper_runner.types import PictureLimits as PictureLimits
    from artscraper_runner.types import Progress as Progress
    from artscraper_runner.types import ProtectionOptions as ProtectionOptions
    from artscraper_runner.types import SigningSettings as SigningSettings
    from artscraper_runner.watermarks.reading import Reading as Reading
    from artscraper_runner.watermarks.reading import read_watermark as read_watermark
    from artscraper_runner.workspace import Workspace as Workspace


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
