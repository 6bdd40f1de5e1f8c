"""Clients that send pictures of all kinds to a gateway, look, cancel and delete; their ledger."""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from PIL import Image

KEPT_JOBS = 150  # more are deleted again, so that memory is not that of ever more jobs
END_WITHIN_S = 240.0
NOTHING = {"include_protection": "false", "include_hash_analysis": "false"}
KINDS: dict[str, tuple[int, dict[str, str]]] = {  # how often, and with which fields
    "filed": (10, NOTHING),
    "analysed": (5, {"include_protection": "false"}),
    "marked": (3, {"include_hash_analysis": "false", "stages": "invisible-watermark"}),
    "protected": (1, {"include_hash_analysis": "false", "stages": "mist", "strength": "low"}),
}
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF")


@dataclass
class Ledger:
    """The responses that the clients got."""

    accepted: dict[str, str] = field(default_factory=dict)  # kind by id
    cancelled: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)  # or being deleted
    twice: int = 0  # one key, two jobs
    refused: int = 0  # submissions during an outage of storage
    odd: Counter[str] = field(default_factory=Counter)  # answers that should not occur
    submit_s: list[float] = field(default_factory=list)
    status_s: list[float] = field(default_factory=list)

    @property
    def there(self) -> list[str]:
        return [job_id for job_id in self.accepted if job_id not in self.deleted]


@dataclass
class Clients:
    """One client per loop of `act`, over one connection pool."""

    client: httpx.AsyncClient
    draw: random.Random
    ledger: Ledger = field(default_factory=Ledger)
    may_refuse: bool = False  # storage is away, or was so a moment ago

    async def until_all_have_ended(self) -> None:
        """Return when no job is open any more, or too late."""
        deadline = time.monotonic() + END_WITHIN_S
        for job_id in self.ledger.there:
            while (await self._state(job_id)).get("status") in ("queued", "running"):
                if time.monotonic() > deadline:
                    return
                await asyncio.sleep(0.1)

    async def act(self) -> None:
        """Do one thing that a client does, by chance."""
        actions = [self._submit, self._submit_batch, self._submit_twice]
        weights = [8, 1, 1]
        if self.ledger.there:
            actions += [self._look, self._cancel, self._delete]
            crowded = len(self.ledger.there) > KEPT_JOBS
            weights += [12, 1, 40 if crowded else 2]
        await self.draw.choices(actions, weights)[0]()
        await asyncio.sleep(self.draw.expovariate(8))

    def _job(self) -> tuple[str, dict[str, str], tuple[str, bytes]]:
        names = list(KINDS)
        kind = self.draw.choices(names, [KINDS[name][0] for name in names])[0]
        return kind, KINDS[kind][1], ("picture", _picture(self.draw))

    async def _submit(self, key: str | None = None) -> None:
        kind, fields, picture = self._job()
        await self._post("/v1/jobs", kind, fields, [picture], key)

    async def _submit_batch(self) -> None:
        kind, fields, picture = self._job()
        more = [("picture", _picture(self.draw)) for _ in range(self.draw.randint(1, 4))]
        await self._post("/v1/batches", kind, fields, [picture, *more], None)

    async def _submit_twice(self) -> None:
        """Submit twice at the same time, and again later, as a client does that got no response."""
        kind, fields, picture = self._job()
        key = f"{self.draw.getrandbits(64):x}"
        same = ("/v1/jobs", kind, fields, [picture], key)
        found = set().union(*await asyncio.gather(self._post(*same), self._post(*same)))
        self.ledger.twice += len(found) > 1

    async def _post(
        self,
        path: str,
        kind: str,
        fields: dict[str, str],
        pictures: list[tuple[str, bytes]],
        key: str | None,
    ) -> set[str]:
        headers = {"Idempotency-Key": key} if key else {}
        files = [("file", picture) for picture in pictures]
        begun = time.perf_counter()
        answer = await self.client.post(path, files=files, data=fields, headers=headers)
        self.ledger.submit_s.append(time.perf_counter() - begun)
        if key and answer.status_code == 404:  # another client has deleted the key's job meanwhile
            return set()
        if self.may_refuse and answer.status_code == 503:
            self.ledger.refused += answer.json()["code"] == "storage-failed"
            return set()
        if not self.is_expected(answer, 200):
            return set()
        body = answer.json()
        ids = {job["job_id"] for job in body.get("jobs", [body])}
        if len(ids) != len(pictures):
            self.ledger.odd[f"{len(ids)} jobs of {len(pictures)} pictures"] += 1
        self.ledger.accepted.update(dict.fromkeys(ids, kind))
        return ids

    async def _look(self) -> None:
        await self._state(self.draw.choice(self.ledger.there))

    async def _state(self, job_id: str) -> dict[str, Any]:
        begun = time.perf_counter()
        answer = await self.client.get(f"/v1/jobs/{job_id}")
        self.ledger.status_s.append(time.perf_counter() - begun)
        if job_id in self.ledger.deleted:
            return {}
        return dict(answer.json()) if self.is_expected(answer, 200) else {}

    async def _cancel(self) -> None:
        job_id = self.draw.choice(self.ledger.there)
        self.ledger.cancelled.add(job_id)
        answer = await self.client.post(f"/v1/jobs/{job_id}/cancel")
        if job_id not in self.ledger.deleted:
            self.is_expected(answer, 200)

    async def _delete(self) -> None:
        job_id = self.draw.choice(self.ledger.there)
        self.ledger.deleted.add(job_id)
        self.is_expected(await self.client.delete(f"/v1/jobs/{job_id}"), 200)

    def is_expected(self, answer: httpx.Response, status: int) -> bool:
        """Return whether the response has this status; count it as unexpected otherwise."""
        if answer.status_code != status:
            self.ledger.odd[f"{answer.request.method} {answer.status_code}: {answer.text}"] += 1
        return answer.status_code == status


def _picture(draw: random.Random) -> bytes:
    width, height = draw.randint(40, 160), draw.randint(40, 160)
    noise = np.frombuffer(draw.randbytes(width * height * 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise.reshape(height, width, 3)).save(buffer, draw.choice(FORMATS))
    return buffer.getvalue()
