"""The interactive reference at /docs: nothing from elsewhere, every operation, calls that work."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Locator, expect

from artscraper_gateway.auth.keys import KeyStore
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import GatewayProcess
from artscraper_gateway.tests.web.page_object import PageObject
from artscraper_gateway.tests.web.sub_path_proxy import proxied

WEB = Path(__file__).resolve().parents[2] / "web"
Open = Callable[..., PageObject]


@pytest.fixture
def client(shared_gateway: GatewayProcess) -> Iterator[httpx.Client]:
    with shared_gateway.client() as client:
        yield client


def operations(client: httpx.Client) -> dict[str, str]:
    """Return method and path of each operation, by its id."""
    described = client.get("/openapi.json").json()["paths"]
    return {
        operation["operationId"]: f"{method.upper()} {path}"
        for path, methods in described.items()
        for method, operation in methods.items()
    }


def opened(app: PageObject, operation: str) -> Locator:
    """Open the operation whose id begins so."""
    found = app.page.locator(f'details.operation[id="{operation}"]')
    found.locator("> summary").click()
    return found


def test_reference_loads_nothing_from_other_hosts(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    for name in ("content-security-policy", "x-content-type-options", "referrer-policy"):
        assert page.headers[name] == client.get("/").headers[name], name
    assert "unsafe" not in page.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\son\w+=|\sstyle=", page.text)
    for path in [*(WEB / "static" / "reference").iterdir(), WEB / "templates" / "reference.html"]:
        assert "://" not in path.read_text("utf-8"), path
    for name in re.findall(r'(?:href|src)="([^"#]+)"', page.text):
        assert not name.startswith("/"), f"{name} does not work under a path"
        assert client.get(f"/{name}").status_code == 200, name


def test_default_reference_pages_are_off(client: httpx.Client) -> None:
    for path in ("/redoc", "/docs/oauth2-redirect"):
        assert client.get(path).status_code == 404, path


def test_the_chosen_colours(client: httpx.Client) -> None:
    assert 'data-theme="dark"' in client.get("/docs", headers={"Cookie": "theme=dark"}).text
    assert "data-theme" not in client.get("/docs", headers={"Cookie": 'theme="x"'}).text


def test_every_operation_is_shown(
    open_page: Open, shared_gateway: GatewayProcess, client: httpx.Client
) -> None:
    app = open_page(shared_gateway.base_url)
    hosts: set[str] = set()
    app.page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    app.open("/docs")
    assert hosts == {urlsplit(shared_gateway.base_url).netloc}
    for operation, head in operations(client).items():
        shown = app.page.locator(f"#{operation}")
        expect(shown.locator("> summary")).to_contain_text(f"{head} ")
        shown.locator("> summary").click()
        expect(shown.get_by_role("form", name=f"Try {head}", exact=True)).to_be_visible()
        assert "undefined" not in shown.inner_text() and "[object" not in shown.inner_text()
    assert app.page.locator("details.operation").count() == len(operations(client))
    submit = app.page.locator('details[id="submit_job"]')
    expect(submit.locator("tbody")).to_contain_text(["Idempotency-Key", "file", "image_url", "200"])
    expect(submit.get_by_role("row", name="strength").first).to_contain_text("low, medium or high")
    submit.get_by_role("link", name="JobState").first.click()
    expect(app.page.locator("#shape-JobState")).to_be_in_viewport()


def test_a_call_is_made_and_its_answer_shown(
    open_page: Open, shared_gateway: GatewayProcess
) -> None:
    app = open_page(shared_gateway.base_url, "/docs")
    listing = opened(app, "list_jobs")
    listing.get_by_label("page_size").fill("2")
    listing.get_by_label("status").select_option("done")
    listing.get_by_role("button", name="Send").click()
    expect(listing.locator(".came p")).to_contain_text(
        "GET /v1/jobs?status=done&page_size=2 answered 200"
    )
    assert "jobs" in json.loads(listing.locator(".came pre").inner_text())
    listing.get_by_label("page_size").fill("none")
    listing.get_by_role("button", name="Send").click()
    expect(listing.locator(".came pre")).to_contain_text("invalid-request")


def test_a_picture_is_sent_as_a_form_and_its_layer_saved(
    open_page: Open, shared_gateway: GatewayProcess, client: httpx.Client
) -> None:
    app = open_page(shared_gateway.base_url, "/docs")
    form = opened(app, "submit_job")
    picture = app.file("art.png")
    form.get_by_label("file (needed)").set_input_files(picture)
    form.get_by_label("Prefer").fill("wait=60")
    form.get_by_label("include_protection").select_option("false")
    form.get_by_role("button", name="Send").click()
    expect(form.locator(".came pre")).to_contain_text('"status": "done"', timeout=40_000)
    job = json.loads(form.locator(".came pre").inner_text())
    layer = opened(app, "get_layer")
    layer.get_by_role("textbox", name="job_id").fill(job["job_id"])
    layer.get_by_role("textbox", name="stage").fill("original")
    layer.get_by_role("button", name="Send").click()
    with app.page.expect_download() as saved:
        layer.get_by_role("link", name="Save the answer").click()
    assert Path(saved.value.path()).read_bytes() == picture.read_bytes()
    assert saved.value.suggested_filename == "answer.png"
    client.delete(f"/v1/jobs/{job['job_id']}")


def test_a_body_as_json_begins_with_the_example(
    open_page: Open, shared_gateway: GatewayProcess
) -> None:
    app = open_page(shared_gateway.base_url, "/docs")
    form = opened(app, "submit_job")
    form.get_by_label("Body", exact=True).select_option("application/json")
    assert "image_url" in form.get_by_role("textbox", name="JSON").input_value()
    form.get_by_role("textbox", name="JSON").fill('{"local_path": "none.png"}')
    form.get_by_role("button", name="Send").click()
    expect(form.locator(".came pre")).to_contain_text("unusable-local-path")


def test_a_stream_is_shown_as_it_comes_and_can_be_stopped(
    open_page: Open, shared_gateway: GatewayProcess, done_job: str
) -> None:
    app = open_page(shared_gateway.base_url, "/docs#follow_job")
    events = app.page.locator('details[id="follow_job"]')
    events.get_by_role("textbox", name="job_id").fill(done_job)
    events.get_by_role("button", name="Send").click()
    expect(events.locator(".came pre")).to_contain_text("event: ")
    expect(events.get_by_role("button", name="Stop")).to_be_hidden()


def test_reference_sends_the_entered_key(
    open_page: Open, start_gateway: Callable[..., GatewayProcess]
) -> None:
    gateway = start_gateway(worker_concurrency=0)
    engine = open_engine(GatewayConfig(base_dir=gateway.base_dir))
    token = KeyStore(engine).add("reader")
    engine.dispose()
    app = open_page(gateway.base_url, "/docs")
    cancel = opened(app, "cancel_job")
    cancel.get_by_role("textbox", name="job_id").fill("0" * 32)
    cancel.get_by_role("button", name="Send").click()
    expect(cancel.locator(".came p")).to_contain_text("answered 401")
    app.page.get_by_label("API key").fill(token)
    cancel.get_by_role("button", name="Send").click()
    expect(cancel.locator(".came p")).to_contain_text("answered 404")
    app.page.reload()
    expect(app.page.get_by_label("API key")).to_have_value("")


def test_a_sign_in_on_the_page_holds_here_too(
    open_page: Open, start_gateway: Callable[..., GatewayProcess]
) -> None:
    gateway = start_gateway(worker_concurrency=0)
    engine = open_engine(GatewayConfig(base_dir=gateway.base_dir))
    token = KeyStore(engine).add("painter")
    engine.dispose()
    app = open_page(gateway.base_url)
    app.page.locator("#key").fill(token)
    app.page.locator("#sign-in button").click()
    app.page.locator("#sign-out").wait_for()
    app.open("/docs")
    cancel = opened(app, "cancel_job")
    cancel.get_by_role("textbox", name="job_id").fill("0" * 32)
    cancel.get_by_role("button", name="Send").click()
    expect(cancel.locator(".came p")).to_contain_text("answered 404")


@pytest.mark.parametrize("root_path", ["/studio", ""])
def test_under_a_path_behind_a_proxy(
    open_page: Open, start_gateway: Callable[..., GatewayProcess], root_path: str
) -> None:
    gateway = start_gateway(root_path=root_path, worker_concurrency=0)
    with proxied(gateway.base_url, "/studio") as address:
        app = open_page(address, "/docs")
        limits = opened(app, "get_limits")
        limits.get_by_role("button", name="Send").click()
        expect(limits.locator(".came p")).to_contain_text("answered 200")
        app.page.context.close()
