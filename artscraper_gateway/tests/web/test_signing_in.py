"""Sign-in with API keys: a cookie that scripts cannot read, and cross-origin requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import expect

from artscraper_gateway.auth.keys import KeyStore
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import GatewayProcess
from artscraper_gateway.tests.web.page_object import PageObject, picture_bytes

Open = Callable[..., PageObject]


@dataclass(frozen=True)
class Locked:
    """A gateway that requires keys, and two of them."""

    gateway: GatewayProcess
    key: str
    others_key: str


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    home = tmp_path_factory.mktemp("locked")
    gateway = GatewayProcess(home).start()
    engine = open_engine(GatewayConfig(base_dir=gateway.base_dir))
    keys = KeyStore(engine)
    key, others = keys.add("painter"), keys.add("sculptor")
    engine.dispose()
    yield Locked(gateway, key, others)
    gateway.stop()


def sign_in(app: PageObject, key: str) -> None:
    app.page.get_by_label("API key").fill(key)
    app.page.get_by_role("button", name="Sign in").click()


def test_sign_in_and_sign_out(open_page: Open, locked: Locked) -> None:
    app = open_page(locked.gateway.base_url)
    page = app.page
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    sign_in(app, "ask_wrong")
    expect(page.locator("#key-error")).to_contain_text("unknown or was revoked")
    sign_in(app, locked.key)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    app.send(app.file("mine.png"))
    app.wait_for_result()
    app.show_list("mine.png")
    app.row("mine.png").scroll_into_view_if_needed()
    expect(app.row("mine.png").locator("img")).not_to_have_js_property("naturalWidth", 0)
    stored = page.evaluate("document.cookie + JSON.stringify({ ...localStorage })")
    assert locked.key not in stored
    (cookie,) = [each for each in page.context.cookies() if locked.key == each["value"]]
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    assert locked.key not in str(page.context.cookies())
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    sign_in(app, locked.key)
    expect(app.row("mine.png")).to_be_visible()
    app.row("mine.png").get_by_role("button", name="Delete mine.png").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    with locked.gateway.client(headers={"X-API-Key": locked.key}) as client:
        assert client.get("/v1/jobs").json()["jobs"] == []


def test_page_hides_jobs_of_other_keys(open_page: Open, locked: Locked) -> None:
    with locked.gateway.client(headers={"X-API-Key": locked.others_key}) as client:
        data = {"include_protection": "false", "include_hash_analysis": "false"}
        job = client.post("/v1/jobs", files={"file": picture_bytes()}, data=data).json()
    app = open_page(locked.gateway.base_url, f"/#/jobs/{job['job_id']}")
    sign_in(app, locked.key)
    expect(app.page.locator("main")).to_contain_text("or it is not yours")


def test_cookie_alone_cannot_write(locked: Locked) -> None:
    with locked.gateway.client() as client:
        signed_in = client.post("/v1/session", json={"key": locked.key})
        assert "HttpOnly" in signed_in.headers["set-cookie"]
        token = signed_in.json()["csrf_token"]
        assert client.get("/v1/jobs").status_code == 200
        submit = {"files": {"file": picture_bytes()}}
        for headers in ({}, {"X-CSRF-Token": "0" * 64}):
            answer = client.post("/v1/jobs", headers=headers, **submit)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        accepted = client.post("/v1/jobs", headers={"X-CSRF-Token": token}, **submit)
        assert accepted.status_code == 200
        assert client.delete(f"/v1/jobs/{accepted.json()['job_id']}").status_code == 403
        assert client.delete("/v1/session").status_code == 403
        assert client.get("/v1/session").json()["csrf_token"] == token


def test_sign_in_body_is_limited(locked: Locked) -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while read < 2**28:
            read += 2**16
            yield b" " * 2**16

    with locked.gateway.client() as client:
        headers = {"Content-Type": "application/json"}
        answer = client.post("/v1/session", content=endless(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    assert read < 2**27, "it read on"


def test_cross_origin_sign_in_is_refused(locked: Locked) -> None:
    with locked.gateway.client() as client:
        headers = {"Sec-Fetch-Site": "cross-site"}
        answer = client.post("/v1/session", json={"key": locked.key}, headers=headers)
        assert answer.status_code == 403 and "set-cookie" not in answer.headers
        wrong: httpx.Response = client.post("/v1/session", json={"key": "ask_wrong"})
        assert wrong.status_code == 401 and "set-cookie" not in wrong.headers


def test_gateway_without_keys_needs_no_sign_in(shared_gateway: GatewayProcess) -> None:
    with shared_gateway.client() as client:
        session = client.get("/v1/session").json()
    assert session == {"needs_key": False, "signed_in": False, "csrf_token": None}
