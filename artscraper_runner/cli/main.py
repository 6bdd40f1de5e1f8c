"""The command line: `protect` a picture or a folder, `analyse` a picture, `read-watermark`."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from artscraper_runner.cli.options import (
    add_protect_options,
    named_stages,
    protection_options,
    signing_settings,
)
from artscraper_runner.errors import InvalidOption, PictureError, RunnerError
from artscraper_runner.options import AnalysisOptions, PictureLimits
from artscraper_runner.types import Controls, Json, Progress

if TYPE_CHECKING:
    from tqdm import tqdm

    from artscraper_runner.protection_pipeline import WorkflowConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status: 0, 1 on failure, 2 on wrong usage."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may be no text at all
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int = options.run(options)
    except RunnerError as error:
        print(f"error: {error.full}", file=sys.stderr)
        return 2 if isinstance(error, InvalidOption) else 1
    except BrokenPipeError:  # whoever reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m artscraper_runner", description="Analyse and protect pictures."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    protect = commands.add_parser("protect", help="protect a picture, or every one in a folder")
    add_protect_options(protect)
    protect.set_defaults(run=_protect)
    analyse = commands.add_parser("analyse", help="print what the processors find")
    analyse.add_argument("image", type=Path, metavar="IMAGE")
    analyse.add_argument("--json-out", type=Path, metavar="FILE", help="write there instead")
    analyse.add_argument(
        "--tineye", action="store_true", help="also ask TinEye (sends the picture)"
    )
    analyse.set_defaults(run=_analyse)
    read = commands.add_parser("read-watermark", help="print what pictures carry, a line each")
    read.add_argument("images", type=Path, metavar="IMAGE", nargs="+")
    read.set_defaults(run=_read_watermark)
    return parser


def _protect(options: argparse.Namespace) -> int:
    from artscraper_runner.protection_pipeline import WorkflowConfig, output_folder, protect_picture

    config = WorkflowConfig(
        named_stages(options), protection_options(options), signing=signing_settings(options)
    )
    if options.image.is_dir():
        return _protect_folder(options, config)
    output = options.out or output_folder(options.image, Path("outputs"))
    summary = protect_picture(
        options.image,
        output,
        config=config,
        include_hash_analysis=not options.no_analysis,
        controls=_progress(options.image),
    )
    _print_results(output.absolute(), summary)
    return 0


def _print_results(folder: object, summary: Json) -> None:
    print(f"results: {folder}")
    for layer in summary["layers"]:
        if not layer["applied"]:
            print(f"note: {layer['stage']} was not applied: {layer['reason']}", file=sys.stderr)
        elif layer.get("metrics", {}).get("effective") is False:
            print(f"note: {layer['stage']} does hardly more than noise here", file=sys.stderr)
    for note in summary["notes"]:
        if note["action"] != "kept":
            line = f"note: {note['subject']} {note['action']}: {note['detail']}"
            print(line, file=sys.stderr)


def _protect_folder(options: argparse.Namespace, config: WorkflowConfig) -> int:
    from artscraper_runner.protection_pipeline import run_full_workflow

    result = run_full_workflow(
        options.image,
        options.out or "outputs",
        not options.no_analysis,
        config,
        on_picture=_progress,
    )
    for row in result["processed"]:
        _print_results(row["output_dir"], row["summary"])
    for row in result["failed"]:
        print(f"error: {row['image']}: {row['error']}", file=sys.stderr)
    return 1 if result["failed"] else 0


def _analyse(options: argparse.Namespace) -> int:
    from artscraper_runner.analysis.run import analyse_picture
    from artscraper_runner.io import write_json

    asked = AnalysisOptions(
        enable_tineye=options.tineye, tineye_api_key=os.environ.get("TINEYE_API_KEY")
    )
    analysis = analyse_picture(options.image, asked)
    if options.json_out:
        write_json(options.json_out, analysis)
    else:
        print(json.dumps(analysis, indent=2))
    return 0


def _read_watermark(options: argparse.Namespace) -> int:
    from artscraper_runner.imaging.decode import open_picture
    from artscraper_runner.watermarks import read_watermark

    status = 0
    for image in options.images:
        try:
            pixels = open_picture(image, PictureLimits()).pixels
        except (PictureError, OSError) as error:
            print(f"error: {image}: {error}", file=sys.stderr)
            status = 1
            continue
        line = {"image": str(image), **read_watermark(pixels).to_json()}
        print(json.dumps(line), flush=True)  # ASCII: it fits any terminal and any file name
    return status


def _progress(image: Path) -> Controls:
    """A bar on a terminal, one plain line a step elsewhere; both on standard error."""
    if not sys.stderr.isatty():
        return Controls(on_progress=_LinePrinter())
    from tqdm import tqdm

    bar = tqdm(desc=image.name, unit="step", leave=True)
    return Controls(on_progress=lambda progress: _move_bar(bar, progress))


class _LinePrinter:
    """Prints each step once; what goes on inside a step is for terminals."""

    def __init__(self) -> None:
        self._last: int | None = None

    def __call__(self, progress: Progress) -> None:
        if progress.done != self._last:
            print(f"[{progress.done}/{progress.total}] {progress.what}", file=sys.stderr)
        self._last = progress.done


def _move_bar(bar: tqdm[None], progress: Progress) -> None:
    bar.total = progress.total
    bar.n = progress.done
    bar.set_postfix_str(progress.what)
    if progress.done >= progress.total:
        bar.close()
