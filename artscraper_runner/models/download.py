"""Downloads of published weights: pinned to a revision, checked against a digest."""

from __future__ import annotations

import hashlib
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from artscraper_runner.errors import RunnerError
from artscraper_runner.imaging.files import atomic_path
from artscraper_runner.models.protocol import EncoderOptions

PUBLISHED_AT = "https://raw.githubusercontent.com"
CHUNK_BYTES = 1 << 16
MAX_BYTES = 64 * 1024 * 1024  # the family's files have under 6 MB
TIMEOUT_S = 60.0  # of each wait for the server


class DownloadFailed(RunnerError):
    """A download was refused, broke off or is not the file that was pinned.

    `what` is its address or name, or a local Path; `detail` may hold paths.
    """

    def __init__(self, what: str | Path, reason: str, *, detail: str = "") -> None:
        shown = what.name if isinstance(what, Path) else what
        more = f": {detail}" if detail else ""
        super().__init__(
            f"did not download {what}: {reason}{more}", public=f"did not download {shown}: {reason}"
        )


@dataclass(frozen=True)
class PublishedFile:
    """A file in a public repository, pinned to a commit and to its digest."""

    location: str  # below PUBLISHED_AT: owner/name/commit/path
    sha256: str  # 64 hex digits


def how_to_download(options: EncoderOptions) -> str:
    """Return instructions for missing weights."""
    if options.allow_downloads:
        return (
            "allow_downloads (--allow-downloads) is on, but needs a folder to fetch it into:"
            " models_dir (--models-dir)"
        )
    return "allow_downloads (--allow-downloads), which needs models_dir (--models-dir) too"


def download(file: PublishedFile, folder: Path) -> Path:
    """Download a file into a folder, made if it is missing, and return its path.

    No file is left on failure.

    Raises:
        DownloadFailed: not reachable, too large or of another digest.
    """
    url = f"{PUBLISHED_AT}/{file.location}"
    content = _fetched(url)
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise DownloadFailed(url, f"expected SHA-256 {file.sha256}, got {digest}")
    return _written(content, folder / Path(file.location).name)


def _fetched(url: str) -> bytes:
    content = bytearray()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310
            while chunk := answer.read(CHUNK_BYTES):
                content += chunk
                if len(content) > MAX_BYTES:
                    raise DownloadFailed(url, f"expected at most {MAX_BYTES} bytes, got more")
    except (OSError, ValueError) as exc:  # URLError and timeouts are OSErrors
        raise DownloadFailed(url, str(exc)) from exc
    return bytes(content)


def _written(content: bytes, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    except OSError as exc:
        reason = f"could not be written: {exc.strerror or type(exc).__name__}"
        raise DownloadFailed(path, reason, detail=str(exc)) from exc
    return path
