"""The samples' passwords: made by make-secrets, mounted as files, read by the gateway and by S3."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from artscraper_gateway.settings.model import GatewayConfig
from tests.deploy.conftest import DEPLOY
from tests.fleet.servers import S3Server

pytestmark = pytest.mark.system
FILES = {"database_url", "postgres_password", "s3_credentials", "s3_secret_key"}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    subprocess.run(["sh", DEPLOY / "make-secrets", folder], check=True)
    return folder


@pytest.fixture
def s3(secrets: Path) -> Any:
    server = S3Server()
    server.start()
    yield server
    server.stop()


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return content


def test_passwords_are_generated_and_kept(secrets: Path) -> None:
    written = {path.name: path.read_text() for path in secrets.iterdir()}
    assert written.keys() == FILES
    assert secrets.stat().st_mode & 0o777 == 0o700, "of other users of this machine none may read"
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o644}
    assert len(written["postgres_password"]) == 48 and written["s3_secret_key"].isalnum()
    assert written["postgres_password"] != written["s3_secret_key"]
    assert f":{written['postgres_password']}@postgres/" in written["database_url"]
    again = subprocess.run(
        ["sh", DEPLOY / "make-secrets", secrets], capture_output=True, text=True, check=False
    )
    assert again.returncode == 1 and "in use" in again.stderr
    assert {path.name: path.read_text() for path in secrets.iterdir()} == written


def test_gateway_reads_database_url_from_file(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTSCRAPER_GATEWAY_DATABASE_URL_FILE", str(secrets / "database_url"))
    url = GatewayConfig().database_url
    assert url is not None and url.get_secret_value() == (secrets / "database_url").read_text()


def test_compose_services_have_their_secrets_and_no_password() -> None:
    content = compose()
    assert {f"./secrets/{name}" for name in FILES} == {
        each["file"] for each in content["secrets"].values()
    }
    for name, service in content["services"].items():
        text = str([service.get(key) for key in ("command", "entrypoint", "environment")])
        read = {each for each in FILES if f"/run/secrets/{each}" in text}
        assert read == set(service.get("secrets", [])) - ({"database_url"} - read), name
        variables = service.get("environment", {})
        assert not [key for key in variables if key.endswith(("PASSWORD", "SECRET_ACCESS_KEY"))]


def test_bucket_is_created_with_credentials_of_the_file(secrets: Path, s3: S3Server) -> None:
    """By the command of the sample, twice, and without credentials in the environment."""
    service = compose()["services"]["bucket"]
    assert service["entrypoint"] == ["python", "-c"]
    outside = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment = {
        **outside,
        "AWS_ENDPOINT_URL": s3.environment["AWS_ENDPOINT_URL"],
        "AWS_DEFAULT_REGION": service["environment"]["AWS_DEFAULT_REGION"],
        "AWS_SHARED_CREDENTIALS_FILE": str(secrets / "s3_credentials"),
    }
    listing = "import s3fs; print(s3fs.S3FileSystem().ls(''), s3fs.S3FileSystem().exists('x'))"
    for command in (*service["command"], *service["command"], listing):
        done = subprocess.run(
            [sys.executable, "-c", command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
    assert "artscraper" in done.stdout
    del environment["AWS_SHARED_CREDENTIALS_FILE"]
    refused = subprocess.run(
        [sys.executable, "-c", service["command"][0]],
        env={**environment, "HOME": str(secrets), "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert refused.returncode != 0, "the file was what gave the credentials"
