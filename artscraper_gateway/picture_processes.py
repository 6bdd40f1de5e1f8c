"""Decode pictures in processes of their own: the web process reads no more than their headers."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from artscraper_gateway.errors import BrokenPicture, TooBusy


@dataclass
class PictureProcesses:
    """Runs commands of `python -m artscraper_runner`, `at_once` at a time; so many more may wait.

    Each runs below the web process' priority and is killed after `timeout_s`.
    """

    at_once: int = 2
    waiting: int = 16
    timeout_s: float = 120.0
    _slots: asyncio.Semaphore = field(init=False)
    _inside: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.at_once)

    async def run(self, *arguments: str) -> bytes:
        """Returns what the command printed.

        Raises:
            BrokenPicture: the command failed, or took too long.
            TooBusy: too many others wait for the same.
        """
        if self._inside >= self.at_once + self.waiting:
            raise TooBusy("Too many pictures are being read; try again in a moment.")
        self._inside += 1
        try:
            async with self._slots:
                return await self._run(arguments)
        finally:
            self._inside -= 1

    async def _run(self, arguments: tuple[str, ...]) -> bytes:
        package_root = str(Path(__file__).resolve().parent.parent)
        search_path = os.pathsep.join([package_root, os.environ.get("PYTHONPATH", "")])
        process = await asyncio.create_subprocess_exec(
            *("nice", sys.executable, "-m", "artscraper_runner", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": search_path},
        )
        try:
            async with asyncio.timeout(self.timeout_s):
                output, _ = await process.communicate()
        except TimeoutError as error:
            raise BrokenPicture("the picture could not be read in time") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise BrokenPicture("the picture cannot be decoded")
        return output
