"""`protect`: protect pictures and print a one-line verdict on each."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from artscraper_runner.cli.destinations import Destination, plan
from artscraper_runner.cli.options import workflow_config
from artscraper_runner.cli.terminal import printable, show_progress
from artscraper_runner.errors import PictureError, StageFailed
from artscraper_runner.pipeline.folders import save_protected
from artscraper_runner.pipeline.verdict import describe
from artscraper_runner.protection_pipeline import WorkflowConfig, protect_picture
from artscraper_runner.types import Json


def run(options: argparse.Namespace) -> int:
    """Protect every picture of the command line; return 0, or 1 if one failed."""
    config = workflow_config(options)
    destinations = plan(
        options.images, output=options.output, out=options.out, overwrite=options.overwrite
    )
    analysis = not options.no_analysis
    done = [
        protect_one(each, config, analysis=analysis, overwrite=options.overwrite)
        for each in destinations
    ]
    return 0 if all(done) else 1


def protect_one(
    destination: Destination, config: WorkflowConfig, *, analysis: bool, overwrite: bool
) -> bool:
    """Protect one picture and print the outcome; return whether it succeeded."""
    image, target = destination.image, destination.target
    try:
        with tempfile.TemporaryDirectory(prefix="artscraper-") as temporary:
            output = target if destination.all_layers else Path(temporary)
            summary = protect_picture(
                image,
                output,
                config=config,
                include_hash_analysis=analysis and destination.all_layers,
                controls=show_progress(image),
            )
            if not destination.all_layers:
                layer = Path(summary["layers"][-1]["path"])
                save_protected(layer, target, overwrite=overwrite)
    except (PictureError, StageFailed) as error:
        print(f"error: {printable(f'{image}: {error.full}')}", file=sys.stderr)
        return False
    _print_notes(summary)
    outcome = f"{image.name}: {describe(summary)}; saved to {target.absolute()}"
    print(printable(outcome), flush=True)
    return True


def _print_notes(summary: Json) -> None:
    notes = [f"{note['subject']} {note['action']}: {note['detail']}" for note in summary["notes"]]
    for layer in summary["layers"]:
        if not layer["applied"]:
            notes.append(f"{layer['stage']} was not applied: {layer['reason']}")
        elif layer.get("metrics", {}).get("effective") is False:
            notes.append(f"{layer['stage']}: {layer['metrics']['verdict']}")
    for note in notes:
        print(f"note: {printable(note)}", file=sys.stderr)
