"""Analyse pictures and protect them stage by stage, in this process.

    from artscraper_runner import protect

    protect("in.jpg", strength="medium").save("out.jpg")

The names below are public; the gateway uses no others. They are loaded on first use, so that the
import is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from artscraper_runner.version import __version__ as __version__

_HOME = {
    "RunnerError": "errors",
    "StageFailed": "errors",
    "BrokenPicture": "errors",
    "Cancelled": "errors",
    "InvalidOption": "errors",
    "MissingDependency": "errors",
    "PictureError": "errors",
    "PictureTooLarge": "errors",
    "UnknownName": "errors",
    "UnsupportedPicture": "errors",
    "UnsupportedVariant": "errors",
    "AnalysisOptions": "options",
    "TINEYE_URL": "options",
    "Controls": "types",
    "PictureLimits": "options",
    "Progress": "types",
    "ProtectionOptions": "options",
    "RightsStatement": "options",
    "SigningSettings": "options",
    "Reading": "watermarks.tiled_spread_spectrum",
    "read_watermark": "watermarks.tiled_spread_spectrum",
    "PictureHeader": "imaging.decode",
    "inspect_picture": "imaging.decode",
    "open_picture": "imaging.decode",
    "processor_names": "analysis.processors",
    "stage_names": "stages",
    "check_options": "stages",
    "chosen_stages": "stages",
    "default_stages": "stages",
    "needs_network": "stages",
    "encoder_names": "models",
    "watch_timings": "instrumentation",
    "PREVIEW_SIDES": "options",
    "write_preview": "imaging.thumbnails",
    "PART_MAX_SIDE": "options",
    "PREVIEW_STAGES": "options",
    "PicturePart": "pipeline.strength_preview",
    "warm_up_previews": "pipeline.strength_preview",
    "PictureRun": "pipeline.run",
    "Workspace": "pipeline.workspace",
    "ProtectedPicture": "protection_pipeline",
    "protect": "protection_pipeline",
    "protect_picture": "protection_pipeline",
    "run_full_workflow": "protection_pipeline",
    "analyse_picture": "analysis.run",
    "Part": "pipeline.capabilities",
    "all_parts": "pipeline.capabilities",
    "device_name": "pipeline.capabilities",
    "uses_gpu": "pipeline.capabilities",
    "stage_obstacle": "stages",
    "preload": "pipeline.preloading",
    "printable": "cli.terminal",
    "NATIVE_THREAD_DEFAULTS": "native_threads",
    "set_native_thread_defaults": "native_threads",
    "main": "cli.main",
}

if TYPE_CHECKING:
    from artscraper_runner.analysis.processors import processor_names as processor_names
    from artscraper_runner.analysis.run import analyse_picture as analyse_picture
    from artscraper_runner.cli.main import main as main
    from artscraper_runner.cli.terminal import printable as printable
    from artscraper_runner.errors import BrokenPicture as BrokenPicture
    from artscraper_runner.errors import Cancelled as Cancelled
    from artscraper_runner.errors import InvalidOption as InvalidOption
    from artscraper_runner.errors import MissingDependency as MissingDependency
    from artscraper_runner.errors import PictureError as PictureError
    from artscraper_runner.errors import PictureTooLarge as PictureTooLarge
    from artscraper_runner.errors import RunnerError as RunnerError
    from artscraper_runner.errors import StageFailed as StageFailed
    from artscraper_runner.errors import UnknownName as UnknownName
    from artscraper_runner.errors import UnsupportedPicture as UnsupportedPicture
    from artscraper_runner.errors import UnsupportedVariant as UnsupportedVariant
    from artscraper_runner.imaging.decode import PictureHeader as PictureHeader
    from artscraper_runner.imaging.decode import inspect_picture as inspect_picture
    from artscraper_runner.imaging.decode import open_picture as open_picture
    from artscraper_runner.imaging.thumbnails import write_preview as write_preview
    from artscraper_runner.instrumentation import watch_timings as watch_timings
    from artscraper_runner.models import encoder_names as encoder_names
    from artscraper_runner.native_threads import NATIVE_THREAD_DEFAULTS as NATIVE_THREAD_DEFAULTS
    from artscraper_runner.native_threads import (
        set_native_thread_defaults as set_native_thread_defaults,
    )
    from artscraper_runner.options import PART_MAX_SIDE as PART_MAX_SIDE
    from artscraper_runner.options import PREVIEW_SIDES as PREVIEW_SIDES
    from artscraper_runner.options import PREVIEW_STAGES as PREVIEW_STAGES
    from artscraper_runner.options import TINEYE_URL as TINEYE_URL
    from artscraper_runner.options import AnalysisOptions as AnalysisOptions
    from artscraper_runner.options import PictureLimits as PictureLimits
    from artscraper_runner.options import ProtectionOptions as ProtectionOptions
    from artscraper_runner.options import RightsStatement as RightsStatement
    from artscraper_runner.options import SigningSettings as SigningSettings
    from artscraper_runner.pipeline.capabilities import Part as Part
    from artscraper_runner.pipeline.capabilities import all_parts as all_parts
    from artscraper_runner.pipeline.capabilities import device_name as device_name
    from artscraper_runner.pipeline.capabilities import uses_gpu as uses_gpu
    from artscraper_runner.pipeline.preloading import preload as preload
    from artscraper_runner.pipeline.run import PictureRun as PictureRun
    from artscraper_runner.pipeline.strength_preview import PicturePart as PicturePart
    from artscraper_runner.pipeline.strength_preview import warm_up_previews as warm_up_previews
    from artscraper_runner.pipeline.workspace import Workspace as Workspace
    from artscraper_runner.protection_pipeline import ProtectedPicture as ProtectedPicture
    from artscraper_runner.protection_pipeline import protect as protect
    from artscraper_runner.protection_pipeline import protect_picture as protect_picture
    from artscraper_runner.protection_pipeline import run_full_workflow as run_full_workflow
    from artscraper_runner.stages import check_options as check_options
    from artscraper_runner.stages import chosen_stages as chosen_stages
    from artscraper_runner.stages import default_stages as default_stages
    from artscraper_runner.stages import needs_network as needs_network
    from artscraper_runner.stages import stage_names as stage_names
    from artscraper_runner.stages import stage_obstacle as stage_obstacle
    from artscraper_runner.types import Controls as Controls
    from artscraper_runner.types import Progress as Progress
    from artscraper_runner.watermarks.tiled_spread_spectrum import Reading as Reading
    from artscraper_runner.watermarks.tiled_spread_spectrum import read_watermark as read_watermark


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
