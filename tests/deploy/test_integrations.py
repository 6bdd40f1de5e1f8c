"""The samples that put the gateway behind other software, each run against a live gateway."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from artscraper_gateway.tests.support.in_process import InProcessGateway
from tests.deploy.conftest import DEPLOY, tool
from tests.deploy.proxies import protecting_nginx

pytestmark = pytest.mark.system
EXAMPLES = DEPLOY / "examples"
_PHP = (
    "require $argv[1];"
    "$result = artscraper_protect(['tmp_name' => $argv[2], 'type' => 'image/png', 'size' => 1]);"
    "if (isset($result['error'])) { fwrite(STDERR, $result['error']); exit(1); }"
    "echo $result['size'];"
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessGateway]:
    home = tmp_path_factory.mktemp("integrations")
    (home / "uploads").mkdir()
    options = {"local_roots": home / "uploads", "stages": "photoguard"}
    gateway = InProcessGateway(home, options).start()
    yield gateway
    gateway.stop()


def hook(language: str, upload: Path) -> list[str]:
    if language == "php":
        program = tool("php", install="apt-get install php-cli php-curl")
        return [program, "-r", _PHP, str(EXAMPLES / "upload_hook.php"), str(upload)]
    if language == "mjs":
        program = tool("node", install="make setup-node")
        return [program, str(EXAMPLES / "upload_hook.mjs"), str(upload)]
    return [sys.executable, str(EXAMPLES / "upload_hook.py"), str(upload)]


def change(before: bytes, after: bytes) -> int:
    with Image.open(BytesIO(before)) as one, Image.open(BytesIO(after)) as other:
        assert one.size == other.size and one.format == other.format
        return int(np.abs(np.asarray(one).astype(int) - np.asarray(other)).max())


@pytest.mark.parametrize("language", ["php", "py", "mjs"])
def test_upload_hook_replaces_the_upload(
    app: InProcessGateway, picture: Callable[..., bytes], tmp_path: Path, language: str
) -> None:
    upload = tmp_path / "upload"
    content = picture(96, 64)
    upload.write_bytes(content)
    environment = {**os.environ, "ARTSCRAPER_URL": app.base_url, "NO_PROXY": "127.0.0.1"}
    command = hook(language, upload)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert 0 < change(content, upload.read_bytes()) <= 16
    upload.write_bytes(b"no picture")
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode != 0 and "protected" in done.stderr
    assert upload.read_bytes() == b"no picture"


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_examples_are_short(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    assert len(lines) <= 25


def test_nginx_protects_uploads_of_another_service(
    app: InProcessGateway, picture: Callable[..., bytes], tmp_path: Path
) -> None:
    uploads, content = app.home / "uploads", picture(96, 64)
    (uploads / "a.png").write_bytes(content)
    (uploads / "secret.txt").write_text("text")
    with (
        protecting_nginx(tmp_path, app.base_url.removeprefix("http://"), uploads) as proxy,
        httpx.Client(base_url=proxy.url, timeout=120, trust_env=False) as visitor,
    ):
        first = visitor.get("/pictures/a.png")
        assert first.status_code == 200 and first.headers["content-type"] == "image/png"
        assert 0 < change(content, first.content) <= 16
        (uploads / "a.png").unlink()
        assert visitor.get("/pictures/a.png").content == first.content, "it is cached"
        for path in ("secret.txt", "none.png", "..%2fa.png", 'a".png', "a%22%7d.png"):
            assert visitor.get(f"/pictures/{path}").status_code in (400, 404, 422), path
        assert visitor.post("/pictures/a.png").status_code == 403
    with app.client() as client:
        assert len(client.get("/v1/jobs").json()["jobs"]) >= 1
