"""Results in object storage, by a URL like s3://bucket/prefix, through fsspec.

    <prefix>/<job>/summary.json ...         the results, the summary last
    <prefix>/.jobs/<job>/input/             the staged picture, for workers on any machine
    <prefix>/.jobs/<job>/workers/<worker>/  what each worker keeps after each stage

There is no renaming here: results are copied to their place, object by object, and are shown once
the database says that the job is done. A worker gets there only when all its stages are recorded,
so one that was frozen and wakes can but write the same bytes again. While a job runs, and after
its results were asked for, its files stand in a folder of this machine, too.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import SUMMARY, Storage, StorageRefused
from artscraper_gateway.storage.local import SharedFolder
from artscraper_gateway.storage.paths import JobFolders, is_job_id
from artscraper_runner import Workspace

_RECEIVED = ".received"  # uploads of jobs that are not done
_PREVIEWS = ".previews"
_CACHED_JOBS = 200  # whose results stay on this machine after they were asked for
Sent = dict[str, int]  # by name, when the file that was sent was written


def open_storage(config: GatewayConfig) -> Storage:
    """Returns the storage that `output_parent` names.

    Raises:
        StorageRefused: it is a URL that cannot be used; says why.
    """
    if isinstance(config.output_parent, Path):
        return SharedFolder(config)
    return ObjectStorage(config)


@dataclass(frozen=True)
class ObjectStorage:
    """Objects below one URL, and what of them is needed on this machine."""

    config: GatewayConfig
    _files: Any = field(init=False, repr=False)
    _root: str = field(init=False)
    _sent: dict[tuple[str, str], Sent] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            from fsspec.core import url_to_fs

            files, root = url_to_fs(str(self.config.output_parent), use_listings_cache=False)
        except (ImportError, ValueError, OSError) as error:
            hint = "S3 needs the packages fsspec and s3fs: pip install 'artscraper-gateway[s3]'"
            if isinstance(error, OSError):
                hint = "Is it reachable from here?"
            raise StorageRefused(
                f"output_parent {self.config.output_parent} cannot be used: {error}. {hint}"
            ) from error
        object.__setattr__(self, "_files", files)
        object.__setattr__(self, "_root", root)

    def keep_input(self, job_id: str) -> None:
        """Sends the staged picture; it stays here too, as what tells tidying of the objects."""
        self._send(self._folders(job_id).input, self._of_job(job_id, "input"), {})

    def end_staging(self, job_id: str) -> None:
        """Removes what was sent."""
        shutil.rmtree(self._folders(job_id).intake, ignore_errors=True)

    def fetch_input(self, job_id: str) -> Path:
        """Fetches the staged picture into the folder of the running job."""
        folder = self._folders(job_id).running / "input"
        if not folder.is_dir():
            self._fetch_folder(self._of_job(job_id, "input"), folder)
        return folder

    def received(self, job_id: str) -> Path:
        """Fetches it once, and keeps those that were asked for last."""
        return self._cached(self._of_job(job_id, "input"), self._received(job_id))

    def shown_input(self, job_id: str, name: str) -> str:
        """Returns the picture's URL."""
        return f"{self.config.output_parent}/.jobs/{job_id}/input/{name}"

    def workspace(self, job_id: str, worker: str) -> Workspace:
        """Returns a folder of this machine."""
        output, work = self._folders(job_id).of_worker(worker)
        return Workspace(output=output, work=work, shown_as=self.shown_output(job_id))

    def keep_stage(self, job_id: str, worker: str) -> None:
        """Sends what the worker has written since it last did."""
        sent = self._sent.setdefault((job_id, worker), {})
        folder = self._folders(job_id).running / worker
        self._send(folder, self._of_job(job_id, f"workers/{worker}"), sent)

    def take_over(self, job_id: str, worker: str, *, before: str) -> None:
        """Fetches what the other worker has sent."""
        folder = self._folders(job_id).running / worker
        self._fetch(self._of_job(job_id, f"workers/{before}"), folder)

    def publish(self, job_id: str, worker: str) -> None:
        """Sends the results to their place; the summary last, for it says that all are there."""
        output, _ = self._folders(job_id).of_worker(worker)
        place = f"{self._root}/{job_id}"
        sent = {SUMMARY: (output / SUMMARY).stat().st_mtime_ns}
        self._send(output, place, sent)
        with self._reached():
            self._files.put_file(str(output / SUMMARY), f"{place}/{SUMMARY}")

    def is_published(self, job_id: str) -> bool:
        """Whether the summary is in its place."""
        with self._reached():
            return bool(self._files.exists(f"{self._root}/{job_id}/{SUMMARY}"))

    def output(self, job_id: str) -> Path:
        """Fetches the results once, and keeps those that were asked for last."""
        return self._cached(f"{self._root}/{job_id}", self._folders(job_id).output)

    def shown_output(self, job_id: str) -> str:
        """Returns the URL that the names of the results begin with."""
        return f"{self.config.output_parent}/{job_id}"

    def previews(self, job_id: str) -> Path:
        """Returns a folder of this machine's own."""
        return self.config.output_folder / _PREVIEWS / job_id

    def copies(self) -> Iterator[Path]:
        """Yields those that were fetched or made because somebody asked for them."""
        results = self.config.output_folder
        for cache in (results, results / _RECEIVED, results / _PREVIEWS):
            if cache.is_dir():
                yield from (folder for folder in cache.iterdir() if is_job_id(folder.name))

    def clear(self, job_id: str) -> None:
        """Removes what workers kept, there and here."""
        for key in [key for key in self._sent if key[0] == job_id]:
            self._sent.pop(key, None)
        shutil.rmtree(self._folders(job_id).running, ignore_errors=True)
        self._remove(self._of_job(job_id, "workers"))

    def remove_upload(self, job_id: str) -> None:
        """Removes the objects beside the results, and behind them the folder here."""
        self._remove(f"{self._root}/.jobs/{job_id}")
        self._folders(job_id).remove_intake()

    def remove(self, job_id: str) -> None:
        """Removes all objects of the job, and behind them its folders here."""
        self._remove(f"{self._root}/{job_id}")
        self._remove(f"{self._root}/.jobs/{job_id}")
        self._folders(job_id).remove()
        for copy in (self._received(job_id), self.previews(job_id)):
            shutil.rmtree(copy, ignore_errors=True)

    def _folders(self, job_id: str) -> JobFolders:
        return JobFolders.of(job_id, self.config)

    def _received(self, job_id: str) -> Path:
        return self.config.output_folder / _RECEIVED / job_id

    def _of_job(self, job_id: str, name: str) -> str:
        return f"{self._root}/.jobs/{job_id}/{name}"

    def _send(self, folder: Path, place: str, sent: Sent) -> None:
        """Sends the files below `folder` that are not in `sent` as they are now."""
        for path in sorted(folder.rglob("*")):
            name, written = path.relative_to(folder).as_posix(), path.stat().st_mtime_ns
            if path.is_dir() or path.name.startswith(".") or sent.get(name) == written:
                continue
            with self._reached():
                self._files.put_file(str(path), f"{place}/{name}")
            sent[name] = written

    def _fetch(self, place: str, folder: Path) -> None:
        with self._reached():
            for name in self._files.find(place):
                path = folder / str(name).removeprefix(f"{place}/")
                path.parent.mkdir(parents=True, exist_ok=True)
                self._files.get_file(name, str(path))

    def _fetch_folder(self, place: str, folder: Path) -> None:
        """Fetches into a folder that others see whole or not at all."""
        half = folder.with_name(f".half-{secrets.token_hex(6)}")
        try:
            half.mkdir(parents=True)
            self._fetch(place, half)
            if not any(half.iterdir()):
                raise FileNotFoundError(errno.ENOENT, "object storage has nothing of it", place)
            half.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another thread was quicker
                raise
        finally:
            shutil.rmtree(half, ignore_errors=True)

    def _cached(self, place: str, folder: Path) -> Path:
        """Returns the folder, fetched unless it is here; the latest of its kind stay."""
        try:
            os.utime(folder)
        except FileNotFoundError:
            self._fetch_folder(place, folder)
            _forget_oldest(folder.parent)
        return folder

    def _remove(self, place: str) -> None:
        with self._reached():
            if self._files.exists(place):
                self._files.rm(place, recursive=True)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Translates what clients of object storage raise, whose texts may hold their keys."""
        try:
            yield
        except Exception as error:
            if isinstance(error, FileNotFoundError) or getattr(error, "errno", None) is not None:
                raise
            said = f"object storage failed ({type(error).__name__})"
            raise OSError(errno.EIO, said) from error


def _forget_oldest(cache: Path) -> None:
    """Other threads fetch and forget at the same time."""
    cached = []
    for path in cache.iterdir():
        with suppress(FileNotFoundError):
            if not path.name.startswith("."):
                cached.append((path.stat().st_mtime, path))
    for _, path in sorted(cached)[:-_CACHED_JOBS]:
        shutil.rmtree(path, ignore_errors=True)
