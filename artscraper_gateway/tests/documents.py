"""The commands that stand in the documents, and which of them cannot run in a test, and why."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from artscraper_gateway.tests.gateway_process import REPOSITORY

FOLDERS = (".", "docs", "artscraper_gateway", "deploy", "input", "training")
SHELLS = ("", "bash", "sh", "shell", "console")  # a block without a language is commands, too
_BLOCK = re.compile(r"^```([\w-]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(
    r"(?<!`)`((?:make(?![\w-])|pip install|python -m|python3? benchmarks/"
    r"|artscraper (?:protect|watch|serve|submit|keys|check))[^`\n]*)`(?!`)"
)
_INDENTED = re.compile(r"^\n {4}(\S.*)$", re.MULTILINE)
_PROMPT = re.compile(r"^\$ ")
_OURS = re.compile(
    r"(\./)?(artscraper_\w+|benchmarks|clients|deploy|docs|input|locks|tests)/[\w./-]+"
)
_EXTRAS = re.compile(r"^artscraper-gateway\[([\w,]+)\]$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a document: its language, and its text without the fence."""

    document: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Return one command a line; continued lines are joined, comments and prompts left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        bare = [_PROMPT.sub("", line).strip() for line in lines]
        return [line for line in bare if line and not line.startswith("#")]


def documents() -> list[Path]:
    """Return every document for readers of the project."""
    found = [path for folder in FOLDERS for path in sorted((REPOSITORY / folder).glob("*.md"))]
    return [path for path in found if path.name != "CHANGELOG.md"]


def blocks() -> Iterator[Block]:
    """Yield the fenced blocks of all documents, in their order."""
    for path in documents():
        for language, text in _BLOCK.findall(path.read_text()):
            yield Block(str(path.relative_to(REPOSITORY)), language, text)


def indented_blocks() -> list[tuple[str, str]]:
    """Return (document, first line) of blocks without a fence, which `blocks` would not see."""
    return [
        (str(path.relative_to(REPOSITORY)), line)
        for path in documents()
        for line in _INDENTED.findall(_BLOCK.sub("", path.read_text()))
    ]


def inline_commands() -> list[tuple[str, str]]:
    """Return (document, command) for the commands that stand in running text."""
    return [
        (str(path.relative_to(REPOSITORY)), command)
        for path in documents()
        for command in _INLINE.findall(_BLOCK.sub("", path.read_text()))
    ]


Check = Callable[[str], None]


def make_knows(command: str) -> None:
    """Check that the target exists, that make -n succeeds, and that a named picture exists."""
    for word in shlex.split(command, comments=True):
        if word.startswith("IMAGE="):
            is_there(word.removeprefix("IMAGE="), command)
    done = subprocess.run(
        ["make", "--dry-run", *shlex.split(command, comments=True)[1:]],
        check=False,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"


def module_knows(command: str) -> None:
    """Check that the module's command line has the sub-command and every named option."""
    words = shlex.split(command.partition(" > ")[0], comments=True)
    if words[0] == "artscraper":
        words = ["artscraper", *words[1:]]
    else:
        words = words[words.index("-m") + 1 :] if "-m" in words else words[1:]
    module, rest = words[0], words[1:]
    sub_command = [rest[0]] if rest and re.fullmatch(r"[a-z][a-z-]+", rest[0]) else []
    help_text = _help(module, *sub_command)
    if sub_command and re.search(
        rf"^    {re.escape(' '.join(rest[1:2]))}\b", help_text, re.MULTILINE
    ):
        help_text = _help(module, *rest[:2])  # `keys` has commands of its own
    known = set(re.findall(r"--[a-z][a-z0-9_-]*", help_text))
    unknown = {word.partition("=")[0] for word in rest if word.startswith("--")} - known
    assert not unknown, f"{command}: {module} has no {unknown}"


@cache
def _help(module: str, *sub_command: str) -> str:
    if module == "artscraper":
        start = ["-c", "import artscraper_gateway.cli.console as c; raise SystemExit(c.main())"]
    else:
        start = [module] if module.endswith(".py") else ["-m", module]
    command = [sys.executable, *start, *sub_command, "--help"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def pip_finds(command: str) -> None:
    """Check that files to install from exist; the rest are extras or dependencies."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    needed = {re.split(r"[<>=\[ ;]", line)[0].lower() for line in lines}
    words = shlex.split(command, comments=True)
    words = words[words.index("install") + 1 :]
    for before, word in zip(["", *words], words, strict=False):
        if before in ("-r", "--requirement"):
            is_there(word, command)
        elif found := _EXTRAS.match(word):
            assert set(found[1].split(",")) <= project["optional-dependencies"].keys(), command
        elif word.startswith("./"):
            is_there(word, command)
        elif re.fullmatch(r"\.(\[[\w,]+\])?", word):
            assert set(word[2:-1].split(",")) - {""} <= project["optional-dependencies"].keys()
        elif not word.startswith("-"):
            assert word.lower() in needed, f"{command}: the project needs no {word}"


def files_exist(command: str) -> None:
    """Check that files of the repository that the command names exist."""
    for word in shlex.split(command, comments=True):
        if _OURS.fullmatch(word):
            is_there(word, command)


def is_there(name: str, command: str) -> None:
    """Check that the file or folder is in the repository. Raises AssertionError when it is not."""
    assert (REPOSITORY / name).exists(), f"{command}: no {name}"


@dataclass(frozen=True)
class CannotRun:
    """Commands that match `pattern` are not run but checked, for a reason."""

    pattern: str
    reason: str
    check: Check


# The first that matches counts. What matches none is run.
CANNOT_RUN = (
    CannotRun(r"^make\b", "installs packages, or starts what takes minutes", make_knows),
    CannotRun(
        r"^python -m artscraper_gateway( serve| worker)?( -|$|  )",
        "runs until stopped",
        module_knows,
    ),
    CannotRun(r"^artscraper (serve|worker|watch)\b", "runs until stopped", module_knows),
    CannotRun(
        r"^(python -m training\.|.*--mist-model)", "needs weights to be downloaded", module_knows
    ),
    CannotRun(r"^python3? benchmarks/", "takes minutes", module_knows),
    CannotRun(r"^(pip install|\S+/pip install)", "installs from the network", pip_finds),
    CannotRun(r"^openapi-python-client\b", "run by test_generated_python_client.py", files_exist),
    CannotRun(r"^pytest\b", "would run this very test", files_exist),
    CannotRun(r"^export \w+_DATABASE_URL=", "names a database of the example", files_exist),
    CannotRun(
        r"^(sudo|apt-get|docker|kubectl|systemctl|journalctl|psql|createdb|pg_dump|pg_restore"
        r"|caddy|nginx|useradd|install|cp|chown|mkdir|promtool|git|helm|npm|npx|node)\b",
        "changes the machine, or needs one that is not here",
        files_exist,
    ),
)


def why_not(command: str) -> CannotRun | None:
    """Return why `command` is not run; None = it is."""
    return next((row for row in CANNOT_RUN if re.search(row.pattern, command)), None)
