"""docs/configuration.md says what the settings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from artscraper_gateway.cli.main import settings_parser
from artscraper_gateway.settings.groups import GROUPS
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.settings.sources import SettingsFileUnusable
from artscraper_gateway.tests.gateway_process import REPOSITORY
from scripts.settings_reference import page, sample


@pytest.mark.system
def test_configuration_page_is_current() -> None:
    written = (REPOSITORY / "docs" / "configuration.md").read_text("utf-8")
    assert written == page(), "run `make configuration`"


def test_every_setting_is_documented() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `--")]
    names = [name for members in GROUPS.values() for name in members]
    assert sorted(names) == sorted(GatewayConfig.model_fields), "each setting is in one group"
    for name, row in zip(names, rows, strict=True):
        assert row.startswith(
            f"| `--{name.replace('_', '-')}` | `ARTSCRAPER_GATEWAY_{name.upper()}`"
        )
        assert row.count(" | ") == 4, row
    text = "\n".join(rows)
    assert "whole number, from 0, to 65,535" in text and "low, medium, high" in text
    assert "path or URL" in text and "list of paths" in text and "| yes or no | `no` |" in text


def test_help_shows_reference_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings_parser("serve").parse_args(["--help"])
    help_text = " ".join(capsys.readouterr().out.split())
    for row in [line for line in page().splitlines() if line.startswith("| `--")]:
        option, _, _, default, meaning = row.strip("| ").replace("\\|", "|").split(" | ", 4)
        option_help = f"{meaning} (default: {default.strip('`')})"
        # Words of the help are broken anywhere.
        assert option_help.replace(" ", "") in help_text.replace(" ", ""), option


def test_sample_file_has_every_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in GatewayConfig.model_fields:
        monkeypatch.delenv(f"ARTSCRAPER_GATEWAY_{name.upper()}", raising=False)
    before = GatewayConfig()
    Path("artscraper.toml").write_text(sample())
    assert GatewayConfig() == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[limits]\nhost = 'a'", r"expected in \[server\]"),
        ("max_side = 9\n[limits]\nmax_side = 9", "expected once"),
        ("limits = 3", "expected a table"),
    ],
)
def test_setting_in_wrong_table_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("artscraper.toml").write_text(text)
    with pytest.raises(SettingsFileUnusable, match=expected):
        GatewayConfig()


def test_settings_may_be_flat_or_grouped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("artscraper.toml").write_text("max_frames = 8\n[limits]\nmax_side = 99\n")
    config = GatewayConfig()
    assert (config.max_frames, config.max_side) == (8, 99)
    Path("artscraper.toml").write_text("[limits]\nmisspelt = 99\n")
    with pytest.raises(ValueError, match="misspelt"):
        GatewayConfig()
