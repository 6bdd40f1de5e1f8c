"""Downloads, against a server on loopback."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from artscraper_runner.models import download as module
from artscraper_runner.models import load_encoder, taesd
from artscraper_runner.models.download import DownloadFailed, PublishedFile, download
from artscraper_runner.models.protocol import EncoderOptions


class QuietHandler(SimpleHTTPRequestHandler):
    """An HTTP handler that serves a folder and logs nothing."""

    def log_message(self, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def published(tmp_path: Path) -> PublishedFile:
    content = b"weights"
    location = f"owner/name/{'0' * 40}/folder/file.pth"
    file = PublishedFile(location, hashlib.sha256(content).hexdigest())
    path = tmp_path / "served" / file.location
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return file


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "served").mkdir(exist_ok=True)
    handler = partial(QuietHandler, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(module, "PUBLISHED_AT", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("server")
def test_pinned_file_is_downloaded(published: PublishedFile, tmp_path: Path) -> None:
    path = download(published, tmp_path / "new" / "models")
    assert path == tmp_path / "new" / "models" / "file.pth"
    assert path.read_bytes() == b"weights"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.usefixtures("server")
def test_wrong_digest_is_refused_and_leaves_no_file(
    published: PublishedFile, tmp_path: Path
) -> None:
    with pytest.raises(DownloadFailed, match="expected SHA-256 " + "1" * 64):
        download(replace(published, sha256="1" * 64), tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.usefixtures("server")
def test_missing_or_too_large_file_is_refused(
    published: PublishedFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DownloadFailed, match="404"):
        download(replace(published, location="other"), tmp_path / "models")
    monkeypatch.setattr(module, "MAX_BYTES", 3)
    with pytest.raises(DownloadFailed, match="at most 3 bytes"):
        download(published, tmp_path / "models")


def test_unreachable_server_is_reported(
    published: PublishedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PUBLISHED_AT", "http://127.0.0.1:1")
    with pytest.raises(DownloadFailed, match="refused"):
        download(published, tmp_path)


@pytest.mark.usefixtures("server")
def test_encoder_downloads_its_weights_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = taesd.TaesdNetwork(latent_channels=4, pooled=False)
    served = tmp_path / "served" / taesd.published("taesd").location
    served.parent.mkdir(parents=True)
    torch.save(network.state_dict(), served)
    digest = hashlib.sha256(served.read_bytes()).hexdigest()
    monkeypatch.setitem(taesd.SHA256, "taesd", digest)
    models = tmp_path / "models"
    load_encoder("taesd", EncoderOptions(models_dir=models, allow_downloads=True))
    assert (models / "taesd" / "taesd_encoder.pth").is_file()
    served.unlink()
    load_encoder("taesd", EncoderOptions(models_dir=models, allow_downloads=True))


def test_every_published_file_is_pinned() -> None:
    for name in taesd.SHA256:
        file = taesd.published(name)
        assert re.fullmatch(r"[\w-]+/[\w-]+/[0-9a-f]{40}/\w+\.pth", file.location)
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)


def test_pinned_digest_matches_the_local_file(shared_models: Path) -> None:
    content = (shared_models / "taef2" / "taef2_encoder.pth").read_bytes()
    assert hashlib.sha256(content).hexdigest() == taesd.published("taef2").sha256


@pytest.mark.usefixtures("server")
def test_public_error_hides_the_unwritable_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = tmp_path / "served" / taesd.published("taesd").location
    served.parent.mkdir(parents=True)
    served.write_bytes(b"weights")
    monkeypatch.setitem(taesd.SHA256, "taesd", hashlib.sha256(b"weights").hexdigest())
    models = tmp_path / "models"
    models.write_text("a file where the folder should be")
    with pytest.raises(DownloadFailed, match="could not be written") as caught:
        load_encoder("taesd", EncoderOptions(models_dir=models, allow_downloads=True))
    assert str(models) in str(caught.value)
    assert "taesd_encoder.pth: could not be written: Not a directory" in caught.value.public
    assert str(tmp_path) not in caught.value.public
