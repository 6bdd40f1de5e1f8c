"""A Dockerfile as instructions, and its build stage run in a folder without Docker."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction, such as RUN, with its lines joined."""

    name: str
    text: str


@dataclass(frozen=True)
class Stage:
    """The instructions from one FROM to the next."""

    base: str
    instructions: list[Instruction]

    def environment(self) -> dict[str, str]:
        """Return the variables of ENV and the defaults of ARG."""
        values: dict[str, str] = {}
        for each in self.instructions:
            if each.name in ("ARG", "ENV"):
                pairs = (word.partition("=") for word in shlex.split(each.text))
                values |= {name: value for name, equals, value in pairs if equals}
        return values


def read_stages(path: Path) -> list[Stage]:
    """Return the stages of a Dockerfile, in order."""
    stages: list[Stage] = []
    for each in _instructions(path.read_text()):
        if each.name == "FROM":
            stages.append(Stage(each.text, []))
        elif stages:
            stages[-1].instructions.append(each)
    return stages


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", "", "\n".join(lines))
    for line in filter(str.strip, joined.splitlines()):
        name, _, rest = line.partition(" ")
        yield Instruction(name, rest.strip())


@dataclass
class BuildFolder:
    """Run the instructions of a stage; absolute paths of the image lie below `root`."""

    root: Path
    context: Path
    variables: dict[str, str]
    _directory: Path = field(init=False)
    _shell: list[str] = field(default_factory=lambda: ["/bin/sh", "-c"])

    def __post_init__(self) -> None:
        self._directory = self.root

    def run(self, stage: Stage) -> None:
        """Run every instruction of the stage. Raises AssertionError if one fails."""
        for each in stage.instructions:
            if each.name in ("ARG", "ENV"):
                for word in shlex.split(each.text):
                    name, equals, value = word.partition("=")
                    if equals:
                        value = str(self._inside(value)) if value.startswith("/") else value
                        self.variables.setdefault(name, value)
            elif each.name == "SHELL":
                self._shell = re.findall(r'"([^"]*)"', each.text)
            elif each.name == "WORKDIR":
                self._directory = self._inside(each.text)
                self._directory.mkdir(parents=True)
            elif each.name == "COPY":
                self._copy(*shlex.split(each.text))
            elif each.name == "RUN":
                self._run(each.text)
            else:
                raise AssertionError(f"{each.name} is not expected in this stage")

    def _inside(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _copy(self, *names: str) -> None:
        *sources, target = names
        for source in sources:
            origin = self.context / source
            destination = self._directory / target
            if origin.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(origin, destination, ignore=ignored, dirs_exist_ok=True)
            else:
                shutil.copy(origin, destination / origin.name if target == "./" else destination)

    def _run(self, command: str) -> None:
        done = subprocess.run(
            [*self._shell, command],
            check=False,
            capture_output=True,
            text=True,
            cwd=self._directory,
            env={**os.environ, **self.variables},
            timeout=900,
        )
        assert done.returncode == 0, f"RUN {command}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
