"""Command line beats environment beats default; every setting comes all three ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from artscraper_gateway.cli import _config, _parser
from artscraper_gateway.config import GatewayConfig

# A value of each setting that is not its default: as text, and as the setting holds it.
OTHER_VALUES: dict[str, tuple[str, Any]] = {
    "host": ("::1", "::1"),
    "port": ("9000", 9000),
    "base_dir": ("/var/jobs", Path("/var/jobs")),
    "database_url": ("postgresql://u:p@h/d", SecretStr("postgresql://u:p@h/d")),
    "root_path": ("/studio", "/studio"),
    "output_parent": ("/var/outputs", Path("/var/outputs")),
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
    "poll_interval": ("0.5", 0.5),
    "worker_timeout": ("20", 20.0),
    "max_stage_attempts": ("2", 2),
    "strength": ("low", "low"),
    "encoder": ("taef2", "taef2"),
    "models_dir": ("/models", Path("/models")),
    "mist_model": ("/models/sd", Path("/models/sd")),
    "allow_downloads": ("yes", True),
    "c2pa_certificate": ("/cert.pem", Path("/cert.pem")),
    "c2pa_key": ("/key.pem", Path("/key.pem")),
    "tineye_api_key": ("secret", SecretStr("secret")),
    "tineye_url": ("http://127.0.0.1:1/", "http://127.0.0.1:1/"),
    "min_free_disk": ("1000", 1000),
    "drain_notice": ("5", 5.0),
    "open_metrics": ("yes", True),
    "log_format": ("json", "json"),
    "log_level": ("debug", "debug"),
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GatewayConfig.model_fields:
        monkeypatch.delenv(f"ARTSCRAPER_GATEWAY_{name.upper()}", raising=False)


def from_command_line(*arguments: str) -> GatewayConfig:
    return _config(_parser("serve").parse_args(arguments))


def test_this_file_knows_every_setting() -> None:
    assert OTHER_VALUES.keys() == GatewayConfig.model_fields.keys()


def test_the_documented_defaults() -> None:
    config = GatewayConfig()
    assert config.base_dir == Path.cwd() / "gateway_jobs"
    assert config.output_parent == Path.cwd() / "outputs"
    assert config.worker_concurrency == 1
    assert config.request_timeout == 30
    assert config.host == "127.0.0.1"
    assert config.local_roots == (Path.cwd() / "input",)


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_a_setting_comes_three_ways_in_their_order(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
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
        "allow_private_addresses": "no",
        "allow_downloads": "no",
        "gpu_queue": "no",
        "open_metrics": "no",
        "queues": "cpu",
    }
    if default is not None:  # on the command line there is no word for it
        text = as_text.get(name, str(default))
        assert getattr(from_command_line(f"--{name}", text), name) == default


def test_the_tineye_key_is_read_under_its_own_name_and_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TINEYE_API_KEY", "sesame")
    config = GatewayConfig()
    assert config.tineye_api_key is not None
    assert config.tineye_api_key.get_secret_value() == "sesame"
    assert "sesame" not in repr(config) + str(config)


def test_a_worker_gets_the_same_settings_through_its_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = GatewayConfig(**{name: value for name, (_, value) in OTHER_VALUES.items()})
    for name, value in config.environment().items():
        monkeypatch.setenv(name, value)
    assert GatewayConfig() == config


@pytest.mark.parametrize(
    ("name", "value"), [("port", 70_000), ("worker_concurrency", -1), ("colour", "red")]
)
def test_wrong_values_and_unknown_names_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=name):
        GatewayConfig(**{name: value})
