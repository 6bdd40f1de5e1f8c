"""Every command of every document runs, or is checked for what can be; every link leads there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from artscraper_gateway.tests.documents import (
    CANNOT_RUN,
    SHELLS,
    Block,
    blocks,
    documents,
    indented_blocks,
    inline_commands,
    module_knows,
    why_not,
)
from artscraper_gateway.tests.gateway_process import REPOSITORY, GatewayProcess

DOCUMENTED_BASE = "http://127.0.0.1:8765"
RUN_ELSEWHERE = "ARTSCRAPER_WEB_INTEGRATION.md"  # by test_web_integration.py, in its order
# What documents write for something of the reader's.
STANDS_FOR = {
    "IMAGE_OR_FOLDER...": "input",
    "IMAGE_OR_FOLDER": "input",
    "IMAGE...": "input/astronaut.jpg",
    "IMAGE": "input/astronaut.jpg",
    "DIR": "out",
}
FACELESS = (300, 330, 460, 450)  # of the sample: whole jobs on it take a moment
ALL = list(blocks())
SHELL_BLOCKS = [
    block for block in ALL if block.language in SHELLS and block.document != RUN_ELSEWHERE
]
COMMANDS = [(block.document, command) for block in SHELL_BLOCKS for command in block.commands]
UNRUN = [(document, command) for document, command in COMMANDS if why_not(command)]


def as_here(command: str, base_url: str) -> str:
    command = command.replace(DOCUMENTED_BASE, base_url)
    for word, thing in STANDS_FOR.items():
        command = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", thing, command)
    return re.sub(r"\bpython( -m|$| )", rf"{sys.executable}\1", command)


@pytest.fixture
def readers_place(
    start_gateway: Callable[..., GatewayProcess], tmp_path: Path
) -> tuple[GatewayProcess, Path]:
    """A gateway, and the folder that a reader stands in."""
    (tmp_path / "input").mkdir()
    with Image.open(REPOSITORY / "input" / "astronaut.jpg") as sample:
        sample.crop(FACELESS).save(tmp_path / "input" / "astronaut.jpg")
    return start_gateway(tmp_path), tmp_path


def test_every_command_that_can_run_runs(readers_place: tuple[GatewayProcess, Path]) -> None:
    gateway, folder = readers_place
    ran = 0
    for block in SHELL_BLOCKS:
        commands = [command for command in block.commands if not why_not(command)]
        ran += len(commands)
        script = "\n".join(["set -eo pipefail", *commands])
        done = subprocess.run(
            ["bash", "-c", as_here(script, gateway.base_url)],
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        assert done.returncode == 0, f"{block.document}: {commands}\n{done.stderr}"
        assert "urn:artscraper-gateway:problem" not in done.stdout, f"{commands}\n{done.stdout}"
    assert ran >= 4


@pytest.mark.parametrize(("document", "command"), UNRUN)
def test_a_command_that_cannot_run_would_work(document: str, command: str) -> None:
    found = why_not(command)
    assert found is not None
    found.check(command)


def test_no_reason_stands_for_nothing() -> None:
    """A row of the table that no document needs would hide the next command that matches it."""
    every = [*COMMANDS, *inline_commands()]
    used = {row.pattern for _, command in every if (row := why_not(command))}
    assert {row.pattern for row in CANNOT_RUN} == used


@pytest.mark.parametrize(("document", "command"), sorted(set(inline_commands())))
def test_a_command_in_running_text_would_work(document: str, command: str) -> None:
    found = why_not(command)
    (found.check if found else module_knows)(command)


@pytest.mark.parametrize("block", [block for block in ALL if block.language in ("python", "json")])
def test_python_and_json_are_whole(block: Block) -> None:
    if block.language == "json":
        json.loads(block.text)
    else:
        compile(block.text, block.document, "exec")


def test_every_block_has_a_fence() -> None:
    assert indented_blocks() == []


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_every_link_inside_the_repository_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, heading = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), f"{path.name}: {target}"
        if heading:
            assert heading in anchors(linked), f"{path.name}: {target}"


def anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    found = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in found}


def test_pictures_are_small_and_well_formed() -> None:
    folder = REPOSITORY / "docs" / "pictures"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 600_000
    for path in folder.glob("*.svg"):
        assert ET.parse(path).getroot().get("viewBox")
