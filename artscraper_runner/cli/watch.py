"""`watch IN OUT`: protect every picture that appears in a folder."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from artscraper_runner.cli.destinations import Destination, files_in
from artscraper_runner.cli.options import workflow_config
from artscraper_runner.cli.protect import protect_one
from artscraper_runner.cli.terminal import printable
from artscraper_runner.errors import InvalidOption, PictureError
from artscraper_runner.pipeline.folders import folder_pictures
from artscraper_runner.protection_pipeline import WorkflowConfig

_SETTLED_LOOKS = 2  # a file with unchanged size and time in so many polls is complete


_Version = tuple[int, int]  # size and time of a file, which change with its content


@dataclass
class FolderWatch:
    """The pictures in `source` that have no result in `target` yet.

    A file counts as complete when two polls in a row find it unchanged. A file that cannot be
    protected is reported once and tried again when it changes.
    """

    source: Path
    target: Path
    _seen: dict[Path, tuple[_Version, int]] = field(default_factory=dict)
    _failed: dict[Path, _Version] = field(default_factory=dict)

    def due(self, *, at_once: bool = False) -> list[Destination]:
        """Poll once; return complete pictures without a result, sorted by name.

        `at_once` treats every file as complete.
        """
        complete = [path for path in self._pictures() if self._is_complete(path) or at_once]
        destinations = [self._destination(path) for path in complete]
        return [each for each in destinations if each is not None and not self._is_done(each)]

    @property
    def has_failed(self) -> bool:
        """Whether a picture could not be protected."""
        return bool(self._failed)

    def mark_failed(self, picture: Path) -> None:
        """Do not return this version of `picture` again."""
        self._failed[picture] = self._seen[picture][0]

    def _pictures(self) -> list[Path]:
        pictures = [path for path in folder_pictures(self.source) if not path.name.startswith(".")]
        self._seen = {path: self._seen[path] for path in pictures if path in self._seen}
        return pictures

    def _is_complete(self, path: Path) -> bool:
        try:
            status = path.stat()
        except FileNotFoundError:  # removed since the listing
            status = None
        version = (status.st_size, status.st_mtime_ns) if status else (0, 0)
        before, looks = self._seen.get(path, (None, 0))
        looks = looks + 1 if before == version else 1
        self._seen[path] = (version, looks)
        return looks >= _SETTLED_LOOKS and version[0] > 0

    def _destination(self, path: Path) -> Destination | None:
        """Return the destination; None if the picture cannot be read, which is reported."""
        if self._failed.get(path) == self._seen[path][0]:
            return None
        try:
            (destination,) = files_in([path], self.target)
        except (PictureError, OSError) as error:
            print(f"error: {printable(f'{path}: {error}')}", file=sys.stderr, flush=True)
            self.mark_failed(path)
            return None
        return destination

    def _is_done(self, destination: Destination) -> bool:
        target = destination.target
        try:
            changed_ns = destination.image.stat().st_mtime_ns
        except FileNotFoundError:  # removed since the listing: nothing is left to do
            return True
        return target.exists() and target.stat().st_mtime_ns >= changed_ns


def run(options: argparse.Namespace) -> int:
    """Watch until SIGTERM or Ctrl-C, or with --once until every picture there is done."""
    source, target = options.source, options.target
    if not source.is_dir():
        raise InvalidOption(f"expected a folder to watch, found none at {source}")
    if target.resolve() == source.resolve():
        raise InvalidOption("expected another folder for the results than the one that is watched")
    config = workflow_config(options)
    watch = FolderWatch(source, target)
    if options.once:
        _protect_due(watch, config, threading.Event(), at_once=True)
        return 1 if watch.has_failed else 0
    stop = threading.Event()

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, request_stop)
    print(f"watching {printable(str(source.absolute()))}; Ctrl-C ends it", flush=True)
    while not stop.is_set():
        _protect_due(watch, config, stop, at_once=False)
        stop.wait(options.every)
    return 0


def _protect_due(
    watch: FolderWatch, config: WorkflowConfig, stop: threading.Event, *, at_once: bool
) -> None:
    for destination in watch.due(at_once=at_once):
        if stop.is_set():
            break
        try:
            done = protect_one(destination, config, analysis=False, overwrite=True)
        except OSError as error:  # removed meanwhile, or the disk took no result
            print(f"error: {printable(f'{destination.image}: {error}')}", file=sys.stderr)
            done = False
        if not done:
            watch.mark_failed(destination.image)
