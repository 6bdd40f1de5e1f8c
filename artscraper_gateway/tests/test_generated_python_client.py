"""A Python client that openapi-python-client generates from the OpenAPI document, and its use."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from artscraper_gateway.tests.conftest import SAMPLES
from artscraper_gateway.tests.gateway_process import REPOSITORY
from artscraper_gateway.tests.support.in_process import InProcessGateway

pytestmark = pytest.mark.system

CONFIG = REPOSITORY / "clients" / "openapi-python-client.yaml"
USE = """
import sys
from pathlib import Path

from artscraper_api import Client
from artscraper_api.api.jobs import get_job, get_result, protect_picture, submit_job
from artscraper_api.api.layers import get_layer
from artscraper_api.models import Analysis, JobForm, JobResult, JobState, ProblemDetails, Summary
from artscraper_api.types import File

client = Client(base_url=sys.argv[1], timeout=170)
path = Path(sys.argv[2])


def form(**options: str | bool) -> JobForm:
    return JobForm(file=File(path.open("rb"), path.name, "image/jpeg"), **options)


marked = {"stages": "invisible-watermark", "processors": "dhash", "strength": "low"}
job = submit_job.sync(client=client, body=form(**marked), idempotency_key="generated")
assert isinstance(job, JobState) and job.name == path.name, job
while job.status not in ("done", "error"):
    job = get_job.sync(job.job_id, client=client, wait=30)
    assert isinstance(job, JobState), job
result = get_result.sync(job.job_id, client=client)
assert isinstance(result, JobResult) and isinstance(result.summary, Summary), result
assert isinstance(result.analysis, Analysis)
assert [row.name for row in result.analysis.processors] == ["dhash"]
last = result.summary.layers[-1]
assert last.stage == "invisible-watermark" and last.applied and 0 < last.metrics.linf <= 255
assert last.metrics.additional_properties["bit_accuracy"] == 1.0
layer = get_layer.sync(job.job_id, "final", client=client)
assert isinstance(layer, File) and layer.payload.read()[:2] == b"\\xff\\xd8"

# Options in the query, the picture in the form: none of them is sent twice.
picture = protect_picture.sync(
    client=client, body=form(), stages="invisible-watermark", include_hash_analysis=False
)
assert isinstance(picture, File) and picture.payload.read()[:2] == b"\\xff\\xd8", picture
problem = submit_job.sync(client=client, body=form(strength="extreme"))
assert isinstance(problem, ProblemDetails) and problem.code == "invalid-request", problem
print("used", last.url)
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, gateway: InProcessGateway) -> Path:
    """Return the folder of the package generated from the live gateway's document."""
    assert importlib.util.find_spec("openapi_python_client"), "expected the extra test"
    home = tmp_path_factory.mktemp("generated")
    command = [sys.executable, "-m", "openapi_python_client", "generate"]
    command += ["--url", f"{gateway.base_url}/openapi.json", "--config", str(CONFIG)]
    command += ["--meta", "none", "--output-path", str(home / "artscraper_api")]
    command += ["--fail-on-warning"]
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it formats with ruff
    environment = {**os.environ, "NO_COLOR": "1", "PATH": tools}
    made = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert made.returncode == 0, made.stdout + made.stderr
    return home


def test_generated_client_submits_waits_and_downloads(
    package: Path, gateway: InProcessGateway
) -> None:
    script = package / "use.py"
    script.write_text(USE)
    command = [sys.executable, str(script), gateway.base_url, str(SAMPLES[0])]
    used = subprocess.run(command, capture_output=True, text=True, check=False, cwd=package)
    assert used.returncode == 0 and used.stdout.startswith("used /v1/jobs/"), used.stderr


def test_generated_client_is_typed(package: Path) -> None:
    wrong = package / "wrong.py"
    wrong.write_text(
        "from artscraper_api.models import JobResult\n\n\n"
        "def colour(result: JobResult) -> str:\n    return result.summary.layers[0].colour\n\n\n"
        "def url(result: JobResult) -> str:\n    return result.summary.layers[0].url\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(wrong)]
    command += ["--config-file=/dev/null"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=package)
    assert '"LayerEntry" has no attribute "colour"' in checked.stdout, checked.stdout
    assert "wrong.py:9" not in checked.stdout
