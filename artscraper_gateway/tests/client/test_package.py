"""clients/python: the same code as the gateway's client, with two dependencies."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from artscraper_gateway.tests.gateway_process import REPOSITORY

CLIENT = REPOSITORY / "artscraper_gateway" / "client"
PROJECT = REPOSITORY / "clients" / "python"


def dependencies() -> set[str]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return {re.split(r"[<>=]", line)[0].replace("-", "_") for line in project["dependencies"]}


def test_client_imports_only_its_dependencies() -> None:
    imported: set[str] = set()
    for path in CLIENT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").split(".")[0])
    assert imported - sys.stdlib_module_names == dependencies() == {"httpx", "httpx_sse"}


@pytest.mark.system
def test_sync_client_is_current() -> None:
    script = REPOSITORY / "scripts" / "generate_sync_client.py"
    done = subprocess.run([sys.executable, str(script), "--check"], check=False)
    assert done.returncode == 0, f"run {script.relative_to(REPOSITORY)}"


@pytest.mark.system
def test_client_installs_alone(tmp_path: Path) -> None:
    """Install a copy: building leaves files beside the source."""
    shutil.copytree(CLIENT, tmp_path / "artscraper_gateway" / "client")
    shutil.copytree(PROJECT, tmp_path / "clients" / "python")
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([*install, *options, str(tmp_path / "clients" / "python")], check=True)
    code = (
        "import sys, artscraper_client as c; print(c.Gateway('http://a'), c.__file__);"
        "print(sorted({'pydantic', 'fastapi', 'torch', 'artscraper_gateway'} & sys.modules.keys()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(target)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    shown, modules = done.stdout.splitlines()
    assert shown == f"Gateway(URL('http://a')) {target / 'artscraper_client' / '__init__.py'}"
    assert modules == "[]"
    assert (target / "artscraper_client" / "py.typed").is_file()
