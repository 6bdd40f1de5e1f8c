"""A secret setting may stand in a file, which a variable ending in _FILE names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from artscraper_gateway.cli.main import main
from artscraper_gateway.settings.groups import is_secret
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.settings.sources import SettingsFileUnusable, origins, unknown_variables

SECRETS = {
    "database_url": "postgresql://u:p@h/d",
    "link_secret": "0123456789abcdef",
    "tineye_api_key": "secret-of-tineye",
}


@pytest.fixture(autouse=True)
def _no_other_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [each for each in os.environ if each.startswith("ARTSCRAPER_")]:
        monkeypatch.delenv(name)


def test_every_secret_is_covered() -> None:
    fields = GatewayConfig.model_fields.items()
    assert {name for name, field in fields if is_secret(field)} == SECRETS.keys()


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("source", ["environment", ".env"])
def test_secret_is_read_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str
) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRETS[name]}\n")
    variable = f"ARTSCRAPER_GATEWAY_{name.upper()}_FILE"
    if source == "environment":
        monkeypatch.setenv(variable, str(path))
    else:
        Path(".env").write_text(f"{variable}={path}\n")
    assert getattr(GatewayConfig(), name).get_secret_value() == SECRETS[name]
    assert source in origins(GatewayConfig, {})[name]
    assert unknown_variables(GatewayConfig) == []


def test_secret_file_of_tineye_variable_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("key")
    monkeypatch.setenv("TINEYE_API_KEY_FILE", str(tmp_path / "secret"))
    key = GatewayConfig().tineye_api_key
    assert key is not None and key.get_secret_value() == "key"


def test_environment_overrides_secret_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("of-a-secret-file-in-.env")
    Path(".env").write_text(f"ARTSCRAPER_GATEWAY_LINK_SECRET_FILE={tmp_path / 'secret'}\n")
    monkeypatch.setenv("ARTSCRAPER_GATEWAY_LINK_SECRET", SECRETS["link_secret"])
    secret = GatewayConfig().link_secret
    assert secret is not None and secret.get_secret_value() == SECRETS["link_secret"]


def test_setting_and_secret_file_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret").write_text(SECRETS["database_url"])
    monkeypatch.setenv("ARTSCRAPER_GATEWAY_DATABASE_URL", SECRETS["database_url"])
    monkeypatch.setenv("ARTSCRAPER_GATEWAY_DATABASE_URL_FILE", str(tmp_path / "secret"))
    assert main(["worker"]) == 2
    printed = capsys.readouterr().err
    assert printed == (
        "error: expected one of ARTSCRAPER_GATEWAY_DATABASE_URL and"
        " ARTSCRAPER_GATEWAY_DATABASE_URL_FILE, found both; unset one\n"
    )


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "No such file or directory"),
        (b"", "an empty one"),
        (b"\n", "an empty one"),
        (b"first-line-of-it\nsecond", "more"),
        (b"\xff\xfe-not-text-at-all", "no UTF-8 text"),
        (b"a" * 70_000, "more"),
    ],
    ids=["missing", "empty", "blank", "two lines", "bytes", "long"],
)
def test_invalid_secret_file_is_refused_without_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, found: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv("ARTSCRAPER_GATEWAY_LINK_SECRET_FILE", str(tmp_path / "secret"))
    with pytest.raises(SettingsFileUnusable) as refused:
        GatewayConfig()
    assert "ARTSCRAPER_GATEWAY_LINK_SECRET_FILE: expected a file" in str(refused.value)
    assert found in str(refused.value) and "first-line" not in str(refused.value)


def test_invalid_secret_is_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret").write_text("mysql://u:hidden@h/d")
    monkeypatch.setenv("ARTSCRAPER_GATEWAY_DATABASE_URL_FILE", str(tmp_path / "secret"))
    assert main(["worker"]) == 2
    printed = capsys.readouterr().err
    assert "database_url" in printed and "hidden" not in printed


def test_worker_inherits_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text(SECRETS["link_secret"])
    monkeypatch.setenv("ARTSCRAPER_GATEWAY_LINK_SECRET_FILE", str(tmp_path / "secret"))
    config = GatewayConfig()
    for name, value in config.environment().items():
        monkeypatch.setenv(name, value)
    assert GatewayConfig() == config
