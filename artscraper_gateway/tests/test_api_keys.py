"""API keys: who gets in, who may do what, how often, and whose jobs are whose."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from artscraper_gateway.auth.keys import InvalidKeyOption, KeyStore, Rate
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import GatewayProcess, until
from artscraper_gateway.tests.support.command_line import Completed, run_command
from artscraper_gateway.tests.test_contract import LIGHT

Start = Callable[..., GatewayProcess]
Picture = Callable[..., bytes]


def keys(home: Path, *arguments: str) -> Completed:
    return run_command(home, "keys", *arguments)


def added(home: Path, *arguments: str) -> dict[str, str]:
    """Add a key and returns the header that carries it."""
    done = keys(home, "add", *arguments)
    assert done.returncode == 0, done.stderr
    (token,) = (word for word in done.stdout.split() if word.startswith("ask_"))
    return {"X-API-Key": token}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyStore]:
    engine = open_engine(GatewayConfig(base_dir=tmp_path / "gateway_jobs"))
    yield KeyStore(engine)
    engine.dispose()


def test_first_api_key_ends_open_access(start_app: Start, tmp_path: Path, picture: Picture) -> None:
    gateway = start_app(worker_concurrency=0)
    with gateway.client() as client:
        job = client.post("/v1/jobs", files={"file": picture(64, 64)}).json()
        url = f"/v1/jobs/{job['job_id']}"
        header = added(tmp_path, "first")
        until(lambda: client.get(url).status_code == 401, what="the key is noticed")
        token = header["X-API-Key"]
        for method, path in (
            ("GET", "/v1/jobs"),
            ("POST", "/v1/jobs"),
            ("GET", f"{url}/result"),
            ("GET", f"{url}/layers/original"),
            ("GET", f"{url}/archive.zip"),
            ("GET", f"{url}/events"),
            ("GET", f"{url}/deliveries"),
            ("POST", f"{url}/deliveries/x/resend"),
            ("POST", f"{url}/cancel"),
            ("DELETE", url),
            ("POST", "/v1/batches"),
            ("GET", "/v1/batches/x"),
            ("GET", "/v1/batches/x/archive.zip"),
            ("DELETE", "/v1/batches/x"),
            ("POST", "/v1/watermarks/read"),
        ):
            for given in ({}, {"X-API-Key": "x"}, {"Authorization": f"Basic {token}"}):
                answer = client.request(method, path, headers=given)
                assert answer.status_code == 401, (method, path, given)
                assert answer.json()["code"] == "unauthorized"
                assert answer.headers["www-authenticate"] == "Bearer"
        almost = {"X-API-Key": token[:-1] + ("A" if token[-1] != "A" else "B")}
        assert client.get("/v1/jobs", headers=almost).status_code == 401
        assert client.get("/v1/jobs", headers=header).status_code == 200
        bearer = {"Authorization": f"Bearer {token}"}
        assert client.get("/v1/jobs", headers=bearer).json()["jobs"] == [], (
            "jobs without owner are hidden"
        )
        assert client.get("/openapi.json").status_code == 200


def test_jobs_belong_to_their_key(start_app: Start, tmp_path: Path, picture: Picture) -> None:
    gateway = start_app()
    ada, bob = added(tmp_path, "ada"), added(tmp_path, "bob")
    root = added(tmp_path, "root", "--scope", "admin")
    content = picture(64, 64)
    with gateway.client() as client:

        def send(header: dict[str, str]) -> str:
            idempotent = {**header, "Idempotency-Key": "same"}
            files = {"file": content}
            answer = client.post("/v1/jobs", files=files, data=LIGHT, headers=idempotent)
            return str(answer.json()["job_id"])

        hers, his = send(ada), send(bob)
        assert hers != his, "idempotency keys are each owner's own"
        batch = client.post("/v1/batches", files={"file": content}, data=LIGHT, headers=ada).json()
        assert client.get(f"/v1/jobs/{hers}?wait=170", headers=ada).json()["status"] == "done"
        for path in ("", "/result", "/layers/original", "/archive.zip", "/events", "/deliveries"):
            assert client.get(f"/v1/jobs/{hers}{path}", headers=bob).status_code == 404, path
        assert client.post(f"/v1/jobs/{hers}/cancel", headers=bob).status_code == 404
        assert client.delete(f"/v1/jobs/{hers}", headers=bob).status_code == 404
        batch_url = f"/v1/batches/{batch['batch_id']}"
        assert client.get(batch_url, headers=bob).status_code == 404
        assert client.delete(batch_url, headers=bob).status_code == 404
        assert client.get(batch_url, headers=ada).status_code == 200

        def listed(header: dict[str, str]) -> set[str]:
            page = client.get("/v1/jobs", headers=header).json()
            return {job["job_id"] for job in page["jobs"]}

        assert listed(bob) == {his}
        assert listed(ada) == {hers, batch["jobs"][0]["job_id"]}
        assert listed(root) == listed(ada) | listed(bob)
        assert client.delete(f"/v1/jobs/{hers}", headers=root).status_code == 200


def test_watermark_lookup_is_limited_to_own_jobs(
    start_app: Start, tmp_path: Path, small_sample: bytes
) -> None:
    gateway = start_app()
    ada, bob = added(tmp_path, "ada"), added(tmp_path, "bob")
    fields = {"stages": "invisible-watermark", "include_hash_analysis": "no"}
    with gateway.client() as client:
        wait = {**ada, "Prefer": "wait=170"}
        files = {"file": small_sample}
        job = client.post("/v1/jobs", files=files, data=fields, headers=wait).json()
        layer = f"/v1/jobs/{job['job_id']}/layers/invisible-watermark"
        marked = client.get(layer, headers=ada).content

        def named(header: dict[str, str]) -> str | None:
            url = "/v1/watermarks/read"
            found = client.post(url, files={"file": marked}, headers=header).json()
            assert found["payload"] is not None
            named: str | None = found["job_id"]
            return named

        assert named(ada) == job["job_id"]
        assert named(bob) is None


def test_scopes_limit_a_key(start_app: Start, tmp_path: Path, picture: Picture) -> None:
    gateway = start_app(worker_concurrency=0)
    submit, read = (added(tmp_path, name, "--scope", name) for name in ("submit", "read"))
    delete = added(tmp_path, "delete", "--scope", "delete,read")
    with gateway.client() as client:
        files = {"file": picture(64, 64)}
        job_id = client.post("/v1/jobs", files=files, headers=submit).json()["job_id"]
        url = f"/v1/jobs/{job_id}"
        for method, path, header in (
            ("GET", url, submit),
            ("DELETE", url, submit),
            ("POST", "/v1/jobs", read),
            ("POST", f"{url}/cancel", read),
            ("DELETE", url, read),
            ("POST", "/v1/batches", delete),
        ):
            answer = client.request(method, path, headers=header)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
        assert client.get("/v1/jobs", headers=read).status_code == 200
        assert client.delete(url, headers=delete).status_code == 404, "allowed, but not its job"


def test_rate_limit_counts_over_processes_and_is_sent_in_headers(
    start_app: Start, tmp_path: Path
) -> None:
    gateways = [start_app(tmp_path, worker_concurrency=0) for _ in range(2)]
    header = added(tmp_path, "slow", "--rate", "5/h")
    clients = [gateway.client(headers=header) for gateway in gateways]
    urls = ("", "/x", "/x/events", "/x/layers/y", "?page_size=0")
    answers = [clients[n % 2].get(f"/v1/jobs{url}") for n, url in enumerate(urls)]
    assert [answer.status_code for answer in answers] == [200, 404, 404, 404, 422]
    for left, answer in zip((4, 3, 2, 1, 0), answers, strict=True):
        assert answer.headers["ratelimit-policy"] == '"key";q=5;w=3600'
        assert answer.headers["ratelimit"].startswith(f'"key";r={left};t=')
    for client in clients:
        answer = client.get("/v1/jobs")
        assert (answer.status_code, answer.json()["code"]) == (429, "rate-limited")
        assert 600 < int(answer.headers["retry-after"]) <= 720
        assert answer.headers["ratelimit"].startswith('"key";r=0;')
        client.close()


def test_key_has_its_own_queue_limit(start_app: Start, tmp_path: Path, picture: Picture) -> None:
    gateway = start_app(worker_concurrency=0)
    few, many = added(tmp_path, "few", "--max-queued", "2"), added(tmp_path, "many")
    files = {"file": picture(64, 64)}
    with gateway.client() as client:

        def status(header: dict[str, str]) -> int:
            return client.post("/v1/jobs", files=files, headers=header).status_code

        assert [status(many) for _ in range(3)] == [200] * 3
        assert [status(few) for _ in range(3)] == [200, 200, 429]
        full = client.post("/v1/jobs", files=files, headers=few).json()["detail"]
        assert full.startswith("2 of at most 2 jobs of this API key wait, and 1 more was sent;")
        three = [("file", picture(64, 64))] * 3
        large = client.post("/v1/batches", files=three, headers=few)
        assert large.status_code == 422 and "at most 2 jobs" in large.json()["detail"]


def test_key_bounds_the_priority_of_its_jobs(
    start_app: Start, tmp_path: Path, picture: Picture
) -> None:
    gateway = start_app(worker_concurrency=0)
    header = added(tmp_path, "low", "--max-priority", "5")
    files = [("file", picture(64, 64))]
    with gateway.client() as client:
        for path in ("/v1/jobs", "/v1/batches"):
            for priority, status in ((5, 200), (-3, 200), (6, 422)):
                data = {"priority": str(priority)}
                answer = client.post(path, files=files, data=data, headers=header)
                assert answer.status_code == status, answer.text
            assert "expected at most 5 with this API key, found 6" in answer.json()["detail"]


def test_revoked_key_is_refused_and_keeps_access_closed(start_app: Start, tmp_path: Path) -> None:
    gateway = start_app(worker_concurrency=0)
    header = added(tmp_path, "gone")
    with gateway.client() as client:
        assert client.get("/v1/jobs", headers=header).status_code == 200
        assert keys(tmp_path, "revoke", "gone").returncode == 0
        until(
            lambda: client.get("/v1/jobs", headers=header).status_code == 401,
            what="the revocation is noticed",
        )
        assert client.get("/v1/jobs").status_code == 401
    again = keys(tmp_path, "revoke", "gone")
    assert again.returncode == 2 and "no valid key" in again.stderr


def test_secrets_are_shown_once_and_not_stored(tmp_path: Path) -> None:
    token = added(tmp_path, "ada", "--scope", "read,submit", "--rate", "60/min")["X-API-Key"]
    listed = keys(tmp_path, "list").stdout
    assert "ada" in listed and "submit,read" in listed and "60/min" in listed
    assert token.split("_", 2)[2] not in listed
    with sqlite3.connect(tmp_path / "gateway_jobs" / "gateway.sqlite3") as database:
        everything = "\n".join(database.iterdump())
    database.close()
    assert token.split("_", 2)[2] not in everything
    assert token.split("_")[1] in everything


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["add", "ada"], "already"),
        (["add", "bob", "--scope", "write"], "submit, read, delete, admin"),
        (["add", "bob", "--scope", ""], "submit, read, delete, admin"),
        (["add", "bob", "--scope", " , "], "submit, read, delete, admin"),
        (["add", "bob", "--rate", "fast"], "60/min"),
        (["add", "bob", "--rate", "0/min"], "60/min"),
        (["add", "bob", "--max-queued", "0"], "at least 1"),
        (["add", "../x"], "name"),
        (["revoke", "bob"], "bob"),
    ],
)
def test_invalid_keys_are_explained(tmp_path: Path, arguments: list[str], named: str) -> None:
    added(tmp_path, "ada")
    done = keys(tmp_path, *arguments)
    assert done.returncode == 2
    assert named in done.stderr and "Traceback" not in done.stderr


def test_keys_command_needs_an_existing_database(tmp_path: Path) -> None:
    for arguments in (["list"], ["revoke", "ada"]):
        done = keys(tmp_path, *arguments)
        assert done.returncode == 2 and "--base-dir" in done.stderr
        assert not list(tmp_path.iterdir())
    first, second = keys(tmp_path, "add", "ada"), keys(tmp_path, "add", "bob")
    assert "no database at" in first.stderr and str(tmp_path) in first.stderr
    assert second.returncode == 0 and "no database at" not in second.stderr


@pytest.mark.parametrize("form", ["{id}", "ask_{id}_...", "ask_{id}", "{token}"])
def test_key_is_revoked_by_id(tmp_path: Path, form: str) -> None:
    token, other = (added(tmp_path, name)["X-API-Key"] for name in ("ada", "bob"))
    given = form.format(id=token.split("_")[1], token=token)
    listed = keys(tmp_path, "list").stdout.splitlines()
    assert form != "ask_{id}_..." or listed[0].split("\t")[0] == given
    done = keys(tmp_path, "revoke", given)
    assert done.returncode == 0, done.stderr
    assert token not in done.stdout
    assert [line.split("\t")[-1] for line in keys(tmp_path, "list").stdout.splitlines()] == [
        "revoked",
        "valid",
    ]
    again = keys(tmp_path, "revoke", given)
    assert again.returncode == 2 and "keys list" in again.stderr
    assert token not in again.stderr and other not in again.stderr


def test_rate_limit_refills_over_time(store: KeyStore) -> None:
    store.add("ada", rate=Rate.parse("4/min"))
    (key,) = store.all()
    assert [store.consume(key, now=1000.0).remaining for _ in range(4)] == [3, 2, 1, 0]
    refused = store.consume(key, now=1000.0)
    assert refused.retry_after_s == pytest.approx(15) and refused.reset_s == pytest.approx(60)
    assert store.consume(key, now=1014.9).retry_after_s > 0
    assert store.consume(key, now=1015.1).retry_after_s == 0
    assert store.consume(key, now=1100.0).remaining == 3


def test_rate_limit_survives_clock_set_back(store: KeyStore) -> None:
    store.add("ada", rate=Rate.parse("60/min"))
    (key,) = store.all()
    assert store.consume(key, now=10_000.0).remaining == 59
    back = store.consume(key, now=10_000.0 - 3600)
    assert (back.retry_after_s, back.remaining) == (0, 59)


def test_rate_limit_holds_with_a_slow_clock(store: KeyStore) -> None:
    store.add("ada", rate=Rate.parse("2/s"))
    (key,) = store.all()
    assert [store.consume(key, now=1030.0).remaining for _ in range(2)] == [1, 0]
    assert store.consume(key, now=1000.0).retry_after_s > 0


def test_rate_limit_holds_for_concurrent_requests(store: KeyStore) -> None:
    store.add("ada", rate=Rate.parse("10/day"))
    (key,) = store.all()
    with ThreadPoolExecutor(8) as pool:
        used = list(pool.map(lambda _: store.consume(key, now=5.0), range(30)))
    assert sum(each.retry_after_s == 0 for each in used) == 10


def test_revoked_key_name_stays_taken(store: KeyStore) -> None:
    store.add("ada")
    assert store.revoke("ada")
    with pytest.raises(InvalidKeyOption, match="already"):
        store.add("ada")
    with store.engine.connect() as connection:
        assert connection.execute(sa.text("select count(*) from api_keys")).scalar() == 1


@pytest.mark.parametrize(
    ("host", "with_key", "warned"),
    [
        ("127.0.0.1", False, False),
        ("0.0.0.0", False, True),
        ("0.0.0.0", True, False),
    ],
)
def test_serve_warns_of_public_address_without_keys(
    start_gateway: Start, tmp_path: Path, host: str, with_key: bool, warned: bool
) -> None:
    if with_key:
        added(tmp_path, "ada")
    gateway = start_gateway(worker_concurrency=0, host=host)
    assert ("WITHOUT API KEYS" in gateway.log()) == warned
    assert httpx.get(f"{gateway.base_url}/openapi.json".replace("0.0.0.0", "127.0.0.1")).is_success


def test_batch_consumes_rate_for_each_job(
    start_app: Start, tmp_path: Path, picture: Picture
) -> None:
    gateway = start_app(worker_concurrency=0)
    key = added(tmp_path, "batches", "--rate", "5/h")
    with gateway.client() as client:

        def submit(count: int) -> httpx.Response:
            files = [("file", picture(64 + index, 64)) for index in range(count)]
            return client.post("/v1/batches", files=files, headers=key)

        answer = submit(3)
        assert answer.status_code == 200, answer.text
        assert "r=2" in answer.headers["ratelimit"]
        answer = submit(6)
        assert answer.status_code == 422 and "send fewer at a time" in answer.json()["detail"]
        answer = submit(2)
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0


def test_retrying_jobs_consumes_rate_for_each_job(
    start_app: Start, tmp_path: Path, picture: Picture
) -> None:
    gateway = start_app(worker_concurrency=0)
    key = added(tmp_path, "again", "--rate", "12/h")
    with gateway.client() as client:
        files = [("file", picture(64 + index, 64)) for index in range(3)]
        batch = client.post("/v1/batches", files=files, headers=key).json()
        for job in batch["jobs"]:
            assert client.post(f"/v1/jobs/{job['job_id']}/cancel", headers=key).is_success
        wanted = {"error_code": "cancelled"}
        answer = client.post("/v1/jobs/retry", json=wanted, headers=key)
        assert answer.status_code == 200 and len(answer.json()["retried"]) == 3, answer.text
        assert "r=3;" in answer.headers["ratelimit"]
        assert client.get("/v1/jobs", headers=key).is_success
        answer = client.post("/v1/jobs/retry", json=wanted, headers=key)
        assert answer.status_code == 429, "two are left, and three are wanted"
