"""What is shown on a terminal: untrusted text, escaped, and progress on standard error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from artscraper_runner.types import Controls, Progress

if TYPE_CHECKING:
    from tqdm import tqdm


def printable(text: str) -> str:
    """Return `text` with control characters and undecodable bytes as backslash escapes.

    File names may hold newlines, terminal sequences and marks that reverse the direction of text.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def show_progress(image: Path) -> Controls:
    """Return controls that show how far `image` is: a bar on a terminal, else a line a step."""
    if not sys.stderr.isatty():
        return Controls(on_progress=_LinePrinter())
    from tqdm import tqdm

    bar = tqdm(desc=printable(image.name), unit="step", leave=False)
    return Controls(on_progress=lambda progress: _move_bar(bar, progress))


class _LinePrinter:
    """Prints each step once; what happens inside a step is for terminals."""

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
