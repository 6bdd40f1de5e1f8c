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

# The public names by their module.
_NAMES = {
    "errors": "RunnerError StageFailed BrokenPicture Cancelled InvalidOption MissingDependency "
    "PictureError PictureTooLarge UnknownName UnsupportedPicture UnsupportedVariant",
    "options": "AnalysisOptions TINEYE_URL PictureLimits ProtectionOptions RightsStatement "
    "SigningSettings PREVIEW_SIDES PART_MAX_SIDE PREVIEW_STAGES",
    "types": "Controls Progress",
    "watermarks.tiled_spread_spectrum": "Reading read_watermark",
    "imaging.decode": "PictureHeader inspect_picture open_picture",
    "analysis.processors": "processor_names",
    "stages": "stage_names check_options chosen_stages default_stages needs_network stage_obstacle",
    "models": "encoder_names",
    "faces.recognisers": "recogniser_files",
    "instrumentation": "watch_timings",
    "imaging.thumbnails": "write_preview",
    "pipeline.folders": "PICTURE_SUFFIXES same_format",
    "pipeline.strength_preview": "PicturePart warm_up_previews",
    "pipeline.run": "PictureRun",
    "pipeline.workspace": "Workspace",
    "protection_pipeline": "ProtectedPicture protect protect_picture run_full_workflow",
    "analysis.run": "analyse_picture",
    "pipeline.capabilities": "Part all_parts device_name uses_gpu",
    "pipeline.preloading": "preload",
    "cli.terminal": "printable",
    "process": "NATIVE_THREAD_DEFAULTS set_native_thread_defaults "
    "pause_collection resume_collection",
    "cli.main": "main",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}

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
    from artscraper_runner.faces.recognisers import recogniser_files as recogniser_files
    from artscraper_runner.imaging.decode import PictureHeader as PictureHeader
    from artscraper_runner.imaging.decode import inspect_picture as inspect_picture
    from artscraper_runner.imaging.decode import open_picture as open_picture
    from artscraper_runner.imaging.thumbnails import write_preview as write_preview
    from artscraper_runner.instrumentation import watch_timings as watch_timings
    from artscraper_runner.models import encoder_names as encoder_names
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
    from artscraper_runner.pipeline.folders import PICTURE_SUFFIXES as PICTURE_SUFFIXES
    from artscraper_runner.pipeline.folders import same_format as same_format
    from artscraper_runner.pipeline.preloading import preload as preload
    from artscraper_runner.pipeline.run import PictureRun as PictureRun
    from artscraper_runner.pipeline.strength_preview import PicturePart as PicturePart
    from artscraper_runner.pipeline.strength_preview import warm_up_previews as warm_up_previews
    from artscraper_runner.pipeline.workspace import Workspace as Workspace
    from artscraper_runner.process import NATIVE_THREAD_DEFAULTS as NATIVE_THREAD_DEFAULTS
    from artscraper_runner.process import pause_collection as pause_collection
    from artscraper_runner.process import resume_collection as resume_collection
    from artscraper_runner.process import set_native_thread_defaults as set_native_thread_defaults
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
