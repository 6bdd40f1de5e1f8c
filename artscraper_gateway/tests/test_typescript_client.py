"""The TypeScript client: generated from the OpenAPI description, compiled, and used."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from artscraper_gateway.tests.conftest import SAMPLES
from artscraper_gateway.tests.gateway_process import REPOSITORY
from artscraper_gateway.tests.support.in_process import InProcessGateway

pytestmark = pytest.mark.system

SOURCE = REPOSITORY / "clients" / "typescript"
DOCUMENT = REPOSITORY / "docs" / "clients.md"
USE = """
import { readFileSync } from "node:fs";
import {
  connect, fetchLayer, fetchResult, GatewayProblem, protect, submit, waitForJob,
} from "./gateway.js";
const gateway = connect(process.argv[2]!);
const picture = new Blob([readFileSync(process.argv[3]!)]);
const quick = { include_protection: false, include_hash_analysis: false };
const options = { ...quick, fawkes_target: picture, nightshade_target: picture };
const first = await submit(gateway, picture, options, "once");
const again = await submit(gateway, picture, options, "once");
const seen: string[] = [];
const job = await waitForJob(gateway, first.job_id, (state) => seen.push(state.status));
const result = await fetchResult(gateway, job.job_id);
const layer = await fetchLayer(gateway, job.job_id, "original");
const kept: string[] = result.summary.layers.map((entry) => entry.url);
let refused = "";
try {
  await submit(gateway, new Blob(["text"]));
} catch (error) {
  if (error instanceof GatewayProblem) refused = error.problem?.code ?? "";
}
const marked = { stages: "invisible-watermark", strength: "low", processors: "dhash" } as const;
const finished = await protect(gateway, picture, marked);
const job_id = (await submit(gateway, picture, marked)).job_id;
await waitForJob(gateway, job_id);
const { summary, analysis } = await fetchResult(gateway, job_id);
const linf: number = summary.layers.at(-1)?.metrics?.linf ?? 0;
const names: string[] = analysis?.processors.map((row) => row.name) ?? [];
const typed = linf > 0 && names[0] === "dhash" && kept.length === 1;
const same = first.job_id === again.job_id && finished.type === "image/jpeg" && typed;
console.log(JSON.stringify([same, seen.at(-1), result.analysis, layer.size, refused]));
"""


def _missing() -> str:
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "node and npm are not installed"
    if not (SOURCE / "node_modules").is_dir():
        return "the packages of clients/typescript are not installed"
    return ""


@pytest.fixture
def project(tmp_path: Path, gateway: InProcessGateway) -> Path:
    """A copy of the client with the description of the live gateway."""
    if missing := _missing():
        reason = f"THE TYPESCRIPT CLIENT IS NOT TRIED: {missing}; make setup-node"
        if os.environ.get("ARTSCRAPER_REQUIRE_NODE"):
            pytest.fail(reason)
        pytest.skip(reason)
    for name in ("package.json", "tsconfig.json"):
        shutil.copy(SOURCE / name, tmp_path)
    (tmp_path / "src").mkdir()
    shutil.copy(SOURCE / "src" / "gateway.ts", tmp_path / "src")
    (tmp_path / "node_modules").symlink_to(SOURCE / "node_modules")
    with gateway.client() as client:
        (tmp_path / "openapi.json").write_text(client.get("/openapi.json").text)
    generated = run(tmp_path, "npm", "run", "generate")
    assert generated.returncode == 0, generated.stderr
    return tmp_path


def stub_node(folder: Path) -> None:
    """Declare what of Node.js is used, in the place of its types."""
    node_globals = "declare const process: { argv: string[] };\n"
    reads = "export function readFileSync(path: string): Uint8Array<ArrayBuffer>;"
    (folder / "node.d.ts").write_text(f'{node_globals}declare module "node:fs" {{ {reads} }}\n')


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=environment
    )


def test_typescript_client_compiles_and_calls_a_gateway(
    project: Path, gateway: InProcessGateway
) -> None:
    stub_node(project / "src")
    (project / "src" / "use.ts").write_text(USE)
    built = run(project, "npm", "run", "build")
    assert built.returncode == 0, built.stdout + built.stderr
    assert (project / "dist" / "gateway.d.ts").is_file()
    used = run(project, "node", "dist/use.js", gateway.base_url, str(SAMPLES[0]))
    size = SAMPLES[0].stat().st_size
    assert used.returncode == 0, used.stderr
    assert json.loads(used.stdout) == [True, "done", None, size, "unsupported-picture"]


def test_documented_typescript_compiles_and_runs(
    project: Path, gateway: InProcessGateway, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In a separate project with the client as `npm install FOLDER` installs it."""
    assert (built := run(project, "npm", "run", "build")).returncode == 0, built.stdout
    theirs = tmp_path_factory.mktemp("theirs")
    for name in ("src", "node_modules", "input"):
        (theirs / name).mkdir()
    (theirs / "node_modules" / "artscraper-gateway-client").symlink_to(project)
    (theirs / "package.json").write_text('{"type": "module"}')
    shutil.copy(SOURCE / "tsconfig.json", theirs)
    shutil.copy(SAMPLES[0], theirs / "input" / "astronaut.jpg")
    (snippet,) = re.findall(r"```typescript\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    here = snippet.replace("http://127.0.0.1:8765", gateway.base_url)
    (theirs / "src" / "documented.ts").write_text(here)
    stub_node(theirs / "src")
    compiled = run(theirs, "node", str(SOURCE / "node_modules/typescript/bin/tsc"))
    assert compiled.returncode == 0, compiled.stdout
    used = run(theirs, "node", "dist/documented.js")
    assert re.match(rf"done {re.escape(str(gateway.home))}\S+ \d+$", last_line(used)), used.stderr


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.splitlines()[-1] if done.stdout else ""


def test_unknown_typescript_fields_are_compile_errors(project: Path) -> None:
    wrong = (
        'import { connect, type Job } from "./gateway.js";\n'
        "export const colour = (job: Job): string => job.colour;\n"
        'export const none = connect("").GET("/v1/none");\n'
    )
    (project / "src" / "wrong.ts").write_text(wrong)
    built = run(project, "npm", "run", "build")
    assert built.returncode != 0
    assert "wrong.ts(2" in built.stdout and "wrong.ts(3" in built.stdout, built.stdout


def test_committed_types_are_current(project: Path) -> None:
    current = (project / "src" / "schema.ts").read_text()
    assert current == (SOURCE / "src" / "schema.ts").read_text(), "run `make typescript`"


RESTART = """
import { connect } from "./gateway.js";
const gateway = connect(process.argv[2]!, { outageSeconds: Number(process.argv[3]) });
const begun = Date.now();
try {
  const { response } = await gateway.GET("/v1/limits");
  console.log(response.status, Date.now() - begun);
} catch {
  console.log("refused", Date.now() - begun);
}
"""


@pytest.mark.parametrize("bad", [502, 503, None])
def test_typescript_client_outlasts_a_restart(project: Path, bad: int | None) -> None:
    """A server that answers `bad`, or refuses connections, before it serves."""
    (project / "src" / "restart.ts").write_text(RESTART)
    stub_node(project / "src")
    assert (built := run(project, "npm", "run", "build")).returncode == 0, built.stdout
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    status = run(project, "node", "dist/restart.js", address, "0").stdout.split()
    assert status[0] == "refused"

    class Handler(BaseHTTPRequestHandler):
        answered = 0

        def do_GET(self) -> None:
            Handler.answered += 1
            self.send_response(bad if bad and Handler.answered < 3 else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_values: object) -> None:
            """Print nothing."""

    def serve() -> None:
        time.sleep(0 if bad else 1.5)
        with HTTPServer(("127.0.0.1", port), Handler) as server:
            for _ in range(3 if bad else 1):
                server.handle_request()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    printed = run(project, "node", "dist/restart.js", address, "60").stdout.split()
    thread.join(timeout=60)
    assert printed[0] == "200"
    assert Handler.answered == (3 if bad else 1)
