"""The command line: `protect`, `watch`, `analyse`, `read-watermark`."""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from artscraper_runner.cli.options import add_protect_options, add_watch_options
from artscraper_runner.errors import InvalidOption, PictureError, RunnerError
from artscraper_runner.options import AnalysisOptions, PictureLimits
from artscraper_runner.process import pause_collection, resume_collection
from artscraper_runner.version import __version__

COMMANDS = ("protect", "watch", "analyse", "read-watermark")


def main(
    arguments: Sequence[str] | None = None, *, prog: str = "python -m artscraper_runner"
) -> int:
    """Run the command line; return 0, 1 on failure, 2 on wrong usage."""
    pause_collection()
    try:
        return _run(arguments, prog)
    finally:
        gc.enable()


def _run(arguments: Sequence[str] | None, prog: str) -> int:
    options = _parser(prog).parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names may hold undecodable bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int = options.run(options)
    except RunnerError as error:
        print(f"error: {error.full}", file=sys.stderr)
        return 2 if isinstance(error, InvalidOption) else 1
    except BrokenPipeError:  # the reader of the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"error: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return status


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Analyse and protect pictures.")
    parser.add_argument("--version", action="version", version=f"artscraper {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    protect = commands.add_parser(
        "protect",
        help="protect pictures, or every picture in a folder",
        epilog="Example: protect in.jpg -o out.jpg",
    )
    add_protect_options(protect)
    protect.set_defaults(run=_protect)
    watch = commands.add_parser(
        "watch",
        help="protect every picture that appears in a folder",
        epilog="Example: watch uploads protected --strength low",
    )
    add_watch_options(watch)
    watch.set_defaults(run=_watch)
    analyse = commands.add_parser(
        "analyse",
        help="print hashes, metadata and hidden data of a picture as JSON",
        epilog="Example: analyse in.jpg --json-out in.json",
    )
    analyse.add_argument("image", type=Path, metavar="IMAGE")
    analyse.add_argument("--json-out", type=Path, metavar="FILE", help="write there instead")
    analyse.add_argument(
        "--tineye", action="store_true", help="also search with TinEye (sends the picture away)"
    )
    analyse.set_defaults(run=_analyse)
    read = commands.add_parser(
        "read-watermark",
        help="print the watermarks of pictures, one JSON line each",
        epilog="Example: read-watermark found-on-the-web.jpg",
    )
    read.add_argument("images", type=Path, metavar="IMAGE", nargs="+")
    read.set_defaults(run=_read_watermark)
    return parser


def _protect(options: argparse.Namespace) -> int:
    from artscraper_runner.cli import protect

    resume_collection()
    return protect.run(options)


def _watch(options: argparse.Namespace) -> int:
    from artscraper_runner.cli import watch

    resume_collection()
    return watch.run(options)


def _analyse(options: argparse.Namespace) -> int:
    from artscraper_runner import analyse_picture
    from artscraper_runner.imaging.files import write_json

    resume_collection()
    choice = AnalysisOptions(
        enable_tineye=options.tineye, tineye_api_key=os.environ.get("TINEYE_API_KEY")
    )
    analysis = analyse_picture(options.image, choice)
    if options.json_out:
        write_json(options.json_out, analysis)
    else:
        print(json.dumps(analysis, indent=2))
    return 0


def _read_watermark(options: argparse.Namespace) -> int:
    from artscraper_runner import open_picture, read_watermark

    resume_collection()
    status = 0
    for image in options.images:
        try:
            pixels = open_picture(image, PictureLimits()).pixels
        except (PictureError, OSError) as error:
            print(f"error: {image}: {error}", file=sys.stderr)
            status = 1
            continue
        line = {"image": str(image), **read_watermark(pixels).to_json()}
        print(json.dumps(line), flush=True)  # ASCII: valid on any terminal, for any file name
    return status
