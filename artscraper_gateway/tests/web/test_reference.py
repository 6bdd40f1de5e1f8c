"""The interactive reference at /docs: nothing from elsewhere, every operation, calls that work."""

from __future__ import annotations

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
    """Open the operation, and its form to try it."""
    found = app.page.locator(f'.opblock[id$="-{operation}"]')
    found.locator(".opblock-summary-control").click()
    found.get_by_role("button", name="Try it out").click()
    return found


def send(operation: Locator) -> None:
    operation.get_by_role("button", name="Execute").click()


def answer_of(operation: Locator) -> Locator:
    return operation.locator(".live-responses-table .response")


def parameter(operation: Locator, name: str) -> Locator:
    return operation.locator(f'tr[data-param-name="{name}"]').locator("input, select").first


def test_reference_loads_nothing_from_other_hosts(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    for name in ("x-content-type-options", "referrer-policy"):
        assert page.headers[name] == client.get("/").headers[name], name
    policy = client.get("/").headers["content-security-policy"]
    assert page.headers["content-security-policy"] == f"{policy}; img-src 'self' data:"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\son\w+=|\sstyle=", page.text)
    for path in (WEB / "static/docs/reference.js", WEB / "templates/reference.html"):
        assert "://" not in path.read_text("utf-8"), path
    for name in re.findall(r'(?:href|src)="([^"#]+)"', page.text):
        assert not name.startswith("/"), f"{name} does not work under a path"
        assert client.get(f"/{name}").status_code == 200, name


def test_default_reference_pages_are_off(client: httpx.Client) -> None:
    for path in ("/redoc", "/docs/oauth2-redirect"):
        assert client.get(path).status_code == 404, path


def test_reference_follows_the_theme(client: httpx.Client) -> None:
    assert 'data-theme="dark"' in client.get("/docs", headers={"Cookie": "theme=dark"}).text
    assert "data-theme" not in client.get("/docs", headers={"Cookie": 'theme="x"'}).text


def test_reference_shows_every_operation_within_the_policy(
    open_page: Open, shared_gateway: GatewayProcess, client: httpx.Client
) -> None:
    app = open_page(shared_gateway.base_url)
    hosts: set[str] = set()
    problems: list[str] = []
    app.page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    app.page.on("console", lambda line: problems.append(line.text) if line.type == "error" else 0)
    app.page.on("pageerror", lambda error: problems.append(str(error)))
    app.open("/docs")
    for operation, head in operations(client).items():
        shown = app.page.locator(f'.opblock[id$="-{operation}"]')
        expect(shown).to_be_visible()
        method, _, path = head.partition(" ")
        assert shown.inner_text().replace("\u200b", "").startswith(f"{method}\n{path}\n")
    assert app.page.locator(".opblock").count() == len(operations(client))
    submit = opened(app, "submit_job")
    expect(submit).to_contain_text("Idempotency-Key")
    expect(submit).to_contain_text("watermark_text")
    assert hosts == {urlsplit(shared_gateway.base_url).netloc}
    assert not problems


def test_reference_sends_a_request_and_shows_the_response(
    open_page: Open, shared_gateway: GatewayProcess
) -> None:
    app = open_page(shared_gateway.base_url, "/docs")
    listing = opened(app, "list_jobs")
    parameter(listing, "page_size").fill("2")
    send(listing)
    expect(answer_of(listing)).to_contain_text("200")
    expect(answer_of(listing)).to_contain_text("next_page_token")
    expect(listing.locator(".request-url")).to_contain_text("/v1/jobs?page_size=2")


def test_reference_sends_a_picture_as_form(
    open_page: Open, shared_gateway: GatewayProcess, client: httpx.Client
) -> None:
    app = open_page(shared_gateway.base_url, "/docs")
    form = opened(app, "submit_job")
    form.locator('input[type="file"]').first.set_input_files(app.file("art.png"))
    send(form)
    expect(answer_of(form)).to_contain_text("job_id", timeout=60_000)
    shown = answer_of(form).locator(".microlight, pre").first.inner_text()
    found = re.search(r'"job_id": "([0-9a-f]{32})"', shown)
    assert found, shown
    client.delete(f"/v1/jobs/{found[1]}")


def test_reference_sends_the_entered_key(
    open_page: Open, start_gateway: Callable[..., GatewayProcess]
) -> None:
    gateway = start_gateway(worker_concurrency=0)
    engine = open_engine(GatewayConfig(base_dir=gateway.base_dir))
    token = KeyStore(engine).add("reader")
    engine.dispose()
    app = open_page(gateway.base_url, "/docs")
    cancel = opened(app, "cancel_job")
    parameter(cancel, "job_id").fill("0" * 32)
    send(cancel)
    expect(answer_of(cancel)).to_contain_text("401")
    app.page.locator(".auth-wrapper .authorize").first.click()
    dialog = app.page.locator(".modal-ux")
    dialog.locator("input").first.fill(token)
    dialog.locator("button.authorize").first.click()
    dialog.get_by_role("button", name="Close").first.click()
    send(cancel)
    expect(answer_of(cancel)).to_contain_text("404")
    assert token not in str(app.page.evaluate("JSON.stringify(localStorage)"))


def test_reference_shares_the_sign_in(
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
    parameter(cancel, "job_id").fill("0" * 32)
    send(cancel)
    expect(answer_of(cancel)).to_contain_text("404")


@pytest.mark.parametrize("root_path", ["/studio", ""])
def test_under_a_path_behind_a_proxy(
    open_page: Open, start_gateway: Callable[..., GatewayProcess], root_path: str
) -> None:
    gateway = start_gateway(root_path=root_path, worker_concurrency=0)
    with proxied(gateway.base_url, "/studio") as address:
        app = open_page(address, "/docs")
        limits = opened(app, "get_limits")
        send(limits)
        expect(answer_of(limits)).to_contain_text("max_upload_bytes")
        app.page.context.close()
