"""Commands of the gateway, run in the test's own process."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

from artscraper_gateway.cli.main import main


@dataclass(frozen=True)
class Completed:
    """The outcome of a command, with the names of `subprocess.CompletedProcess`."""

    returncode: int
    stdout: str
    stderr: str


def run_command(folder: Path, *arguments: str) -> Completed:
    """Run `python -m artscraper_gateway ARGUMENTS` as from `folder`."""
    out, error = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
    ):
        try:
            status = main(arguments)
        except SystemExit as end:  # argparse
            status = int(end.code or 0)
    return Completed(status, out.getvalue(), error.getvalue())
