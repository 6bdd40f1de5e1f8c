"""Protect one picture through a gateway: submit, follow, download."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from artscraper_gateway.cli.submit_inputs import named_by_format
from artscraper_gateway.client import AsyncGateway, Job, JobOptions
from artscraper_gateway.client.errors import ClientError, Unauthorized, UnexpectedResponse
from artscraper_gateway.client.models import Layer, Result

_MAX_JOBS = 20  # of the same picture and options within a day, while they fail

KEY_VARIABLE = "ARTSCRAPER_API_KEY"
_KEY_REFUSED = {  # by whether a key was sent
    False: f"the gateway requires an API key; set {KEY_VARIABLE} or --api-key",
    True: "the API key is unknown to the gateway or was revoked; set another one in"
    f" {KEY_VARIABLE} or --api-key",
}


@dataclass(frozen=True)
class Outcome:
    """The outcome for a picture: `saved` is the place of its result, unless `failure` is set.

    `left_out` has the stages that were not applied, with their reasons; `notes` the parts of the
    file that were dropped or changed.
    """

    picture: str
    status: str
    seconds: float
    saved: str = ""
    failure: str = ""
    left_out: str = ""
    notes: tuple[str, ...] = ()


@dataclass
class PictureSubmission:
    """Sends `picture` and saves its result at `target`. `progress` is 0..1."""

    gateway: AsyncGateway
    picture: str
    target: Path
    options: JobOptions
    layers: Literal["final", "all", "none"]
    timeout_s: float | None
    has_key: bool = False
    progress: float = 0.0
    _begun: float = field(default_factory=time.monotonic)

    async def run(
        self, slots: asyncio.Semaphore, show: Callable[[PictureSubmission], None]
    ) -> Outcome:
        """Return what became of the picture, when it is its turn; never raises a ClientError."""
        async with slots:
            self._begun = time.monotonic()
            try:
                job = await self._submit()
                outcome = await self._finish(job, show)
            except Unauthorized:
                outcome = self._outcome("failed", failure=_KEY_REFUSED[self.has_key])
            except (ClientError, OSError, ValueError) as error:
                outcome = self._outcome("failed", failure=str(error))
            self.progress = 1.0
            show(self)
            return outcome

    async def _submit(self) -> Job:
        """Return the job of this content and these options: the same one when run again.

        One that failed before is followed by a new one.
        """
        digest = await asyncio.to_thread(submission_digest, self.picture, self.options)
        for attempt in range(1, _MAX_JOBS + 1):
            job = await self.gateway.submit(
                self.picture, idempotency_key=f"submit-{digest}-{attempt}", **self.options
            )
            if job.status != "error":
                break
        return job

    async def _finish(self, job: Job, show: Callable[[PictureSubmission], None]) -> Outcome:

        def note(changed: Job) -> None:
            self.progress = changed.progress * 0.99  # the rest is the download
            show(self)

        job = await self.gateway.wait(job.job_id, timeout_s=self.timeout_s, on_change=note)
        if job.status == "error":
            return self._outcome("failed", failure=job.error or "the job failed")
        result = await self.gateway.result(job.job_id)
        layers = result.layers
        changed = [layer for layer in layers if layer.stage != "original"]
        left_out = "; ".join(
            f"{layer.stage}: {layer.reason}" for layer in changed if not layer.applied
        )
        if changed and not any(layer.applied for layer in changed):
            outcome = self._outcome("unprotected", failure=left_out)
        else:
            saved = await self._save(job, layers)
            outcome = self._outcome("done", saved=saved, left_out=left_out)
        return replace(outcome, notes=_notes(result))

    async def _save(self, job: Job, layers: Sequence[Layer]) -> str:
        if self.layers == "none":
            return f"job {job.job_id}"
        if self.layers == "all":
            await self.gateway.download(job.job_id, self.target)
            return str(self.target)
        if not layers:
            raise UnexpectedResponse("the job has no layers")
        target = named_by_format(self.target, layers[-1].suffix)
        return str(await self.gateway.download_layer(job.job_id, layers[-1].stage, target))

    def _outcome(
        self, status: str, *, saved: str = "", failure: str = "", left_out: str = ""
    ) -> Outcome:
        seconds = time.monotonic() - self._begun
        return Outcome(self.picture, status, seconds, saved, failure, left_out)


def _notes(result: Result) -> tuple[str, ...]:
    notes = result.summary.get("notes", [])
    return tuple(f"{note['subject']} {note['action']}: {note['detail']}" for note in notes)


def submission_digest(picture: str, options: JobOptions) -> str:
    """Return a SHA-256 of the picture's content, or its URL, and of the options. Blocks."""
    values: dict[str, Any] = {
        name: _digest(value) if isinstance(value, Path) else value
        for name, value in options.items()
    }
    url = picture.lower().startswith(("http://", "https://"))
    text = json.dumps([picture if url else _digest(Path(picture)), values], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
