"""Converted weights, kept as safetensors in a folder that only its owner can write to.

A file is named after the digest of what it was made from, so it never goes stale. It is made
whole or not at all; one that is damaged is made again. Where no such folder can be had, weights
are converted anew each time: the answer is the same, only later.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

import torch

from artscraper_runner.io import atomic_path
from artscraper_runner.models.weights import UnusableModel, read_state

_log = logging.getLogger(__name__)
State = dict[str, torch.Tensor]


def user_cache() -> Path:
    """Answer this user's folder for the project's caches, after the XDG base directories."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "artscraper"


def cached_state(source: Path, folder: Path | None, *, read: Callable[[Path], State]) -> State:
    """Answer `read(source)`, or what it answered before for a file of the same content.

    Raises:
        UnusableModel: `source` cannot be read; also whatever `read` raises.
    """
    if folder is None:
        return read(source)
    kept = folder / f"{source.stem}-{_digest(source)}.safetensors"
    if _is_private(folder) and kept.is_file():
        try:
            return read_state(kept)
        except UnusableModel as error:
            _log.warning("made again: %s", error)
    state = read(source)
    _keep(state, kept)
    return state


def _keep(state: State, path: Path) -> None:
    from safetensors.torch import save_file

    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(path.parent):
            _log.warning("not kept: %s can be written to by others", path.parent)
            return
        with atomic_path(path) as temporary:
            save_file(state, temporary)
    except OSError as error:
        _log.info("not kept in %s: %s", path.parent, error)


def _is_private(folder: Path) -> bool:
    """Whether `folder` is one, ours, and closed to other writers: their weights are not read."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    writable_by_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ours = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    return stat.S_ISDIR(status.st_mode) and ours and not writable_by_others


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnusableModel(path, error.strerror or "cannot be read") from error
