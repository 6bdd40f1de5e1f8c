"""Decode pictures in processes of their own: the web process reads no more than their headers.

Such a process is a module that bounds itself and prints one line of JSON, with `refused` when the
picture is at fault; whatever else it does, the gateway is.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artscraper_gateway.errors import BrokenPicture, GatewayError, TooBusy

_log = logging.getLogger(__name__)
_LOGGED_BYTES = 4_000  # of the end of a failed process's output
MEMORY_BYTES = 3 * 1024**3  # of addresses, most of them never used
_CPU_S = 90


def module_environment() -> dict[str, str]:
    """Return the environment in which `python -m` finds this package's modules."""
    package_root = str(Path(__file__).resolve().parents[2])
    search_path = os.pathsep.join([package_root, os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": search_path}


def bound_this_process() -> None:
    """Limit memory and time of this process: it decodes untrusted files."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))


@dataclass
class PictureProcesses:
    """Runs modules, as many at a time as `slots` has room for; `waiting` more may wait.

    Each runs below the web process' priority and is killed after `timeout_s`. A large picture
    takes up to 1 GiB, so all that runs on a machine shares its slots.
    """

    slots: asyncio.Semaphore
    waiting: int = 16
    timeout_s: float = 120.0
    _waiting: int = field(default=0, init=False)

    async def run(self, module: str, *arguments: str) -> dict[str, Any]:
        """Return the JSON object that `python -m module` prints.

        Raises:
            BrokenPicture: it refused the picture.
            TooBusy: too many others wait for the same, or there was no time to finish.
            GatewayError: the process failed; the log has the reason.
        """
        await self._get_slot()
        try:
            result = await self._run(module, arguments)
        finally:
            self.slots.release()
        if "refused" in result:
            raise BrokenPicture(result["refused"])
        return result

    async def _get_slot(self) -> None:
        if self.slots.locked() and self._waiting >= self.waiting:
            raise TooBusy("Too many pictures are being read; try again in a moment.")
        self._waiting += 1
        try:
            await self.slots.acquire()
        finally:
            self._waiting -= 1

    async def _run(self, module: str, arguments: tuple[str, ...]) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *("nice", sys.executable, "-m", module, *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=module_environment(),
        )
        try:
            async with asyncio.timeout(self.timeout_s):
                output, complaints = await process.communicate()
        except TimeoutError as error:
            raise TooBusy("The picture could not be read in time; try again later.") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            last_words = complaints[-_LOGGED_BYTES:].decode(errors="replace")
            _log.error("%s ended with %d: %s", module, process.returncode, last_words)
            raise GatewayError("The picture could not be read; the gateway's log has the reason.")
        result: dict[str, Any] = json.loads(output)
        return result
