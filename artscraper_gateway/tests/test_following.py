"""Status, long poll, lists and server-sent events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx
import psutil
import pytest

from artscraper_gateway.tests.gateway_process import GatewayProcess, until
from artscraper_gateway.tests.stages_for_tests.stages_that_misbehave import GATE_WIDTH
from artscraper_gateway.tests.support.in_process import InProcessGateway
from artscraper_gateway.tests.test_contract import LIGHT, submit
from artscraper_gateway.tests.test_durability import ended, entered, open_gate, send

Start = Callable[..., GatewayProcess]
Picture = Callable[..., bytes]
Message = tuple[str, int | None, dict[str, Any]]  # its name, id and data


def messages(answer: httpx.Response) -> Iterator[Message]:
    """Yield the events of a stream; comments are ignored."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line.startswith(":"):
            continue
        if not line and "event" in fields:
            number = int(fields["id"]) if "id" in fields else None
            yield fields["event"], number, json.loads(fields["data"])
            fields = {}
        elif line:
            name, _, value = line.partition(": ")
            fields[name] = value


def followed(client: httpx.Client, job_id: str, last: int | None = None) -> list[Message]:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    with client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return list(messages(answer))


@pytest.fixture
def idle(start_app: Start) -> InProcessGateway:
    return start_app(worker_concurrency=0)


@pytest.fixture
def idle_web(start_gateway: Start) -> GatewayProcess:
    return start_gateway(worker_concurrency=0)


def test_queue_position_counts_earlier_jobs(idle: InProcessGateway, picture: Picture) -> None:
    with idle.client() as client:

        def add(**fields: Any) -> dict[str, Any]:
            return client.post("/v1/jobs", files={"file": picture(64, 64)}, data=fields).json()

        jobs = [add(), add(), add(priority="5"), add(priority="-5"), add(**LIGHT)]
        assert [job["queue_position"] for job in jobs] == [1, 2, 1, 4, 1]
        now = [client.get(f"/v1/jobs/{job['job_id']}").json() for job in jobs]
        assert [job["queue_position"] for job in now] == [2, 3, 1, 4, 1]
        client.post(f"/v1/jobs/{jobs[2]['job_id']}/cancel")
        last = client.get(f"/v1/jobs/{jobs[3]['job_id']}").json()
        assert last["queue_position"] == 3
        assert last["progress"] == 0 and last["started_at"] is None
        gone = client.get(f"/v1/jobs/{jobs[2]['job_id']}").json()
        assert gone["queue_position"] is None and gone["finished_at"] is not None


def test_higher_priority_runs_first(idle: InProcessGateway, picture: Picture) -> None:
    with idle.client() as client:
        ids = [send(client, picture(64, 64), priority=p) for p in ("0", "-100", "100")]
    idle.stop()
    idle.options["worker_concurrency"] = 1
    idle.start()
    started = [datetime.fromisoformat(ended(idle, job_id)["started_at"]) for job_id in ids]
    assert started[2] < started[0] < started[1]


@pytest.mark.parametrize("value", ["101", "-101", "high", "1.5"])
def test_invalid_priorities_are_refused(client: httpx.Client, picture: Picture, value: str) -> None:
    answer = client.post("/v1/jobs", files={"file": picture(64, 64)}, data={"priority": value})
    assert answer.status_code == 422 and "priority" in answer.json()["detail"]


def test_long_poll_returns_at_job_end(client: httpx.Client, picture: Picture) -> None:
    job_id = send(client, picture(64, 64))
    job = client.get(f"/v1/jobs/{job_id}", params={"wait": 100}).json()
    assert (job["status"], job["progress"]) == ("done", 1)
    assert client.get(f"/v1/jobs/{job_id}", params={"wait": 100}).json() == job
    assert client.get(f"/v1/jobs/{'0' * 32}", params={"wait": 5}).status_code == 404
    assert client.get(f"/v1/jobs/{job_id}", params={"wait": -1}).status_code == 422


def test_long_poll_ends_with_job_or_timeout(idle_web: GatewayProcess, picture: Picture) -> None:
    with idle_web.client() as client, idle_web.client() as other, ThreadPoolExecutor(1) as pool:
        job_id = send(client, picture(64, 64))
        url = f"/v1/jobs/{job_id}"
        assert client.get(url, params={"wait": 0.2}).json()["status"] == "queued"
        waiting = pool.submit(other.get, url, params={"wait": 50})
        until(lambda: connections(idle_web) >= 2, what="a request waits")
        client.delete(url)
        assert waiting.result().status_code == 404


def connections(gateway: GatewayProcess) -> int:
    found = psutil.Process(gateway.pid).net_connections("tcp")
    return sum(each.status == psutil.CONN_ESTABLISHED for each in found)


def test_job_list_pages_have_each_job_once_newest_first(
    idle: InProcessGateway, picture: Picture
) -> None:
    content = picture(64, 64)
    with idle.client() as client:
        assert client.get("/v1/jobs").json() == {"jobs": [], "next_page_token": None}
        ids = [send(client, content) for _ in range(7)]
        seen: list[str] = []
        token = None
        while True:
            params = {"page_size": 3} | ({"page_token": token} if token else {})
            page = client.get("/v1/jobs", params=params).json()
            assert len(page["jobs"]) <= 3
            seen += [job["job_id"] for job in page["jobs"]]
            if len(seen) == 3:
                late = send(client, content)  # what comes in meanwhile moves no page
            token = page["next_page_token"]
            if token is None:
                break
        assert seen == ids[::-1]
        client.post(f"/v1/jobs/{ids[2]}/cancel")
        page = client.get("/v1/jobs", params={"status": "error"}).json()
        assert [job["job_id"] for job in page["jobs"]] == [ids[2]]
        assert page["jobs"][0]["error_code"] == "cancelled"
        newest = client.get("/v1/jobs", params={"page_size": 1}).json()
        assert [job["job_id"] for job in newest["jobs"]] == [late]


@pytest.mark.parametrize(
    "params",
    [
        {"page_size": 0},
        {"page_size": 1001},
        {"status": "deleting"},
        {"page_token": "x"},
        {"page_token": "W10"},
        {"page_token": "WzEsICJhIl0"},
        {"page_token": "é"},
        {"page_token": "WzEuMCwiXHVkODAwIl0"},  # half of a pair of surrogates
        {"page_token": "W05hTiwiYSJd"},  # NaN
    ],
)
def test_invalid_page_parameters_are_refused(client: httpx.Client, params: dict[str, Any]) -> None:
    answer = client.get("/v1/jobs", params=params)
    assert answer.status_code == 422, answer.text
    assert next(iter(params)) in answer.json()["detail"]


def test_events_cover_a_job_from_start_to_end(start_gateway: Start, picture: Picture) -> None:
    gateway = start_gateway(worker_concurrency=0)
    with gateway.client() as client:
        files = {"file": picture(500, 400)}
        job_id = client.post("/v1/jobs", files=files, data={"stages": "mist"}).json()["job_id"]
        with client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
            stream = messages(answer)
            name, _, state = next(stream)
            assert name == "snapshot" and state["status"] == "queued"
            assert state == client.get(f"/v1/jobs/{job_id}").json() | {"queue_position": None}
            helper = start_gateway(gateway.home)  # whose worker takes the job
            rest = list(stream)
    assert helper.pid != gateway.pid
    names = [name for name, _, _ in rest]
    stages = [data["stage"] for name, _, data in rest if name == "stage"]
    assert stages == ["original", "analysis", "mist", "summary"]
    assert "progress" in names, "the engine's progress came through"
    assert names[-1] == "done" and rest[-1][2]["progress"] == 1
    numbers = [number for _, number, _ in rest]
    assert numbers == sorted(set(numbers))
    shares = [data["progress"] for _, _, data in rest]
    assert shares == sorted(shares)
    inside = [data["progress"] for name, _, data in rest if name == "progress"]
    assert all(0.5 < share <= 0.75 for share in inside), "mist is the third of four steps"


def test_stream_resumes_in_another_process(start_gateway: Start, picture: Picture) -> None:
    gateway = start_gateway(with_stages_for_tests=True)
    with gateway.client() as client:
        job_id = send(client, picture(GATE_WIDTH))
        entered(gateway)
        with client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
            name, seen, state = next(messages(answer))
        assert (name, state["stage"]) == ("snapshot", "gate")
    gateway.kill()
    open_gate(gateway)
    gateway.start()
    ended(gateway, job_id)
    other = start_gateway(gateway.home, with_stages_for_tests=True, worker_concurrency=0)
    with gateway.client() as first, other.client() as second:
        changes = followed(first, job_id, last=seen)
        assert followed(second, job_id, last=seen) == changes
        assert changes[0][0] == "stage" and changes[-1][0] == "done"
        assert all(number > seen for _, number, _ in changes)
        whole = followed(second, job_id)
        assert [name for name, _, _ in whole] == ["snapshot"]
        assert whole[0][1] == changes[-1][1] and whole[0][2]["status"] == "done"
        last = {"Last-Event-ID": str(changes[-1][1])}
        assert second.get(f"/v1/jobs/{job_id}/events", headers=last).status_code == 204
        for unknown in ("99999", "x", "-1", ""):
            headers = {"Last-Event-ID": unknown}
            with second.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as answer:
                assert next(messages(answer))[0] == "snapshot"


def test_deleting_a_job_ends_its_streams(idle: InProcessGateway, picture: Picture) -> None:
    with idle.client() as client:
        job_id = send(client, picture(64, 64))
        with client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
            stream = messages(answer)
            assert next(stream)[0] == "snapshot"
            with idle.client() as other:
                other.delete(f"/v1/jobs/{job_id}")
            assert [name for name, _, _ in stream] == ["deleted"]
        assert client.get(f"/v1/jobs/{job_id}/events").status_code == 404


def test_many_subscribers_get_events_and_release_resources(
    idle_web: GatewayProcess, picture: Picture
) -> None:
    with idle_web.client(limits=httpx.Limits(max_connections=200)) as client:
        job_id = send(client, picture(64, 64))
        before = psutil.Process(idle_web.pid).num_fds()
        streams = [client.stream("GET", f"/v1/jobs/{job_id}/events") for _ in range(100)]
        answers = [stream.__enter__() for stream in streams]
        readers = [messages(answer) for answer in answers]
        assert {next(reader)[0] for reader in readers} == {"snapshot"}
        assert connections(idle_web) >= 100
        for stream in streams[:90]:
            stream.__exit__(None, None, None)
        until(lambda: connections(idle_web) < 20, what="those who left are closed")
        client.post(f"/v1/jobs/{job_id}/cancel")
        assert {next(reader)[0] for reader in readers[90:]} == {"error"}
        for stream in streams[90:]:
            stream.__exit__(None, None, None)
    until(lambda: psutil.Process(idle_web.pid).num_fds() <= before + 2, what="nothing stays open")


def test_status_progress_comes_from_the_engine(client: httpx.Client, picture: Picture) -> None:
    files = {"file": picture(360, 300)}
    job_id = client.post("/v1/jobs", files=files, data={"stages": "mist"}).json()["job_id"]
    seen = []

    def is_done() -> bool:
        job = client.get(f"/v1/jobs/{job_id}").json()
        seen.append(job["progress"])
        return bool(job["status"] == "done")

    until(is_done, what="the job ends")
    assert seen == sorted(seen) and seen[-1] == 1
    assert any(0.5 < share < 0.75 for share in seen), "only whole steps were shown"


@pytest.mark.parametrize("drain_notice", [0, 1])
def test_long_polls_return_at_shutdown(
    start_gateway: Start, picture: Picture, drain_notice: float
) -> None:
    gateway = start_gateway(worker_concurrency=0, max_wait=50, drain_notice=drain_notice)
    files = {"file": picture(64, 64)}
    with gateway.client() as client, ThreadPoolExecutor(4) as pool:
        job_id = client.post("/v1/jobs", files=files).json()["job_id"]
        url, prefer = f"/v1/jobs/{job_id}", {"Prefer": "wait=50"}
        poll = pool.submit(client.get, url, params={"wait": 50})
        sent = pool.submit(client.post, "/v1/jobs", files=files, headers=prefer)
        heard: list[list[str]] = [[], []]

        def listen(path: str, names: list[str]) -> None:
            with client.stream("GET", path) as answer:
                names.extend(name for name, *_ in messages(answer))

        paths = (f"{url}/events", f"/v1/events?job={job_id}")
        streams = [pool.submit(listen, *each) for each in zip(paths, heard, strict=True)]
        until(lambda: len(client.get("/v1/jobs").json()["jobs"]) == 2, what="both were accepted")
        until(lambda: connected(gateway) >= 5 and all(heard), what="all of them wait")
        gateway.stop()
        for waiting in (poll, sent):
            answer = waiting.result(timeout=10)
            assert (answer.status_code, answer.json()["status"]) == (200, "queued")
        for stream in streams:
            stream.result(timeout=10)
        assert heard == [["snapshot"], ["snapshot"]]
    assert "Traceback" not in gateway.log() and "ERROR" not in gateway.log()


def connected(gateway: GatewayProcess) -> int:
    """Return how many connections the web process has open to clients."""
    found = psutil.Process(gateway.pid).net_connections("tcp")
    return sum(each.status == psutil.CONN_ESTABLISHED for each in found)


def test_prefer_headers_are_merged_and_wait_is_capped(start_app: Start, picture: Picture) -> None:
    gateway = start_app(worker_concurrency=0, max_wait=0.1)
    with gateway.client() as client:
        headers = [("Prefer", "respond-async"), ("Prefer", "wait=999999")]
        answer = client.post("/v1/jobs", files={"file": picture(64, 64)}, headers=headers)
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=0, respond-async"


def test_jobs_without_subscribers_behave_the_same(client: httpx.Client, picture: Picture) -> None:
    job = submit(client, picture(64, 64), **LIGHT)
    assert (job["error"], job["error_code"], job["batch_id"]) == (None, None, None)
    assert job["expires_at"] is None and job["stage"] == "original"
