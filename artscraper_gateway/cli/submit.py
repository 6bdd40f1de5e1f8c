"""`submit IMAGE...`: protect pictures through a gateway.

A second run after an interruption continues the same jobs: the idempotency key of each picture is
a digest of its content and of the options.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from artscraper_gateway.cli.submit_inputs import (
    UnusableArguments,
    find_pictures,
    hidden_pictures,
)
from artscraper_gateway.cli.submit_one import KEY_VARIABLE, Outcome, PictureSubmission
from artscraper_gateway.client import AsyncGateway, JobOptions, RetryPolicy
from artscraper_gateway.client.errors import ClientError
from artscraper_runner import printable

_URL_VARIABLE = "ARTSCRAPER_URL"
_RETRY = RetryPolicy(max_attempts=20, max_wait_s=300)
_INTERRUPTED = 130


def main(arguments: Sequence[str], *, prog: str = "python -m artscraper_gateway submit") -> int:
    """Run `submit ...`; return 0, 1 if a picture failed, 2 if nothing could be sent."""
    options = _parser(prog).parse_args(arguments)
    try:
        pictures = find_pictures(options.images, options.out, keep_all=options.layers == "all")
        for hidden in hidden_pictures(options.images):
            print(f"skipped: {printable(str(hidden))} (hidden)", file=sys.stderr)
        if options.layers != "none":
            options.out.mkdir(parents=True, exist_ok=True)  # before the gateway does any work
        outcomes = asyncio.run(_submit_all(options, pictures))
    except (UnusableArguments, ClientError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run it again to continue the same jobs", file=sys.stderr)
        return _INTERRUPTED
    for outcome in outcomes:
        for note in outcome.notes:
            print(f"note: {printable(f'{outcome.picture}: {note}')}", file=sys.stderr)
    print(_table(outcomes))
    return int(any(outcome.failure for outcome in outcomes))


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Protect pictures through a gateway; folders include everything below them.",
        epilog=f"Example: {prog} paintings/ --url http://127.0.0.1:8765 --out protected",
    )
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="picture, folder or URL")
    parser.add_argument(
        "--url",
        default=os.environ.get(_URL_VARIABLE) or "http://127.0.0.1:8765",
        help=f"address of the gateway (default: {_URL_VARIABLE}, else %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("protected"),
        help="folder for results (default: %(default)s)",
    )
    parser.add_argument(
        "--layers",
        choices=("final", "all", "none"),
        default="final",
        help="download the protected picture, every layer in a folder, or nothing"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--api-key",
        help=f"API key; prefer {KEY_VARIABLE}: command lines are visible to other users",
    )
    parser.add_argument(
        "--parallel", type=int, default=4, help="pictures at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout", type=_seconds, help="seconds to wait for a picture (default: no limit)"
    )
    _add_job_options(parser)
    return parser


def _add_job_options(parser: argparse.ArgumentParser) -> None:
    job = parser.add_argument_group("options of the jobs; the gateway's defaults apply to the rest")
    job.add_argument("--strength", choices=("low", "medium", "high"))
    job.add_argument("--stages", type=_names, help="names separated by commas")
    job.add_argument("--processors", type=_names, help="names separated by commas")
    job.add_argument("--encoder")
    job.add_argument("--preset", choices=("default", "published"))
    job.add_argument("--seed", type=int)
    job.add_argument(
        "--nightshade-target", type=_concept_or_file, help="a concept or a picture file"
    )
    job.add_argument("--fawkes-target", type=Path, help="a picture of another person")
    job.add_argument("--watermark-text")
    job.add_argument("--watermark-method", choices=("tiled", "dwtDctSvd"))
    job.add_argument(
        "--keep-watermark",
        action="store_true",
        default=None,
        help="keep the watermark of a picture that carries one already",
    )
    job.add_argument("--copyright-notice", help="written into XMP by the stage c2pa")
    job.add_argument("--usage-terms", help="written into XMP by the stage c2pa")
    job.add_argument(
        "--allow-search-engines",
        action="store_true",
        default=None,
        help="the statement of the stage c2pa permits search engines",
    )
    job.add_argument("--priority", type=int)
    job.add_argument("--callback-url")
    job.add_argument("--enable-tineye", action="store_true", default=None)
    for name in ("protection", "analysis"):
        field = {"protection": "include_protection", "analysis": "include_hash_analysis"}[name]
        job.add_argument(f"--no-{name}", dest=field, action="store_false", default=None)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, found {text}")
    return seconds


def _names(text: str) -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise argparse.ArgumentTypeError(f"expected at least one name, found {text!r}")
    return names


def _concept_or_file(text: str) -> str | Path:
    return Path(text) if Path(text).is_file() else text


async def _submit_all(options: argparse.Namespace, pictures: dict[Path, str]) -> list[Outcome]:
    job_options: Any = {
        name: value
        for name in JobOptions.__annotations__
        if (value := getattr(options, name)) is not None
    }
    key = options.api_key or os.environ.get(KEY_VARIABLE) or None
    gateway = AsyncGateway(options.url, api_key=key, retry=_RETRY)
    slots = asyncio.Semaphore(max(1, options.parallel))
    async with gateway:
        await _check_reachable(options.url)
        runs = [
            PictureSubmission(
                gateway,
                picture,
                target,
                job_options,
                options.layers,
                options.timeout,
                has_key=key is not None,
            )
            for target, picture in pictures.items()
        ]
        return await _run_all(runs, slots)


async def _run_all(runs: Sequence[PictureSubmission], slots: asyncio.Semaphore) -> list[Outcome]:
    """Show a bar on a terminal, elsewhere one line per finished picture."""
    from tqdm import tqdm

    ended = 0
    with tqdm(total=len(runs), unit="picture", disable=None, bar_format=_BAR) as bar:

        def show(_run: PictureSubmission) -> None:
            bar.n = round(sum(run.progress for run in runs), 2)
            bar.refresh()

        async def follow(run: PictureSubmission) -> Outcome:
            nonlocal ended
            outcome = await run.run(slots, show)
            ended += 1
            if bar.disable:
                line = f"{ended} of {len(runs)}: {printable(outcome.picture)}: {outcome.status}"
                print(line, file=sys.stderr, flush=True)
            return outcome

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(follow(run)) for run in runs]
    return [task.result() for task in tasks]


_BAR = "{percentage:3.0f}%|{bar}| {n:.1f} of {total} pictures, {elapsed}{postfix}"


async def _check_reachable(url: str) -> None:
    """Send one request before any picture; raises ClientError if no gateway answers."""
    async with AsyncGateway(url, retry=RetryPolicy(max_attempts=2, outage_s=0)) as gateway:
        await gateway.limits()


def _table(outcomes: Sequence[Outcome]) -> str:
    rows: list[tuple[str, ...]] = [("picture", "status", "seconds", "result")]
    for each in outcomes:
        result = each.failure or each.saved + (f" (without {each.left_out})" * bool(each.left_out))
        cells = (each.picture, each.status, f"{each.seconds:.1f}", result)
        rows.append(tuple(printable(cell) for cell in cells))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}".rstrip()
        for row in rows
    ]
    failed = sum(bool(each.failure) for each in outcomes)
    return "\n".join([*lines, f"{len(outcomes) - failed} done, {failed} failed"])
