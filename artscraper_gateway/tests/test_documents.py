"""Commands of documents run as they stand, or are checked; every link leads there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from PIL import Image

from artscraper_gateway.errors import GatewayError
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

pytestmark = pytest.mark.system

DOCUMENTED_BASE = "http://127.0.0.1:8765"
RUN_ELSEWHERE = "docs/http-api.md"  # by test_http_api.py, in its order
# What documents write for something of the reader's.
STANDS_FOR = {
    "IMAGE_OR_FOLDER...": "input",
    "IMAGE_OR_FOLDER": "input",
    "IMAGE...": "input/astronaut.jpg",
    "IMAGE": "input/astronaut.jpg",
    "DIR": "out",
    "/opt/artscraper": "opt/artscraper",
    "venv .venv": "venv new-environment",  # a reader of that document has none yet
}
ACTIVATES = ". .venv/bin/activate"  # README.md says it for all documents
FACELESS = (300, 330, 460, 450)  # of the sample: whole jobs on it take a moment
ALL = list(blocks())
SHELL_BLOCKS = [
    block for block in ALL if block.language in SHELLS and block.document != RUN_ELSEWHERE
]
COMMANDS = [(block.document, command) for block in SHELL_BLOCKS for command in block.commands]
UNRUN = [(document, command) for document, command in COMMANDS if why_not(command)]
RUN_SLOWLY = [command for _, command in COMMANDS if command.startswith("make run IMAGE=")]
CHECKED_ELSEWHERE = [  # blocks in bash run there, these do not
    (block.document, command)
    for block in ALL
    if block.document == RUN_ELSEWHERE and block.language == "sh"
    for command in block.commands
]


def as_here(command: str, base_url: str) -> str:
    command = command.replace(DOCUMENTED_BASE, base_url)
    for word, thing in STANDS_FOR.items():
        command = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", thing, command)
    return command


def in_a_terminal(
    commands: Iterable[str], folder: Path, *, activated: bool
) -> subprocess.CompletedProcess[str]:
    """Run them in one shell, one after the other; the environment's programs are on its path
    when it is `activated`.
    """
    of_the_environment = Path(sys.prefix) / "bin"
    path = [each for each in os.get_exec_path() if Path(each) != of_the_environment]
    if activated:
        path.insert(0, str(of_the_environment))
    return subprocess.run(
        ["bash", "-c", "\n".join(["set -evo pipefail", *commands])],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PATH": os.pathsep.join(path), "PYTHONPATH": str(REPOSITORY)},
    )


@pytest.fixture
def readers_folder(tmp_path: Path) -> Path:
    """The working directory of a reader after `make run`."""
    (tmp_path / "input").mkdir()
    with Image.open(REPOSITORY / "input" / "astronaut.jpg") as sample:
        sample.crop(FACELESS).save(tmp_path / "input" / "astronaut.jpg")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture
def readers_gateway(
    start_gateway: Callable[..., GatewayProcess], readers_folder: Path
) -> GatewayProcess:
    return start_gateway(readers_folder)


def test_documented_commands_run(readers_gateway: GatewayProcess) -> None:
    """Each document has a new terminal; README.md, the first, has no activated environment."""
    scripts: dict[str, list[str]] = {"README.md": []}
    for document, command in COMMANDS:
        if not why_not(command):
            here = as_here(command, readers_gateway.base_url)
            scripts.setdefault(document, []).append(here)
    assert scripts["README.md"]
    for document, script in scripts.items():
        done = in_a_terminal(script, readers_gateway.home, activated=document != "README.md")
        assert done.returncode == 0, f"{document}: {done.stderr}"
        assert "urn:artscraper-gateway:problem" not in done.stdout, f"{document}: {done.stdout}"


def test_readme_activates_environment_first() -> None:
    commands = [command for document, command in COMMANDS if document == "README.md"]
    places = [place for place, command in enumerate(commands) if command.startswith("artscraper")]
    assert len(places) >= 4 and commands.index(ACTIVATES) < min(places)


def test_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_bytes()) <= 6_000


@pytest.mark.parametrize("folder", ["docs"])
def test_readme_lists_every_page(folder: str) -> None:
    text = (REPOSITORY / "README.md").read_text()
    for page in (REPOSITORY / folder).glob("*.md"):
        assert f"({folder}/{page.name})" in text, page.name


@pytest.mark.slow
@pytest.mark.parametrize("command", RUN_SLOWLY)
def test_make_run_protects_one_picture(command: str, readers_folder: Path) -> None:
    """In a complete environment: what make would install counts as installed."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, readers_folder)
    installed = f"{command} --old-file=.venv/.installed"
    done = in_a_terminal([installed], readers_folder, activated=False)
    assert done.returncode == 0, done.stderr
    assert list(readers_folder.glob("outputs/*/summary.json"))


@pytest.mark.parametrize(("document", "command"), UNRUN)
def test_commands_that_cannot_run_are_valid(document: str, command: str) -> None:
    found = why_not(command)
    assert found is not None
    found.check(command)


@pytest.mark.parametrize(
    "command",
    [
        "pip install --require-hashes -r locks/nosuch.txt",
        "pip install 'artscraper-gateway[nosuch]'",
        "pip install nosuch",
        "make run IMAGE=input/nosuch.jpg",
        "make nosuch",
        "python -m artscraper_gateway serve --nosuch",
        "npm install ./clients/nosuch",
    ],
)
def test_invalid_command_is_detected(command: str) -> None:
    found = why_not(command)
    assert found is not None
    with pytest.raises(AssertionError, match="nosuch"):
        found.check(command)


def test_every_exempted_command_exists() -> None:
    """An unused row of the table would hide the next command that matches it."""
    every = [*COMMANDS, *CHECKED_ELSEWHERE, *inline_commands()]
    used = {row.pattern for _, command in every if (row := why_not(command))}
    assert {row.pattern for row in CANNOT_RUN} == used


@pytest.mark.parametrize(("document", "command"), sorted({*inline_commands(), *CHECKED_ELSEWHERE}))
def test_inline_commands_are_valid(document: str, command: str) -> None:
    found = why_not(command)
    (found.check if found else module_knows)(command)


@pytest.mark.parametrize("block", [block for block in ALL if block.language in ("python", "json")])
def test_python_and_json_blocks_parse(block: Block) -> None:
    if block.language == "json":
        json.loads(block.text)
    else:
        compile(block.text, block.document, "exec")


def test_code_blocks_are_fenced() -> None:
    assert indented_blocks() == []


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_repository_links_resolve(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, heading = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), f"{path.name}: {target}"
        if heading:
            assert heading in anchors(linked), f"{path.name}: {target}"


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub makes of headings."""
    found = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in found}


def test_pictures_are_small_and_well_formed() -> None:
    folder = REPOSITORY / "docs" / "pictures"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 600_000
    for path in folder.glob("*.svg"):
        assert ET.parse(path).getroot().get("viewBox")


def test_documented_errors_are_complete() -> None:
    table = (REPOSITORY / RUN_ELSEWHERE).read_text().partition("## Errors")[2]
    kinds, codes = [GatewayError], {"method-not-allowed"}
    while kinds:
        kind = kinds.pop()
        codes.add(kind.code)
        kinds += kind.__subclasses__()
    assert len(codes) > 20
    assert not {code for code in codes if f"`{code}`" not in table}
