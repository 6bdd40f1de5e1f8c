"""Random JSON, forms and raw bytes never give a 5xx; fuzz/test_api.py follows the description."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from artscraper_gateway import GatewayConfig, create_app
from artscraper_gateway.tests.gateway_process import GatewayProcess

pytestmark = [
    pytest.mark.api,
    # The form parser leaves the temporary file of an unfinished part to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    # Threads of servers that other tests run in this process draw from `random` meanwhile.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
]

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["image_url", "local_path", "processors", "include_hash_analysis", "enable_tineye", "file"]
)
BUDGET = settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Start a gateway without workers: what is tried is what answers requests."""
    options = {"worker_concurrency": 0, "max_wait": 0}
    process = GatewayProcess(tmp_path_factory.mktemp("fuzzed"), options).start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def fuzz_client(fuzzed: GatewayProcess) -> Any:
    with fuzzed.client() as client:
        yield client


@BUDGET
@given(body=JSON_VALUES | st.dictionaries(FIELDS, JSON_VALUES, max_size=4))
def test_json_of_any_shape_is_no_server_error(fuzz_client: httpx.Client, body: Any) -> None:
    content = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    answer = fuzz_client.post("/v1/jobs", content=content, headers=headers)
    assert answer.status_code in (200, 422), answer.text


@BUDGET
@given(
    content=st.binary(max_size=2000),
    kind=st.sampled_from(["application/json", "multipart/form-data; boundary=b", "image/png", ""]),
    path=st.sampled_from(["/v1/jobs", "/v1/jobs/x", "/v1/jobs/x/result", "/v1/jobs/x/layers/y"]),
    method=st.sampled_from(["POST", "GET", "DELETE", "PUT", "PATCH"]),
)
def test_random_bytes_are_no_server_error(
    fuzz_client: httpx.Client, content: bytes, kind: str, path: str, method: str
) -> None:
    answer = fuzz_client.request(method, path, content=content, headers={"Content-Type": kind})
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    "body",
    [
        b'{"local_path": "\\ud800"}',
        b'{"image_url": "http://\\u0000"}',
        b"[" * 5000,
        b'{"local_path":' * 3000,
        b'{"image_url": "http://[::1"}',
        b'{"image_url": "http://xn--\\uffff.org/"}',
        b'{"local_path": "' + b"a/" * 4000 + b'"}',
        b"\xff\xfe\x00",
        b'{"a": 1e999999}',
        b"",
    ],
)
def test_awkward_json_is_no_server_error(fuzz_client: httpx.Client, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = fuzz_client.post("/v1/jobs", content=body, headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\n",
        b"--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx',
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\n" + b"X: y\r\n" * 3000 + b"\r\nx\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 100_000,
        b'--b\r\nContent-Disposition: form-data; name="processors"; filename="p"\r\n\r\n\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\r\n--b--\r\n',
        b"".join(
            b'--b\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n' % n
            for n in range(200)
        ),
    ],
)
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "multipart/form-data"])
def test_awkward_forms_are_no_server_error(
    fuzz_client: httpx.Client, body: bytes, kind: str
) -> None:
    answer = fuzz_client.post("/v1/jobs", content=body, headers={"Content-Type": kind})
    assert answer.status_code in (413, 415, 422), answer.text


def test_awkward_headers_are_no_server_error(
    fuzz_client: httpx.Client, picture: Callable[..., bytes]
) -> None:
    for prefer in ("wait=", "wait=-1", "wait=abc", "wait=99999999999999", ",,;=", "wait=1e5"):
        answer = fuzz_client.post(
            "/v1/jobs", files={"file": picture(64, 64)}, headers={"Prefer": prefer}
        )
        assert answer.status_code == 200


@pytest.mark.parametrize("length", ["-1", "abc", "9" * 19, "9" * 4000, "1, 2"])
def test_false_content_length_is_refused(fuzzed: GatewayProcess, length: str) -> None:
    host, port = fuzzed.base_url.removeprefix("http://").split(":")
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n{}")
        assert connection.recv(100).split()[1] in (b"400", b"413", b"422")


def test_responses_match_openapi(tmp_path: Any) -> None:
    app = create_app(GatewayConfig(base_dir=tmp_path))
    paths = app.openapi()["paths"]
    body = paths["/v1/jobs"]["post"]["requestBody"]["content"]
    assert body.keys() == {"multipart/form-data", "application/json"}
    assert {"200", "413", "415", "422", "503"} <= paths["/v1/jobs"]["post"]["responses"].keys()
    assert {"200", "404", "409"} <= paths["/v1/jobs/{job_id}/result"]["get"]["responses"].keys()
