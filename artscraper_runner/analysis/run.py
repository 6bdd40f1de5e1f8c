"""Run processors over one decoded picture; a failing one is reported and the rest still run."""

from __future__ import annotations

import logging
from pathlib import Path

from artscraper_runner.analysis.processors import (
    DecodedPicture,
    default_processors,
    load_processor,
    processor_names,
)
from artscraper_runner.errors import RunnerError, UnknownName
from artscraper_runner.imaging.decode import Picture, open_picture
from artscraper_runner.instrumentation import timed
from artscraper_runner.options import AnalysisOptions, PictureLimits
from artscraper_runner.types import Controls, Json

_log = logging.getLogger(__name__)


def analyse_picture(path: Path, options: AnalysisOptions) -> Json:
    """Return the content of analysis.json for the picture at `path`.

    Raises:
        UnknownName: a processor that is not in the registry.
        PictureError: the picture cannot be opened.
    """
    return run_processors(path, open_picture(path, PictureLimits()), options, Controls())


def chosen_processors(options: AnalysisOptions) -> tuple[str, ...]:
    """Return the processors that `options` ask for, in the order of the registry.

    `enable_tineye` adds TinEye to the selection.

    Raises:
        UnknownName: a processor that is not in the registry.
    """
    selected = default_processors() if options.processors is None else options.processors
    for name in selected:
        if name not in processor_names():
            raise UnknownName("processor", name, processor_names())
    names = {*selected, "tineye"} if options.enable_tineye else {*selected}
    return tuple(name for name in processor_names() if name in names)


def run_processors(
    path: Path, picture: Picture, options: AnalysisOptions, controls: Controls
) -> Json:
    """Return `{"image_path", "processors": [...]}` for a picture that is already decoded.

    Raises:
        UnknownName: a processor that is not in the registry.
        Cancelled: the caller cancelled the run between two processors.
    """
    decoded = DecodedPicture.of(path, picture)
    results = []
    for name in chosen_processors(options):
        controls.checkpoint()
        with timed("processor", name):
            data, error = _run_one(name, decoded, options)
        results.append({"name": name, "ok": error is None, "data": data, "error": error})
    return {"image_path": str(path), "processors": results}


def _run_one(
    name: str, decoded: DecodedPicture, options: AnalysisOptions
) -> tuple[Json | None, str | None]:
    """Return the processor's data, or why it has none."""
    if name == "tineye" and not options.enable_tineye:
        # TinEye is a third party: naming the processor alone is not consent to sending the picture.
        return None, "not sent: enable_tineye is off"
    try:
        return load_processor(name).process(decoded, options), None
    except RunnerError as error:
        return None, str(error)
    except Exception as error:  # a failing processor must not fail the job
        _log.exception("processor %s failed", name)
        return None, f"internal error ({type(error).__name__}); the log has more"
