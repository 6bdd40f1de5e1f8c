"""The lock files: everything exact, everything with its hashes, all of them the same releases."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

REPOSITORY = Path(__file__).resolve().parents[2]
LOCKS = sorted((REPOSITORY / "locks").glob("*.txt"))
_PIN = re.compile(r"^([a-z0-9-]+)==(\S+)( ; .+)? \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def pins(lock: Path) -> dict[tuple[str, str], str]:
    lines = lock.read_text().splitlines()
    found = [match for line in lines if (match := _PIN.match(line))]
    return {(match[1], match[3] or ""): match[2] for match in found}


def test_lock_files_are_complete() -> None:
    names = [path.name for path in LOCKS]
    assert names == ["default.txt", "server-cuda.txt", "server.txt"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_lock_lines_are_exact_releases_with_hashes(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text and "--index" not in text and "--find-links" not in text
    before = ""
    for line in text.splitlines():
        if not line or line.lstrip().startswith("#"):
            continue
        assert _PIN.match(line) or _HASH.match(line), line
        if _PIN.match(line):
            assert not before.endswith("\\"), f"{before} has no hash"
        before = line
    assert _HASH.match(before)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_dependency_is_pinned(lock: Path) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=\[ ]", line)[0].lower() for line in project["dependencies"]}
    pinned = {name for name, _ in pins(lock)}
    missing = {"onnxruntime"} if "cuda" in lock.name else set()
    assert names - pinned == missing


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_default_locks_have_neither_torch_nor_cuda(lock: Path) -> None:
    pinned = {name for name, _ in pins(lock)}
    assert not {"torch", "triton", "safetensors", "diffusers"} & pinned
    assert any(name.startswith("nvidia-") for name in pinned) is ("cuda" in lock.name)


def test_onnx_runtime_is_pinned_once() -> None:
    """Both packages have the same files."""
    runtimes = {
        lock.name: {name for name, _ in pins(lock) if name.startswith("onnxruntime")}
        for lock in LOCKS
    }
    assert runtimes == {
        "default.txt": {"onnxruntime"},
        "server.txt": {"onnxruntime"},
        "server-cuda.txt": {"onnxruntime-gpu"},
    }


def test_image_and_default_locks_agree() -> None:
    server = pins(REPOSITORY / "locks/server.txt")
    cuda = pins(REPOSITORY / "locks/server-cuda.txt")
    for key, version in pins(REPOSITORY / "locks/default.txt").items():
        assert server[key] == version
    assert {name for name, _ in server.keys() - cuda.keys()} == {"onnxruntime"}
    assert all(cuda[key] == version for key, version in server.items() if key in cuda)


@pytest.mark.skipif(not find_spec("cyclonedx_py"), reason="NOT TESTED: pip install '.[checks]'")
def test_sbom_lists_every_pin_with_hashes(tmp_path: Path) -> None:
    written = tmp_path / "sbom.json"
    lock = REPOSITORY / "locks/server.txt"
    subprocess.run(
        [
            *(sys.executable, "-m", "cyclonedx_py", "requirements", str(lock)),
            *("--pyproject", str(REPOSITORY / "pyproject.toml")),
            *("--output-reproducible", "--output-file", str(written)),
        ],
        check=True,
        capture_output=True,
    )
    found = json.loads(written.read_text())
    assert found["bomFormat"] == "CycloneDX"
    assert found["metadata"]["component"]["name"] == "artscraper-gateway"
    listed = {(each["name"], each["version"]) for each in found["components"]}
    assert listed == {(name, version) for (name, _), version in pins(lock).items()}


@pytest.mark.skipif(not find_spec("pip_audit"), reason="NOT TESTED: pip install '.[checks]'")
def test_audit_reads_every_pin(tmp_path: Path) -> None:
    """The vulnerability service is on the network and not called here."""
    lock = REPOSITORY / "locks/server.txt"
    makefile = (REPOSITORY / "Makefile").read_text()
    command = re.search(r"\$\(BIN\)/pip-audit (.+)", makefile)
    assert command is not None
    options = command[1].split()
    assert {"--strict", "--require-hashes", "--disable-pip"} <= {*options}
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", *options, "--dry-run"],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    here = re.search(r"would have audited (\d+) packages", done.stderr)
    assert here is not None and int(here[1]) > 60
    assert lock.name in command[1]
