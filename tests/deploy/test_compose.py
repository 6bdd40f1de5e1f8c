"""The Compose sample's own commands and settings at work, in a network of their own.

PostgreSQL and moto stand in for the images of the database and the object storage, this checkout
for the image that the sample builds; hosts, secrets, users and health checks are the sample's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from artscraper_gateway.tests.gateway_process import until
from tests.deploy.conftest import DEPLOY, REPOSITORY, require_root
from tests.deploy.dockerfile import read_stages
from tests.fleet.servers import UNPRIVILEGED, postgresql_binaries

pytestmark = pytest.mark.system
HOSTS = ("postgres", "storage", "gateway")
# Secrets and host names as Compose gives them; /etc and /run of the machine stay as they are.
_ENTER = """
ip link set lo up
mount --bind "$0/hosts" /etc/hosts
mount -t tmpfs tmpfs /run
mkdir /run/secrets
mount --bind "$0/secrets" /run/secrets
exec sleep 900
"""


@dataclass
class Composition:
    """The services of the sample, as processes in one network namespace."""

    folder: Path
    services: dict[str, Any]
    holder: subprocess.Popen[bytes]
    stack: ExitStack
    logs: list[Path] = field(default_factory=list)

    def inside(self, *command: str) -> list[str]:
        entered = ("nsenter", f"--target={self.holder.pid}", "--net", "--mount")
        return [*entered, f"--wd={self.folder}", *command]

    def start(
        self, name: str, *command: str, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process of the service `name`, and end it with the test."""
        self.logs.append(self.folder / f"{name}.log")
        log = self.stack.enter_context(self.logs[-1].open("wb"))
        process = subprocess.Popen(self.inside(*command), stdout=log, stderr=log, env=environment)
        self.stack.callback(process.wait, timeout=60)
        self.stack.callback(process.terminate)
        return process

    def start_gateway(self, name: str) -> subprocess.Popen[bytes]:
        """Start a service of the gateway's image, with its host name and a volume."""
        (self.folder / name).mkdir()
        hostname = self.services[name].get("hostname", name)
        named = ("unshare", "--uts", "sh", "-c", f'hostname {hostname}; exec "$@"', "sh")
        command = self.gateway_command(name, *self.services[name]["command"])
        return self.start(name, *named, *command, environment=self.environment(name))

    def gateway_command(self, name: str, *arguments: str) -> list[str]:
        """Return a command of the gateway in the volume of the service `name`."""
        there = ("sh", "-c", f'cd {name}; exec "$@"', "sh")
        return [*there, sys.executable, "-m", "artscraper_gateway", *arguments]

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables of a service, with the defaults of the sample."""
        variables = self.services[name]["environment"].items()
        outside = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        return {
            **outside,
            **read_stages(DEPLOY / "Dockerfile")[-1].environment(),
            **{key: re.sub(r"\$\{\w+:-(\w*)\}", r"\1", value) for key, value in variables},
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def run(self, *command: str, **options: Any) -> str:
        done = subprocess.run(
            self.inside(*command), capture_output=True, text=True, check=False, **options
        )
        assert done.returncode == 0, (done.stdout, done.stderr, self.log())
        return done.stdout

    def succeeds(self, *command: str, **options: Any) -> bool:
        done = subprocess.run(self.inside(*command), capture_output=True, check=False, **options)
        return done.returncode == 0

    def log(self) -> str:
        return "\n".join(f"{path.name}:\n{path.read_text()[-3000:]}" for path in self.logs)


@pytest.fixture
def composition(tmp_path: Path) -> Iterator[Composition]:
    binaries = postgresql_binaries()
    missing = [each for each in ("ip", "nsenter", "unshare", "curl") if shutil.which(each) is None]
    if binaries is None:
        missing.append("PostgreSQL")
    require_root("the sample's network", missing=missing)
    assert binaries is not None
    temporary = Path(tempfile.gettempdir())
    for folder in (tmp_path, *tmp_path.parents):
        if folder == temporary or temporary not in folder.parents:
            break
        folder.chmod(0o755)
    subprocess.run(["sh", DEPLOY / "make-secrets", tmp_path / "secrets"], check=True)
    (tmp_path / "hosts").write_text(f"127.0.0.1 localhost {' '.join(HOSTS)}\n")
    command = ["unshare", "--net", "--mount", "sh", "-euc", _ENTER, str(tmp_path)]
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    with ExitStack() as stack:
        holder = subprocess.Popen(command)
        stack.callback(holder.wait)
        stack.callback(holder.kill)
        made = Composition(tmp_path, services, holder, stack)
        until(lambda: made.succeeds("test", "-f", "/run/secrets/database_url"), what="secrets")
        _start_database(made, binaries)
        moto = (sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1")
        made.start("storage", *moto, "-p", "9000")
        until(lambda: made.succeeds("curl", "-sf", "http://storage:9000/"), what="storage answers")
        yield made


def _start_database(made: Composition, binaries: Path) -> None:
    """Start PostgreSQL with the role, the database and the password that its image would make."""
    variables = made.services["postgres"]["environment"]
    user, password_file = variables["POSTGRES_USER"], variables["POSTGRES_PASSWORD_FILE"]
    data = made.folder / "postgres"
    data.mkdir()
    shutil.chown(data, UNPRIVILEGED)
    made.folder.joinpath("secrets").chmod(0o755)  # mounted into a container, it is of no folder
    as_user = ("setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups")
    options = ("--auth=scram-sha-256", f"--username={user}", f"--pwfile={password_file}")
    made.run(*as_user, str(binaries / "initdb"), "-D", str(data), *options, "--no-sync")
    server = ("-D", str(data), "-h", "127.0.0.1", "-k", str(data), "-F")
    made.start("postgres", *as_user, str(binaries / "postgres"), *server)
    ready = made.services["postgres"]["healthcheck"]["test"]
    assert ready[:2] == ["CMD", "pg_isready"]
    check = (str(binaries / "pg_isready"), "--host", "postgres", *ready[2:])
    until(lambda: made.succeeds(*check), what="PostgreSQL is healthy")
    password = (made.folder / "secrets" / "postgres_password").read_text()
    environment = {**os.environ, "PGPASSWORD": password}
    database = ("-h", "postgres", "-U", user, variables["POSTGRES_DB"])
    made.run(str(binaries / "createdb"), *database, env=environment)


def test_sample_protects_a_picture(composition: Composition) -> None:
    made, bucket = composition, composition.services["bucket"]
    made.run(sys.executable, "-c", *bucket["command"], env=made.environment("bucket"))
    made.start_gateway("gateway")
    (alive,) = [
        each.text.partition("CMD ")[2]
        for each in read_stages(DEPLOY / "Dockerfile")[-1].instructions
        if each.name == "HEALTHCHECK"
    ]
    check = [sys.executable, *json.loads(alive)[1:]]
    until(lambda: made.succeeds(*check), what=lambda: f"the gateway is healthy: {made.log()}")
    for name in ("worker-1", "worker-2"):
        made.start_gateway(name)
    for name in ("worker-1", "worker-2"):
        kind, test = made.services[name]["healthcheck"]["test"]
        assert kind == "CMD-SHELL"
        shell = test.replace("$$", "$").replace("/data/", f"{made.folder}/{name}/")
        until(lambda shell=shell: made.succeeds("sh", "-c", shell), what=f"{name} is healthy")
    keys = made.gateway_command("gateway", "keys", "add", "me")
    added = made.run(*keys, env=made.environment("gateway"))
    key = re.search(r"ask_\S+", added)
    assert key is not None
    base = "http://localhost:8765"  # the name that Caddy passes on
    header = ("-H", f"X-API-Key: {key[0]}")
    until(lambda: made.succeeds("curl", "-sf", *header, f"{base}/v1/jobs"), what="the key is known")
    picture = f"file=@{REPOSITORY / 'input' / 'astronaut.jpg'}"
    form = ("-F", picture, "-F", "stages=invisible-watermark", "-H", "Prefer: wait=60")
    job = json.loads(made.run("curl", "-s", *header, *form, f"{base}/v1/jobs"))
    assert job["status"] == "done", (job, made.log())
    result = json.loads(made.run("curl", "-s", *header, f"{base}/v1/jobs/{job['job_id']}/result"))
    assert result["output_dir"] == f"s3://artscraper/results/{job['job_id']}"
