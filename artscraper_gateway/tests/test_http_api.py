"""Every command of docs/http-api.md against a live gateway, in order, and the Python client's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from artscraper_gateway.tests.gateway_process import REPOSITORY, GatewayProcess

pytestmark = pytest.mark.system

TEXT = (REPOSITORY / "docs" / "http-api.md").read_text()
CLIENTS = (REPOSITORY / "docs" / "clients.md").read_text()
DOCUMENTED_BASE = "http://127.0.0.1:8765"
# What an answer says, for each curl line in order; None matches anything.
EXPECTED = [
    None,  # -o protected.jpg in one call
    "queued",
    None,  # JOB=$(...)
    "queued",
    "queued",
    "forbidden-address",
    "queued",
    '"job_id":"',
    '"counts"',
    None,  # BATCH=$(...)
    '"counts"',
    None,  # until curl
    None,  # -o batch.zip
    '"queue_position"',
    '"status":"',
    "event: snapshot",
    '"status":"',
    "202",
    None,  # until curl
    '"summary"',
    None,  # -o protected.jpg
    '"expires_at"',
    None,  # -o preview.webp
    None,  # -o job.zip
    '"job_id":"',
    None,  # -o change.png
    '"max_pixels"',
    '"next_page_token"',
    "event: snapshot",
    '"max_side":512',
    None,  # -o part.png
    '"deliveries":[]',
    "not-found",
    '"status":"done"',
    "queued",
    '"has_more"',
    '"status":"deleted"',
    '"status":"deleted"',
    '"jobs"',
    "unsupported-picture",
]


def blocks(language: str, text: str = TEXT) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def documented(
    start_gateway: Callable[..., GatewayProcess], tmp_path: Path
) -> tuple[GatewayProcess, Path]:
    """A gateway whose working directory has the files that the document names."""
    shutil.copytree(REPOSITORY / "input", tmp_path / "input")
    shutil.copy(REPOSITORY / "README.md", tmp_path)
    return start_gateway(tmp_path), tmp_path


def test_documented_curl_commands_run(documented: tuple[GatewayProcess, Path]) -> None:
    gateway, folder = documented
    lines = [line for block in blocks("bash") for line in block.strip().splitlines()]
    script = ["set -e"]
    for line in lines:
        script += [line.replace(DOCUMENTED_BASE, gateway.base_url), "echo; echo ----"]
    command = ["bash", "-c", "\n".join(script)]
    activated = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PATH": activated, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0, done.stderr
    answers = [part.strip() for part in done.stdout.split("----\n")][:-1]
    answers = [answer for answer, line in zip(answers, lines, strict=True) if "curl" in line]
    assert len(answers) == len(EXPECTED)
    for answer, expected in zip(answers, EXPECTED, strict=True):
        assert expected is None or expected in answer
    assert (folder / "protected.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
    assert (folder / "preview.webp").read_bytes()[8:12] == b"WEBP"
    assert (folder / "part.png").read_bytes()[1:4] == b"PNG"
    assert zipfile.is_zipfile(folder / "job.zip")
    with zipfile.ZipFile(folder / "batch.zip") as archive:
        assert {name.split("-")[0] for name in archive.namelist()} == {"000", "001"}
    assert re.search(r"^whsec_\S{44}$", done.stdout, re.MULTILINE)


def test_documented_httpx_example_runs(documented: tuple[GatewayProcess, Path]) -> None:
    gateway, folder = documented
    source = blocks("python")[-1]
    assert len(source.strip().splitlines()) <= 11
    command = [sys.executable, "-c", source.replace(DOCUMENTED_BASE, gateway.base_url)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
    assert done.stdout.startswith("done ['original'"), done.stderr


def test_documented_python_client_runs(documented: tuple[GatewayProcess, Path]) -> None:
    gateway, folder = documented
    source = blocks("python", CLIENTS)[-1].replace(DOCUMENTED_BASE, gateway.base_url)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", source]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, env=environment
    )
    files = "['00-original.jpg', '01-invisible-watermark.jpg']"
    assert done.stdout.endswith(f"done {files}\n"), done.stderr


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_documented_javascript_example_runs(documented: tuple[GatewayProcess, Path]) -> None:
    gateway, folder = documented
    (source,) = blocks("javascript")
    command = ["node", "-e", source.replace(DOCUMENTED_BASE, gateway.base_url)]
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, env=environment
    )
    assert done.stdout.startswith("done [") and "'original'" in done.stdout, done.stderr


def test_documented_form_fields_exist(documented: tuple[GatewayProcess, Path]) -> None:
    gateway, _ = documented
    (form,) = blocks("html")
    with gateway.client() as client:
        openapi = client.get("/openapi.json").json()
    body = openapi["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]
    schema = body["schema"]
    if "$ref" in schema:
        schema = openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for name in re.findall(r'name="(\w+)"', form):
        assert name in schema["properties"], json.dumps(schema)
