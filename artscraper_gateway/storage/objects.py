"""Results in object storage, by a URL like s3://bucket/prefix, through fsspec.

    <prefix>/<job>/summary.json ...         the results, the summary last
    <prefix>/.jobs/<job>/input/             the staged picture, for workers on any machine
    <prefix>/.jobs/<job>/workers/<worker>/  what each worker has after each stage

Objects cannot be renamed: results are uploaded to their place one by one, and are served once the
database has the job as done. A worker gets there only when all its stages are recorded, so
one that was frozen and wakes up can only write the same bytes again. While a job runs, and after
its results were requested, copies of its files are in folders of this machine.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import SUMMARY, ObjectStorageError, Storage, StorageUnavailable
from artscraper_gateway.storage.paths import (
    bytes_below,
    is_job_id,
    job_folders_in,
    partial_downloads,
)

_INPUTS = ".received"  # uploads of jobs that are not done
_PREVIEWS = ".previews"
_CACHED_JOBS = 200  # whose small results are cached on this machine after a request
Uploaded = dict[str, int]  # by name, the modification time of the uploaded file


def open_storage(config: GatewayConfig) -> Storage:
    """Return the storage that `output_parent` names.

    Raises:
        StorageUnavailable: it is a URL that cannot be used.
    """
    if isinstance(config.output_parent, Path):
        return Storage(config)
    return ObjectStorage(config)


@dataclass(frozen=True)
class ObjectStorage(Storage):
    """Objects below one URL, with local copies of the ones in use."""

    shares_running_folders = False
    _files: Any = field(init=False, repr=False)
    _root: str = field(init=False)
    _uploaded: dict[tuple[str, str], Uploaded] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            from fsspec.core import url_to_fs

            files, root = url_to_fs(str(self.config.output_parent), use_listings_cache=False)
        except (ImportError, ValueError, OSError) as error:
            hint = "S3 needs the packages fsspec and s3fs: pip install 'artscraper-gateway[s3]'"
            if isinstance(error, OSError):
                hint = "Is it reachable from here?"
            raise StorageUnavailable(
                f"output_parent {self.config.output_parent} cannot be used: {error}. {hint}"
            ) from error
        object.__setattr__(self, "_files", files)
        object.__setattr__(self, "_root", root)

    def put_input(self, job_id: str) -> None:
        """Upload the staged picture."""
        self._upload(self._folders(job_id).input, self._of_job(job_id, "input"), {})

    def discard_staging(self, job_id: str) -> None:
        """Remove the local copy of an upload."""
        shutil.rmtree(self._folders(job_id).intake, ignore_errors=True)

    def fetch_input(self, job_id: str) -> Path:
        """Download the staged picture into the folder of the running job."""
        folder = self._folders(job_id).running / "input"
        if not folder.is_dir():
            self._download_folder(self._of_job(job_id, "input"), folder)
        return folder

    def local_input(self, job_id: str) -> Path:
        """Download it once, and keep the most recently requested ones."""
        return self._cached(self._of_job(job_id, "input"), self._input_cache(job_id))

    def public_input_path(self, job_id: str, name: str) -> str:
        return f"{self.config.output_parent}/.jobs/{job_id}/input/{name}"

    def commit_stage(self, job_id: str, worker: str) -> None:
        """Upload the files written since the last stage."""
        uploaded = self._uploaded.setdefault((job_id, worker), {})
        folder = self._folders(job_id).running / worker
        self._upload(folder, self._of_job(job_id, f"workers/{worker}"), uploaded)

    def take_over(self, job_id: str, worker: str, *, before: str) -> None:
        """Download the files that another worker uploaded."""
        folder = self._folders(job_id).running / worker
        self._download(self._of_job(job_id, f"workers/{before}"), folder)

    def publish(self, job_id: str, worker: str) -> None:
        """Upload the results; the summary last, as the sign of completeness."""
        output, _ = self._folders(job_id).of_worker(worker)
        place = f"{self._root}/{job_id}"
        all_but_summary = {SUMMARY: (output / SUMMARY).stat().st_mtime_ns}
        self._upload(output, place, all_but_summary)
        with self._translated_errors(writing=True):
            self._files.put_file(str(output / SUMMARY), f"{place}/{SUMMARY}")

    def is_published(self, job_id: str) -> bool:
        """Return whether the summary is in its place."""
        with self._translated_errors():
            return bool(self._files.exists(f"{self._root}/{job_id}/{SUMMARY}"))

    def output(self, job_id: str) -> Path:
        """Download the results once, and keep the most recently requested ones."""
        return self._cached(f"{self._root}/{job_id}", self._folders(job_id).output)

    def public_output_path(self, job_id: str) -> str:
        return f"{self.config.output_parent}/{job_id}"

    def previews(self, job_id: str) -> Path:
        return self.config.output_folder / _PREVIEWS / job_id

    def cached_jobs(self) -> Iterator[Path]:
        """Yield the folders that were downloaded or made for a request."""
        results = self.config.output_folder
        for cache in (results, results / _INPUTS, results / _PREVIEWS):
            yield from job_folders_in(cache)

    def stale_uploads(self, *, older_than_s: float) -> Iterator[str]:
        """Yield the ids of old uploads: objects of any machine, and folders of this one."""
        yield from super().stale_uploads(older_than_s=older_than_s)
        newest: dict[str, float] = {}
        with self._translated_errors():
            objects = self._files.find(f"{self._root}/.jobs", detail=True)
        for name, details in objects.items():
            job_id = str(name).removeprefix(f"{self._root}/.jobs/").split("/", 1)[0]
            newest[job_id] = max(newest.get(job_id, 0.0), _modified_at(details))
        for job_id, changed_at in newest.items():
            if is_job_id(job_id) and time.time() - changed_at > older_than_s:
                yield job_id

    def clear(self, job_id: str) -> None:
        """Remove what workers wrote, as objects and on this machine."""
        for key in [key for key in self._uploaded if key[0] == job_id]:
            self._uploaded.pop(key, None)
        super().clear(job_id)
        self._remove(self._of_job(job_id, "workers"))

    def remove_upload(self, job_id: str) -> None:
        """Remove the local picture, the objects beside the results, and the local folder last.

        While the objects cannot be removed the empty folder stays, for the periodic cleanup.
        """
        shutil.rmtree(self._folders(job_id).input, ignore_errors=True)
        self._remove(f"{self._root}/.jobs/{job_id}")
        super().remove_upload(job_id)

    def remove(self, job_id: str) -> None:
        """Remove all objects of the job, then its local folders."""
        self._remove(f"{self._root}/{job_id}")
        self._remove(f"{self._root}/.jobs/{job_id}")
        super().remove(job_id)
        for copy in (self._input_cache(job_id), self.previews(job_id)):
            shutil.rmtree(copy, ignore_errors=True)

    def check_writable(self) -> None:
        """Write and remove a small object."""
        probe = f"{self._root}/.probe-{secrets.token_hex(6)}"
        with self._translated_errors(writing=True):
            self._files.pipe_file(probe, b"x")
            self._files.rm_file(probe)

    def _input_cache(self, job_id: str) -> Path:
        return self.config.output_folder / _INPUTS / job_id

    def _of_job(self, job_id: str, name: str) -> str:
        return f"{self._root}/.jobs/{job_id}/{name}"

    def _upload(self, folder: Path, place: str, uploaded: Uploaded) -> None:
        """Upload the files below `folder` that differ from `uploaded`."""
        for path in sorted(folder.rglob("*")):
            name, written = path.relative_to(folder).as_posix(), path.stat().st_mtime_ns
            if path.is_dir() or path.name.startswith(".") or uploaded.get(name) == written:
                continue
            with self._translated_errors(writing=True):
                self._files.put_file(str(path), f"{place}/{name}")
            uploaded[name] = written

    def _download(self, place: str, folder: Path) -> None:
        with self._translated_errors():
            for name in self._files.find(place):
                path = folder / str(name).removeprefix(f"{place}/")
                path.parent.mkdir(parents=True, exist_ok=True)
                self._files.get_file(name, str(path))

    def _download_folder(self, place: str, folder: Path) -> None:
        """Download into a folder that appears complete or not at all."""
        partial = partial_downloads(self.config) / secrets.token_hex(6)
        try:
            partial.mkdir(parents=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._download(place, partial)
            if not any(partial.iterdir()):
                raise FileNotFoundError(errno.ENOENT, "object storage has no files of it", place)
            partial.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another thread was faster
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _cached(self, place: str, folder: Path) -> Path:
        """Return the folder, downloaded unless it is here; the oldest of its kind are removed."""
        try:
            os.utime(folder)
        except FileNotFoundError:
            self._download_folder(place, folder)
            _evict_oldest(folder.parent, self.config.max_cache_bytes)
        return folder

    def _remove(self, place: str) -> None:
        with self._translated_errors():
            if self._files.exists(place):
                self._files.rm(place, recursive=True)

    @contextmanager
    def _translated_errors(self, *, writing: bool = False) -> Iterator[None]:
        """Translate errors of object storage clients, whose messages may hold keys and names.

        A missing object stays a FileNotFoundError; when writing it is the bucket that is missing.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, FileNotFoundError) and not writing:
                raise
            number = getattr(error, "errno", None)
            reason = os.strerror(number) if number else type(error).__name__
            raise ObjectStorageError(
                number or errno.EIO, f"object storage failed ({reason})"
            ) from error


def _evict_oldest(cache: Path, max_bytes: int) -> None:
    """Remove the oldest folders beyond `max_bytes` or _CACHED_JOBS, but never the newest.

    Other threads download and remove at the same time.
    """
    cached = []
    for path in cache.iterdir():
        with suppress(FileNotFoundError):
            if not path.name.startswith("."):
                cached.append((path.stat().st_mtime, path))
    total = 0
    for count, (_, path) in enumerate(sorted(cached, reverse=True), start=1):
        total += bytes_below(path)
        if count > 1 and (count > _CACHED_JOBS or total > max_bytes):
            shutil.rmtree(path, ignore_errors=True)


def _modified_at(details: dict[str, Any]) -> float:
    """Return when an object was written, seconds since 1970; now if its listing does not say."""
    moment = details.get("LastModified") or details.get("mtime") or details.get("created")
    if isinstance(moment, datetime):
        return moment.timestamp()
    return float(moment) if isinstance(moment, int | float) else time.time()
