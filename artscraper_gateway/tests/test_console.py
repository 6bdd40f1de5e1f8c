"""The command `artscraper`, which the project's entry point names."""

from __future__ import annotations

import tomllib
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from PIL import Image

from artscraper_gateway.cli import console
from artscraper_gateway.tests.gateway_process import REPOSITORY
from artscraper_runner import __version__


def test_console_entry_point_exists() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["artscraper"].partition(":")
    assert getattr(import_module(module), name) is console.main


def test_console_prints_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.main(["--version"]) == 0
    assert capsys.readouterr().out == f"artscraper {__version__}\n"


def test_console_protects_a_picture(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(1).integers(40, 216, (48, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "in.png")
    out = tmp_path / "out.png"
    command = ["protect", str(tmp_path / "in.png"), "-o", str(out), "--stages", "photoguard"]
    assert console.main(command) == 0
    assert out.is_file() and capsys.readouterr().out.endswith(f"saved to {out}\n")


@pytest.mark.parametrize("command", [*console._LOCAL, *console._SERVICE])
def test_console_help_uses_command_names(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.main(["--help"]) == 0
    assert f"  {command} " in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        console.main([command, "--help"])
    usage = capsys.readouterr().out
    assert usage.startswith("usage: artscraper ")
    assert "xample: artscraper" in usage or command in console._LOCAL


def test_unknown_command_lists_valid_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.main(["protct"]) == 2
    assert "unknown command 'protct'; valid: protect, watch" in capsys.readouterr().err
    assert console.main([]) == 2
