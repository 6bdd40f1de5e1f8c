"""Every way to start the gateway: module, custom launcher under uvicorn and gunicorn, alias."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from artscraper_gateway.server import BindError, bind_address, open_listeners
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import REPOSITORY, GatewayProcess, until

pytestmark = pytest.mark.system

LAUNCHER = """
from artorize_gateway import GatewayConfig, create_app

config = GatewayConfig(worker_concurrency=2, base_dir="jobs", output_parent="results", max_wait=180)
app = create_app(config)
"""


def run(*command: str, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, cwd=cwd
    )


def test_help_lists_every_setting_without_heavy_imports() -> None:
    probe = (
        "import sys; from artscraper_gateway.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'scipy', 'fastapi', 'sqlalchemy', 'dbos', 'PIL', 'uvicorn'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    done = run(sys.executable, "-c", probe)
    assert done.stderr.strip() == "[]"
    for option in ("--host", "--port", "--base-dir", "--request-timeout", "--local-roots"):
        assert option in done.stdout


def test_web_process_is_ready_without_the_queue(tmp_path: Path) -> None:
    """DBOS, and with it psycopg and SQLAlchemy's mapper, would take a fifth of the start."""
    probe = (
        "import asyncio, sys\n"
        "from artscraper_gateway.app import create_app\n"
        "async def start():\n"
        "    app = create_app()\n"
        "    async with app.router.lifespan_context(app):\n"
        "        await app.state.services.readiness.check()\n"
        "        late = {'dbos', 'psycopg', 'sqlalchemy.orm', 'alembic'}\n"
        "        print(sorted(late & sys.modules.keys()))\n"
        "asyncio.run(start())\n"
    )
    config = GatewayConfig(base_dir=tmp_path, worker_concurrency=0)
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env={"PYTHONPATH": str(REPOSITORY), **config.environment()},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_invalid_setting_is_explained(tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "artscraper_gateway", "--port=none", cwd=tmp_path)
    assert done.returncode == 2
    assert "port" in done.stderr and "Traceback" not in done.stderr


def test_port_in_use_is_reported_before_anything_is_written(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "artscraper_gateway", f"--port={port}"]
        done = run(*command, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: port {port} of 127.0.0.1 is in use; choose another with --port or"
        " ARTSCRAPER_GATEWAY_PORT\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("base_dir", ["/proc/x", "file/below", "file"])
def test_unusable_base_dir_is_reported_without_traceback(tmp_path: Path, base_dir: str) -> None:
    (tmp_path / "file").write_text("")
    arguments = ["--port=0", f"--base-dir={base_dir}"]
    done = run(sys.executable, "-m", "artscraper_gateway", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: base_dir ") and "--base-dir" in line and base_dir in line


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_every_address_of_a_host_is_bound(host: str) -> None:
    config = GatewayConfig(host=host, port=0)
    listeners = open_listeners(config)
    for listener in listeners:
        with socket.create_connection(listener.getsockname()[:2], timeout=5):
            pass
        listener.close()
    expected = {each[4][0] for each in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)}
    assert len(listeners) == len(expected)


def test_address_is_used_by_one_gateway() -> None:
    with bind_address(GatewayConfig(port=0))[0] as first:
        config = GatewayConfig(port=first.getsockname()[1])
        (listener,) = open_listeners(config)
        with listener, pytest.raises(OSError, match="in use"):
            first.listen()
        with pytest.raises(BindError, match=r"cannot listen on 192\.0\.2\.1 .*--host"):
            open_listeners(GatewayConfig(host="192.0.2.1"))


def test_make_run_accepts_a_port() -> None:
    for arguments, options in ((["PORT=9000"], ' --port "9000"'), ([], "")):
        output = run(
            "make", "--no-print-directory", "--dry-run", "run", *arguments
        ).stdout.splitlines()
        assert output[-1].endswith(f"-m artscraper_gateway{options}")


def test_alias_package_exports_the_same_objects() -> None:
    import artorize_gateway
    import artscraper_gateway

    assert artorize_gateway.GatewayConfig is artscraper_gateway.GatewayConfig
    assert artorize_gateway.create_app is artscraper_gateway.create_app


def test_importing_packages_is_light_and_writes_nothing(tmp_path: Path) -> None:
    probe = (
        "import sys, artscraper_gateway, artscraper_runner, artorize_gateway\n"
        "from artorize_gateway import create_app; create_app()\n"
        "print(sorted({'torch', 'scipy', 'imagehash'} & sys.modules.keys()))"
    )
    assert run(sys.executable, "-c", probe, cwd=tmp_path).stdout.strip() == "[]"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "server",
    [
        ["uvicorn", "launcher:app", "--port", "{port}"],
        ["uvicorn", "launcher:app", "--port", "{port}", "--workers", "2"],
        [
            "gunicorn",
            "launcher:app",
            "--bind=127.0.0.1:{port}",
            "--workers=2",
            "--worker-class=uvicorn.workers.UvicornWorker",
        ],
    ],
    ids=["uvicorn", "uvicorn-2", "gunicorn-2"],
)
def test_custom_launcher_serves_the_app(
    tmp_path: Path, picture: Callable[..., bytes], server: list[str]
) -> None:
    (tmp_path / "launcher.py").write_text(LAUNCHER)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", *(part.format(port=port) for part in server)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        until(
            lambda: _answers(url),
            what=lambda: f"{server[0]} answers: {(tmp_path / 'log').read_text()}",
        )
        answer = httpx.post(
            f"{url}/v1/jobs",
            files={"file": picture(64, 64)},
            data={"stages": "invisible-watermark"},
            headers={"Prefer": "wait=170"},
            timeout=180,
            trust_env=False,
        )
        assert answer.json()["status"] == "done", answer.text
        assert (tmp_path / "results" / answer.json()["job_id"] / "summary.json").exists()
    finally:
        process.terminate()
        process.wait(timeout=60)
    # Two web processes or one: two workers in all, and none is left.
    locks = sorted(path.name for path in (tmp_path / "jobs" / "workers").glob("*/*"))
    assert locks == ["slot-0.lock", "slot-1.lock"]
    until(lambda: not _processes_in(tmp_path), what="all processes end")


def test_public_address_without_keys_is_warned_about(
    start_gateway: Callable[..., GatewayProcess],
) -> None:
    gateway = start_gateway(host="0.0.0.0", worker_concurrency=0)
    assert "WITHOUT API KEYS" in gateway.log()


def test_web_process_answers_while_workers_are_busy(
    start_gateway: Callable[..., GatewayProcess], picture: Callable[..., bytes]
) -> None:
    gateway = start_gateway(worker_concurrency=4)
    content, data = picture(1500, 1400), {"stages": "invisible-watermark"}
    with gateway.client() as client:
        ids = [
            client.post("/v1/jobs", files={"file": content}, data=data).json()["job_id"]
            for _ in range(8)
        ]
        taken = []
        while any(client.get(f"/v1/jobs/{job_id}").json()["status"] != "done" for job_id in ids):
            begun = time.monotonic()
            assert client.get(f"/v1/jobs/{ids[0]}").status_code == 200
            taken.append(time.monotonic() - begun)
    # No timing is asserted on a shared machine; that it never waits for a job's end is.
    assert len(taken) > 20


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v1/jobs/none", trust_env=False).status_code == 404
    except httpx.TransportError:
        return False


def _processes_in(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_files_are_private_with_any_umask(
    start_gateway: Callable[..., GatewayProcess], picture: Callable[..., bytes], tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        gateway = start_gateway(tmp_path / "home")
    finally:
        os.umask(before)
    with gateway.client() as client:
        job = client.post(
            "/v1/jobs",
            files={"file": picture(64, 64)},
            data={"include_protection": "no"},
            headers={"Prefer": "wait=120"},
        ).json()
    assert job["status"] == "done"
    files = [*gateway.base_dir.rglob("*"), *gateway.outputs.rglob("*")]
    assert len(files) > 10
    assert not [path for path in files if path.lstat().st_mode & 0o077]
