"""`python -m artscraper_gateway check`."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from artscraper_gateway.auth.keys import KeyStore
from artscraper_gateway.cli.check_settings import check_settings
from artscraper_gateway.cli.main import main
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import REPOSITORY

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty folder without settings in the environment."""
    for name in [*os.environ]:
        if name.startswith("ARTSCRAPER_GATEWAY_"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.setenv("ARTSCRAPER_GATEWAY_CONFIG", "")
    monkeypatch.chdir(tmp_path)


def checked(capsys: Capture, *arguments: str, status: int = 0) -> dict[str, Any]:
    """Return what `check --json` prints on a free port."""
    assert main(["check", "--json", "--port=0", *arguments]) == status
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["would_start"] == (status == 0)
    return report


def warnings(**settings: Any) -> str:
    found = check_settings(GatewayConfig(**{"port": 0, "max_disk": 10**9, **settings}), gpu=False)
    assert all(finding.level == "warning" for finding in found), found
    return "\n".join(finding.text for finding in found)


def test_check_prints_settings_with_their_sources(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTSCRAPER_GATEWAY_MAX_SIDE", "4000")
    monkeypatch.setenv("TINEYE_API_KEY", "sesame")
    Path(".env").write_text("ARTSCRAPER_GATEWAY_MAX_FRAMES=3\n")
    Path("artscraper.toml").write_text("job_ttl = 60\nmax_side = 5\n")
    report = checked(capsys, "--strength", "low")
    shown = {name: (row["value"], row["from"]) for name, row in report["settings"].items()}
    assert shown.keys() == GatewayConfig.model_fields.keys()
    assert shown["strength"] == ("low", "command line")
    assert shown["max_side"] == ("4000", "environment (ARTSCRAPER_GATEWAY_MAX_SIDE)")
    assert shown["max_frames"] == ("3", ".env")
    assert shown["job_ttl"] == ("60.0", "artscraper.toml")
    assert shown["gpu_queue"] == ("no", "default")
    assert shown["max_pixels"] == ("50000000", "default")
    assert shown["tineye_api_key"] == ("(set, not shown)", "environment (TINEYE_API_KEY)")
    assert "sesame" not in json.dumps(report)
    assert {"device", "disk of base_dir", "release"} <= report["machine"].keys()


def test_check_prints_components_and_why_they_are_unavailable(
    capsys: Capture, tmp_path: Path
) -> None:
    report = checked(capsys)
    reasons = {(part["kind"], part["name"]): part["reason"] for part in report["parts"]}
    assert reasons["stage", "mist"] == reasons["encoder", "bundled"] == ""
    assert "models_dir" in reasons["encoder", "taef2"]
    assert "tineye_api_key" in reasons["processor", "tineye"]
    models = tmp_path / "models"
    models.mkdir()
    (models / "taef1_encoder.safetensors").write_bytes(b"")
    report = checked(capsys, "--models-dir", str(models), "--encoder", "taef2")
    reasons = {part["name"]: part["reason"] for part in report["parts"]}
    assert reasons["taef1"] == "" and str(models) in reasons["taef2"]
    assert any("encoder taef2" in finding["text"] for finding in report["findings"])


def test_check_prints_readable_text_and_changes_nothing(capsys: Capture, tmp_path: Path) -> None:
    assert main(["check", "--port=0"]) == 0
    text = capsys.readouterr().out
    for part in ("settings\n", "stages\n", "encoders\n", "processors\n", "machine\n"):
        assert part in text
    assert text.endswith("The gateway would start; 1 warning.\n") and "max_disk" in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected_text"),
    [
        (["--port", "x"], "port: "),
        (["--config", "none.toml"], "none.toml: expected a TOML file"),
        (["--output-parent", "nothing://bucket"], "output_parent nothing://bucket cannot be used"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
        (["--base-dir", "file/below"], "base_dir: "),
        (["--base-dir", "/proc/x"], "base_dir: no folder can be created in /proc"),
        (["--encoder", "nosuch"], "unknown encoder 'nosuch'; valid: bundled, "),
        (["--host", "no-such-host.invalid"], "--host or ARTSCRAPER_GATEWAY_HOST"),
        (["--output-parent", "file/below"], "output_parent: "),
        (["--database-url", "postgresql://me:sesame@127.0.0.1:9/d"], "database_url: "),
        (["--database-url", "postgresql://me:x@3:4sesame@h/d"], "%40 %3A %2F"),
        (["--database-url", "postgresql://me:sesame@h:54x/d"], "database_url: "),
    ],
)
def test_check_fails_if_the_service_would_not_start(
    capsys: Capture, tmp_path: Path, arguments: list[str], expected_text: str
) -> None:
    (tmp_path / "file").write_text("")
    report = checked(capsys, *arguments, status=1)
    errors = [finding["text"] for finding in report["findings"] if finding["level"] == "error"]
    assert any(expected_text in text for text in errors), errors
    assert "sesame" not in json.dumps(report)


def test_check_reports_newer_database(capsys: Capture, tmp_path: Path) -> None:
    open_engine(GatewayConfig(base_dir=tmp_path)).dispose()
    with sqlite3.connect(tmp_path / "gateway.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    report = checked(capsys, "--base-dir", str(tmp_path), status=1)
    assert "newer release" in report["findings"][0]["text"]


def test_check_reports_foreign_database(capsys: Capture, tmp_path: Path) -> None:
    foreign_database(tmp_path, "CREATE TABLE jobs (name TEXT)")
    report = checked(capsys, status=1)
    assert any("not this gateway's" in finding["text"] for finding in report["findings"])


def test_check_announces_database_upgrade(capsys: Capture, tmp_path: Path) -> None:
    columns = "id TEXT, status TEXT, request TEXT, source TEXT, stage_attempts INT, watermark TEXT"
    foreign_database(tmp_path, f"CREATE TABLE jobs ({columns})")
    assert checked(capsys, status=0)


def foreign_database(home: Path, script: str) -> None:
    (home / "gateway_jobs").mkdir()
    with closing(sqlite3.connect(home / "gateway_jobs" / "gateway.sqlite3")) as database:
        database.executescript(script)


def test_check_warns_of_public_address_without_keys(tmp_path: Path) -> None:
    settings = {"host": "0.0.0.0", "base_dir": tmp_path}
    assert "there are no API keys" in warnings(**settings)
    assert "API keys" not in warnings(base_dir=tmp_path)
    engine = open_engine(GatewayConfig(base_dir=tmp_path))
    assert "there are no API keys" in warnings(**settings)
    KeyStore(engine).add("me")
    engine.dispose()
    assert "API keys" not in warnings(**settings)


def test_check_reports_address_in_use(capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        report = checked(capsys, f"--port={port}", status=1)
    assert report["findings"][0] == {
        "level": "error",
        "text": f"port {port} of 127.0.0.1 is in use; choose another with --port or"
        " ARTSCRAPER_GATEWAY_PORT",
    }


def test_check_reports_missing_certificate(capsys: Capture, tmp_path: Path) -> None:
    settings = [f"--c2pa-certificate={tmp_path / 'none.pem'}", f"--c2pa-key={tmp_path / 'key.pem'}"]
    (tmp_path / "key.pem").write_text("")
    (tmp_path / "key.pem").chmod(0o600)
    parts = {part["name"]: part["reason"] for part in checked(capsys, *settings)["parts"]}
    assert parts["c2pa"] == f"c2pa_certificate: {tmp_path / 'none.pem'} cannot be read"
    assert {part["name"]: part["reason"] for part in checked(capsys)["parts"]}["c2pa"] == ""


@pytest.mark.parametrize(
    ("settings", "expected_text"),
    [
        ({"max_disk": None}, "neither max_disk nor job_ttl"),
        ({"max_disk": 10**18}, "more than the whole disk"),
        ({"allow_private_addresses": True}, "from inside your network; turn it off"),
        ({"allow_downloads": True}, "no effect without models_dir"),
        ({"allow_downloads": True, "models_dir": "."}, "download its weights"),
        ({"tineye_api_key": "k", "tineye_url": "http://a/"}, "in clear"),
        ({"local_roots": "/"}, "other callers' uploads"),
        ({"worker_concurrency": 64}, "worker_concurrency 64 on "),
        ({"worker_concurrency": 0}, "only workers on this machine"),
        ({"queues": "gpu"}, "has no CUDA device"),
        ({"gpu_queue": True}, "wait for a worker elsewhere whose queues contain gpu"),
        ({"c2pa_key": "/none.pem"}, "set both or neither"),
        ({"models_dir": "/none"}, "models_dir: /none cannot be read"),
        (
            {"recogniser": "ensemble:dlib+torch:/none.pt2"},
            "recogniser: /none.pt2 cannot be read",
        ),
    ],
)
def test_check_warns_of_risky_settings(settings: dict[str, Any], expected_text: str) -> None:
    assert expected_text in warnings(**settings)
    assert expected_text not in warnings()


def test_check_resolves_links_of_local_roots(tmp_path: Path) -> None:
    for name in ("real", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    settings = {"base_dir": tmp_path / "link/jobs", "output_parent": tmp_path / "link/out"}
    for root in ("link", "real", "real/out/one"):
        assert "other callers' uploads" in warnings(**settings, local_roots=str(tmp_path / root))
    assert "other callers'" not in warnings(**settings, local_roots=str(tmp_path / "elsewhere"))


def test_check_warns_of_risky_environment(
    monkeypatch: pytest.MonkeyPatch, disk: Callable[[int, int], None]
) -> None:
    assert warnings() == ""
    monkeypatch.setenv("WEB_CONCURRENCY", "8")
    monkeypatch.setenv("ARTSCRAPER_GATEWAY_COLOUR", "red")
    Path(".env").write_text("ARTSCRAPER_GATEWAY_MAX_QUEUD=5\nOF_ANOTHER_PROGRAM=1\n")
    Path(".env").chmod(0o644)
    found = warnings()
    assert "SQLite with 8 web processes" in found
    for name in ("COLOUR", "MAX_QUEUD"):
        variable = f"ARTSCRAPER_GATEWAY_{name}"
        assert f"{variable}, in the environment or in .env, is not a setting" in found
    assert "OF_ANOTHER" not in found
    assert ".env is readable by every user" in found
    Path(".env").chmod(0o600)
    assert ".env may be read" not in warnings()
    disk(10**12, 10**10)
    assert "only 9.3 GiB of its disk are free" in warnings()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Make every disk so large, with so much free."""

    def set_usage(total: int, free: int) -> None:
        found = SimpleNamespace(total=total, free=free)
        monkeypatch.setattr(
            "artscraper_gateway.cli.check_settings.shutil.disk_usage", lambda _: found
        )

    return set_usage


@pytest.mark.system
def test_closed_pipe_ends_output_quietly(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m artscraper_gateway check | head -n 1"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.stdout.splitlines() == ["settings"]
    assert done.stderr == ""
