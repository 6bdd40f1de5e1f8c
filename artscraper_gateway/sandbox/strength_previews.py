"""Show a part of a picture at a strength, by a process that stays for a while.

`python -m artscraper_gateway.sandbox.strength_previews` is that process: loading what attacks
compute with takes longer than a preview, so it answers one line of JSON for each that it reads.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artscraper_gateway.errors import BrokenPicture, GatewayError, TooBusy
from artscraper_gateway.sandbox.processes import MEMORY_BYTES, module_environment

if TYPE_CHECKING:
    from artscraper_runner import PicturePart, ProtectionOptions

Size = tuple[int, int]  # height, width in px
_log = logging.getLogger(__name__)
_IDLE_S = 300.0  # after which the process and its memory go
_TIMEOUT_S = 60.0
_WAITING = 12  # previews that may be made or wait


@dataclass
class StrengthPreviews:
    """Makes previews by a process that is started at the first one, or by `warm_up`.

    Args:
        options: those of the runner that are the gateway's, as JSON.
    """

    options: dict[str, Any]
    idle_s: float = _IDLE_S
    timeout_s: float = _TIMEOUT_S
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)
    _answers: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict, init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _reading: asyncio.Task[None] | None = field(default=None, init=False)
    _retirement: asyncio.TimerHandle | None = field(default=None, init=False)
    _last_id: int = field(default=0, init=False)
    _open: int = field(default=0, init=False)  # previews that are being made or wait

    async def warm_up(self) -> None:
        """Start the process if there is none; returns before it is ready."""
        await self._started()
        self._plan_retirement()

    async def make(
        self, part: Path, target: Path, *, whole: Size, stages: tuple[str, ...], strength: str
    ) -> None:
        """Write the part at `part` as a PNG to `target`, as it looks after `stages`.

        `whole` is the size of the whole picture, (height, width) in px.

        Raises:
            BrokenPicture: the part cannot be decoded.
            TooBusy: too many others wait, or there was no time to finish.
            GatewayError: the process failed; the log has the reason.
        """
        if self._open >= _WAITING:
            raise TooBusy("Too many previews are being made; try again in a moment.")
        self._open += 1
        work = {"part": str(part), "target": str(target), "whole": whole, "stages": stages}
        try:
            async with asyncio.timeout(self.timeout_s):
                answer = await self._ask({**work, "strength": strength})
        except TimeoutError:
            self._kill()
            answer = {"late": 1}
        finally:
            self._open -= 1
            self._plan_retirement()
        if "late" in answer:
            raise TooBusy("The preview could not be made in time; try again later.")
        if "refused" in answer:
            raise BrokenPicture(answer["refused"])
        if "failed" in answer:
            _log.error("a preview failed: %s", answer["failed"])
            raise GatewayError("The preview could not be made; the gateway's log has the reason.")

    async def close(self) -> None:
        """End the process."""
        if self._retirement is not None:
            self._retirement.cancel()
        self._kill()
        if self._reading is not None:
            await self._reading

    async def _ask(self, work: dict[str, Any]) -> dict[str, Any]:
        stdin = await self._started()
        self._last_id += 1
        number = self._last_id
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            stdin.write(json.dumps({**work, "id": number}).encode() + b"\n")
            with suppress(ConnectionError):  # it has just ended, which `_read` reports
                await stdin.drain()
            answer: dict[str, Any] = await future
            return answer
        finally:
            self._answers.pop(number, None)

    async def _started(self) -> asyncio.StreamWriter:
        """Return the standard input of the process, which is started if there is none."""
        async with self._lock:
            process = self._process
            if process is None or process.returncode is not None:
                if self._reading is not None:
                    await self._reading  # it ends what the last one left
                process = self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", __name__, json.dumps(self.options)),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    env=module_environment(),
                )
                self._reading = asyncio.create_task(self._read(process))
            if process.stdin is None:
                raise GatewayError("The process of previews has no input.")
            return process.stdin

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hand on answers until the process ends; what is left then has failed."""
        while process.stdout is not None and (line := await process.stdout.readline()):
            answer = json.loads(line)
            future = self._answers.get(answer["id"])
            if future is not None and not future.done():
                future.set_result(answer)
        code = await process.wait()
        end = (
            {"failed": f"its process ended with {code}"}
            if process is self._process
            else {"late": 1}
        )
        for future in self._answers.values():
            if not future.done():
                future.set_result(end)

    def _plan_retirement(self) -> None:
        if self._retirement is not None:
            self._retirement.cancel()
        loop = asyncio.get_running_loop()
        self._retirement = loop.call_later(self.idle_s, self._retire)

    def _retire(self) -> None:
        if self._open:
            self._plan_retirement()
        else:
            self._kill()

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()


class _Worker:
    """Answers the lines of standard input; `options` are those of all previews."""

    def __init__(self, options: ProtectionOptions) -> None:
        self._options = options
        self._opened: tuple[tuple[str, Size], PicturePart] | None = None

    def run(self) -> None:
        for line in sys.stdin:
            work = json.loads(line)
            print(json.dumps({**self._answer(work), "id": work["id"]}), flush=True)

    def _answer(self, work: dict[str, Any]) -> dict[str, Any]:
        from artscraper_runner import PictureError

        try:
            part = self._part(Path(work["part"]), tuple(work["whole"]))
            options = replace(self._options, strength=work["strength"])
            part.write_preview(Path(work["target"]), work["stages"], options)
        except (PictureError, MemoryError) as error:
            return {"refused": str(error) or "the picture needs too much memory"}
        except Exception as error:  # the others that wait must have their answers
            return {"failed": f"{type(error).__name__}: {error}"}
        return {}

    def _part(self, path: Path, whole: Size) -> PicturePart:
        """Return the part; the same object as before for the same picture, with what it keeps."""
        from artscraper_runner import PicturePart

        key = (hashlib.sha256(path.read_bytes()).hexdigest(), whole)
        if self._opened is None or self._opened[0] != key:
            self._opened = key, PicturePart.opened(path, whole)
        return self._opened[1]


def main(options: str) -> None:
    """Serve previews with these options of the runner, JSON, until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    from artscraper_runner import ProtectionOptions, warm_up_previews

    values = json.loads(options)
    if values.get("models_dir") is not None:
        values["models_dir"] = Path(values["models_dir"])
    chosen = ProtectionOptions(**values)
    warm_up_previews(chosen)
    _Worker(chosen).run()


if __name__ == "__main__":
    main(sys.argv[1])
