"""Settings by every source: command line > environment > .env > TOML file > default."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from artscraper_gateway.cli.main import config_from, main, settings_parser
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.settings.sources import SettingsFileUnusable, origins, wrong_settings
from artscraper_runner.options import CONCEPT_NAMES

# A value of each setting that is not its default: as text, and as the setting holds it.
OTHER_VALUES: dict[str, tuple[str, Any]] = {
    "host": ("::1", "::1"),
    "port": ("9000", 9000),
    "base_dir": ("/var/jobs", Path("/var/jobs")),
    "database_url": ("postgresql://u:p@h/d", SecretStr("postgresql://u:p@h/d")),
    "root_path": ("/studio", "/studio"),
    "output_parent": ("/var/outputs", Path("/var/outputs")),
    "max_header_bytes": ("2000", 2000),
    "max_pipelined_bytes": ("3000", 3000),
    "max_connections": ("90", 90),
    "max_connections_per_address": ("30", 30),
    "header_timeout": ("5", 5.0),
    "body_timeout": ("100", 100.0),
    "body_idle_timeout": ("6", 6.0),
    "response_stall_timeout": ("7", 7.0),
    "keep_alive_timeout": ("8", 8),
    "trusted_hosts": ("example.org,.example.net", ("example.org", ".example.net")),
    "cors_origins": ("https://example.org", ("https://example.org",)),
    "link_secret": ("0123456789abcdef", SecretStr("0123456789abcdef")),
    "keep_names": ("yes", True),
    "show_paths": ("no", False),
    "opt_out": ("yes", True),
    "tdm_policy": ("https://example.org/policy", "https://example.org/policy"),
    "worker_concurrency": ("3", 3),
    "queues": ("gpu", ("gpu",)),
    "gpu_queue": ("yes", True),
    "request_timeout": ("2.5", 2.5),
    "local_roots": ("/a, /b", (Path("/a"), Path("/b"))),
    "allowed_hosts": ("example.org,.example.net", ("example.org", ".example.net")),
    "allow_private_addresses": ("yes", True),
    "max_upload_bytes": ("1000", 1000),
    "max_pixels": ("1000", 1000),
    "max_side": ("100", 100),
    "max_frames": ("7", 7),
    "max_wait": ("5", 5.0),
    "max_queued": ("9", 9),
    "max_batch_bytes": ("1000", 1000),
    "job_ttl": ("60", 60.0),
    "max_disk": ("1000", 1000),
    "drain_timeout": ("4", 4.0),
    "max_cache_bytes": ("1000", 1000),
    "storage_retry_for": ("50", 50.0),
    "metrics_port": ("9100", 9100),
    "poll_interval": ("0.5", 0.5),
    "worker_timeout": ("20", 20.0),
    "max_stage_attempts": ("2", 2),
    "strength": ("low", "low"),
    "stages": ("mist, c2pa", ("mist", "c2pa")),
    "encoder": ("taef2", "taef2"),
    "preset": ("published", "published"),
    "seed": ("7", 7),
    "nightshade_target": ("city", "city"),
    "models_dir": ("/models", Path("/models")),
    "accelerator": ("cpu", "cpu"),
    "recogniser": ("ensemble:dlib+torch:/a.pt2", "ensemble:dlib+torch:/a.pt2"),
    "mist_model": ("/models/sd", Path("/models/sd")),
    "allow_downloads": ("yes", True),
    "c2pa_certificate": ("/cert.pem", Path("/cert.pem")),
    "c2pa_key": ("/key.pem", Path("/key.pem")),
    "copyright_notice": ("(c) Ada", "(c) Ada"),
    "usage_terms": ("ask first", "ask first"),
    "allow_search_engines": ("yes", True),
    "tineye_api_key": ("secret", SecretStr("secret")),
    "tineye_url": ("http://127.0.0.1:1/", "http://127.0.0.1:1/"),
    "min_free_disk": ("1000", 1000),
    "drain_notice": ("5", 5.0),
    "open_metrics": ("yes", True),
    "log_format": ("json", "json"),
    "log_level": ("debug", "debug"),
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # has neither .env nor artscraper.toml
    monkeypatch.setenv("ARTSCRAPER_GATEWAY_CONFIG", "")  # --config sets it: to be put back
    for name in GatewayConfig.model_fields:
        monkeypatch.delenv(f"ARTSCRAPER_GATEWAY_{name.upper()}", raising=False)


def from_command_line(*arguments: str) -> GatewayConfig:
    return config_from(settings_parser("serve").parse_args(arguments))


def test_every_setting_is_covered() -> None:
    assert OTHER_VALUES.keys() == GatewayConfig.model_fields.keys()


def test_defaults_match_documentation() -> None:
    config = GatewayConfig()
    assert config.base_dir == Path.cwd() / "gateway_jobs"
    assert config.output_parent == Path.cwd() / "outputs"
    assert config.worker_concurrency == 1
    assert config.request_timeout == 30
    assert config.host == "127.0.0.1"
    assert config.local_roots == (Path.cwd() / "input",)


def as_toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(as_toml(part) for part in value)}]"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return json.dumps(value.get_secret_value() if isinstance(value, SecretStr) else str(value))


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_environment_overrides_settings_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    text, value = OTHER_VALUES[name]
    variable = f"ARTSCRAPER_GATEWAY_{name.upper()}"
    default = getattr(GatewayConfig(), name)

    def origin(**given: Any) -> str:
        return origins(GatewayConfig, given)[name]

    assert origin() == "default"
    (tmp_path / "artscraper.toml").write_text(f"{name} = {as_toml(value)}\n")
    assert getattr(GatewayConfig(), name) == value and origin() == "artscraper.toml"
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text("")
    assert getattr(from_command_line("--config", str(elsewhere)), name) == default
    monkeypatch.setenv("ARTSCRAPER_GATEWAY_CONFIG", "none")
    assert getattr(GatewayConfig(), name) == default
    monkeypatch.setenv("ARTSCRAPER_GATEWAY_CONFIG", "")

    (tmp_path / "artscraper.toml").unlink()
    (tmp_path / ".env").write_text(f"POSTGRES_PASSWORD=x\n{variable}='{text}'\n")
    assert getattr(GatewayConfig(), name) == value and origin() == ".env"
    shown = as_toml(default) if default not in (None, "", ()) else None
    if shown is not None:
        (tmp_path / "artscraper.toml").write_text(f"{name} = {shown}\n")
        assert getattr(GatewayConfig(), name) == value, ".env beats the TOML file"
        plain = str(default) if not isinstance(default, tuple) else ",".join(map(str, default))
        monkeypatch.setenv(variable, plain)
        assert getattr(GatewayConfig(), name) == default, "the environment beats .env"
        assert origin() == f"environment ({variable})"
    assert getattr(from_command_line(f"--{name}", text), name) == value
    assert origin(**{name: text}) == "command line"


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"port = ", "cannot be read"), (b"\xff", "cannot be read"), (None, "found none")],
)
def test_unusable_settings_file_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, message: str
) -> None:
    file = tmp_path / "mine.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsFileUnusable, match=message):
        from_command_line("--config", str(file))
    assert main(["serve", "--config", str(file)]) == 2
    assert str(file) in capsys.readouterr().err


def test_unknown_settings_are_refused_without_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "artscraper.toml").write_text(
        'colour = "red"\nport = "x"\ndatabase_url = "mysql://me:sesame@h/d"\ntineye_api_key = 77\n'
        'databse_url = "postgresql://me:sesame@h/d"\ntineye_apikey = "sesame"\n'
        'c2pa_key = 7\nroot_path = "http://me:sesame@h/"\n'
    )
    assert main([]) == 2
    message = capsys.readouterr().err
    assert "colour: " in message and "port: " in message and "'x'" in message
    assert "databse_url: " in message and "tineye_apikey: " in message
    assert "database_url: " in message and "tineye_api_key: " in message
    assert "sesame" not in message and "77" not in message


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_setting_sources_have_a_fixed_order(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    text, value = OTHER_VALUES[name]
    default = getattr(GatewayConfig(), name)
    assert default != value
    assert getattr(GatewayConfig(**{name: value}), name) == value
    for option in (f"--{name}", f"--{name.replace('_', '-')}"):
        assert getattr(from_command_line(option, text), name) == value
    monkeypatch.setenv(f"ARTSCRAPER_GATEWAY_{name.upper()}", text)
    assert getattr(GatewayConfig(), name) == value
    assert getattr(from_command_line(), name) == value
    as_text = {
        "local_roots": "input",
        "allowed_hosts": "",
        "trusted_hosts": "",
        "cors_origins": "",
        "allow_private_addresses": "no",
        "allow_downloads": "no",
        "gpu_queue": "no",
        "open_metrics": "no",
        "queues": "cpu",
        "stages": "",
    }
    if default is not None:  # on the command line there is no word for it
        text = as_text.get(name, str(default))
        assert getattr(from_command_line(f"--{name}", text), name) == default


def test_tineye_key_is_never_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TINEYE_API_KEY", "sesame")
    config = GatewayConfig()
    assert config.tineye_api_key is not None
    assert config.tineye_api_key.get_secret_value() == "sesame"
    assert "sesame" not in repr(config) + str(config)


def test_worker_inherits_settings_by_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "artscraper.toml").write_text("job_ttl = 5\nmax_side = 7\n")
    (tmp_path / ".env").write_text("ARTSCRAPER_GATEWAY_MAX_DISK=7\n")
    config = GatewayConfig(**{name: value for name, (_, value) in OTHER_VALUES.items()})
    config = GatewayConfig(**{**dict(config), "job_ttl": None, "max_disk": None})
    for name, value in config.environment().items():
        monkeypatch.setenv(name, value)
    assert GatewayConfig() == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 70_000),
        ("worker_concurrency", -1),
        ("colour", "red"),
        ("stages", "mist,blur"),
        ("encoder", "ensemble:bundled"),
        ("seed", -1),
        ("seed", 2**31),
        ("nightshade_target", "dog"),
    ],
)
def test_invalid_values_and_unknown_names_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=name):
        GatewayConfig(**{name: value})


@pytest.mark.parametrize("name", ["output_parent", "tineye_url"])
def test_public_url_with_password_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="without a password") as refused:
        GatewayConfig(**{name: "sftp://ada:sesame@h/d"})
    assert "sesame" not in "".join(wrong_settings(GatewayConfig, refused.value))
    assert "sesame" not in str(refused.value), "as a launcher prints it"
    for good in ("sftp://ada@h/d", "s3://bucket/a:b@c"):
        assert getattr(GatewayConfig(**{name: good}), name) == good


@pytest.mark.parametrize("name", CONCEPT_NAMES)
def test_every_concept_is_a_valid_setting(name: str) -> None:
    assert GatewayConfig(nightshade_target=name).nightshade_target == name


def test_keys_command_uses_the_settings_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text(f"base_dir = {json.dumps(str(tmp_path / 'mine'))}\n")
    assert main(["keys", "add", "me", "--config", "mine.toml"]) == 0
    assert (tmp_path / "mine" / "gateway.sqlite3").is_file()
    assert main(["keys", "list"]) == 0 and "me" in capsys.readouterr().out
    assert main(["keys", "list", "--config", "none.toml"]) == 2
    assert "none.toml" in capsys.readouterr().err
    (tmp_path / "mine.toml").write_text('database_url = "mysql://me:sesame@h/d"\n')
    assert main(["keys", "list", "--config", "mine.toml"]) == 2
    message = capsys.readouterr().err
    assert "database_url" in message and "sesame" not in message
