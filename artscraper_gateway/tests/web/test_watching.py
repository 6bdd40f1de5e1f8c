"""The list of jobs: live, through reloads and restarts; cancel, retry, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from artscraper_gateway.tests.gateway_process import GatewayProcess, until
from artscraper_gateway.tests.stages_for_tests.stages_that_misbehave import BROKEN_WIDTH, GATE_WIDTH
from artscraper_gateway.tests.web.page_object import PageObject, picture_bytes

GATED = ("gate", "Hidden mark")
Open = Callable[..., PageObject]


@pytest.fixture
def gate(shared_gateway: GatewayProcess) -> Iterator[Path]:
    """The file that lets jobs out of the stage `gate`; there is none at first."""
    path = shared_gateway.home / "gate-open"
    yield path
    path.touch()  # a test that failed must not hold up the others
    with shared_gateway.client() as client:
        until(
            lambda: not client.get("/v1/jobs?status=running").json()["jobs"],
            what="the gate's job goes on",
        )
    path.unlink()


def send_gated(app: PageObject, name: str) -> None:
    app.send(app.file(name, picture_bytes(GATE_WIDTH, 120)), stages=GATED)
    expect(app.row(name)).to_contain_text("In work: gate")


def test_a_reload_in_mid_job(app: PageObject, gate: Path) -> None:
    send_gated(app, "held.png")
    app.page.reload()
    row = app.row("held.png")
    expect(row).to_contain_text("In work: gate")
    expect(row.get_by_role("progressbar", name="Progress of held.png")).to_be_visible()
    row.scroll_into_view_if_needed()
    expect(row.locator("img")).not_to_have_js_property("naturalWidth", 0)
    gate.touch()
    app.is_done("held.png")
    expect(app.page.locator("#announcer")).to_have_text("held.png is done.")


def test_the_job_page_is_live(app: PageObject, gate: Path) -> None:
    send_gated(app, "live.png")
    app.row("live.png").get_by_role("link").click()
    expect(app.page.get_by_role("heading", level=1)).to_be_focused()
    expect(app.page.locator(".job-head")).to_contain_text("In work: gate")
    gate.touch()
    app.sees_pictures()
    expect(app.page.locator(".job-head")).to_contain_text("Done")
    expect(app.page.get_by_role("heading", name="What was achieved")).to_be_visible()


def test_a_restart_of_the_server_in_mid_job(
    open_page: Open, start_gateway: Callable[..., GatewayProcess], tmp_path: Path
) -> None:
    gateway = start_gateway(with_stages_for_tests=True)
    app = open_page(gateway.base_url)
    send_gated(app, "restart.png")
    gateway.kill()
    expect(app.page.locator("#connection")).to_contain_text("does not answer")
    (tmp_path / "gate-open").touch()
    gateway.options["port"] = gateway.base_url.rsplit(":", 1)[1]
    gateway.start()
    app.is_done("restart.png")
    expect(app.page.locator("#connection")).to_be_hidden()


def test_places_in_the_queue(app: PageObject, gate: Path) -> None:
    send_gated(app, "at work.png")
    for name in ("next.png", "third.png"):
        app.send(app.file(name))
    expect(app.row("next.png")).to_contain_text("Waiting; next in line")
    expect(app.row("third.png")).to_contain_text("Waiting; number 2 in line")
    app.row("next.png").get_by_role("button", name="Cancel").click()
    expect(app.row("third.png")).to_contain_text("Waiting; next in line")
    gate.touch()
    app.is_done("third.png")


def test_cancel_and_try_again(app: PageObject, gate: Path) -> None:
    send_gated(app, "stop.png")
    app.row("stop.png").get_by_role("button", name="Cancel stop.png").click()
    expect(app.row("stop.png").locator(".mark")).to_have_text("Cancelled")
    gate.touch()
    again = app.row("stop.png").get_by_role("button", name="Try stop.png again")
    expect(again).to_be_focused()
    again.click()
    expect(app.row("stop.png")).to_have_count(2)
    expect(app.row("stop.png").first.locator(".mark")).to_have_text("Done")


def test_a_job_that_fails(app: PageObject) -> None:
    app.send(app.file("bad.png", picture_bytes(BROKEN_WIDTH, 90)), stages=("broken",))
    row = app.row("bad.png")
    expect(row.locator(".mark")).to_have_text("Failed")
    row.get_by_role("link").click()
    body = app.page.locator(".job-page")
    expect(body).to_contain_text("Your original is unchanged")
    expect(body).to_contain_text("Try again")


def test_deleted_jobs_are_gone(app: PageObject) -> None:
    app.send(app.file("gone.png"))
    app.is_done("gone.png")
    address = app.row("gone.png").get_by_role("link").get_attribute("href") or ""
    job_id = address.rsplit("/", 1)[1]
    delete = app.row("gone.png").get_by_role("button", name="Delete gone.png")
    delete.click()
    app.page.get_by_role("button", name="Keep it").click()
    expect(delete).to_be_focused()
    delete.click()
    app.page.get_by_role("button", name="Delete it").click()
    expect(app.row("gone.png")).to_have_count(0)
    assert app.page.request.get(f"{app.base_url}/v1/jobs/{job_id}").status == 404
    app.open(f"/{address}")
    app.page.reload()
    expect(app.page.locator("main")).to_contain_text("it was deleted, its time was up")


def test_what_others_delete_is_taken_out(app: PageObject, gate: Path) -> None:
    send_gated(app, "others.png")
    address = app.row("others.png").get_by_role("link").get_attribute("href") or ""
    app.page.request.delete(f"{app.base_url}/v1/jobs/{address.rsplit('/', 1)[1]}")
    expect(app.row("others.png")).to_have_count(0)


def test_two_hundred_jobs(open_page: Open, start_gateway: Callable[..., GatewayProcess]) -> None:
    idle = start_gateway(worker_concurrency=0)
    with idle.client() as client:
        files = [("file", (f"{index}.png", picture_bytes(16, 16))) for index in range(100)]
        for _ in range(2):
            assert client.post("/v1/batches", files=files).status_code == 200
    app = open_page(idle.base_url)
    rows = app.page.locator("#jobs-list li")
    for count in (50, 100, 150, 200):
        expect(rows).to_have_count(count)
        if count < 200:
            app.page.get_by_role("button", name="Show older ones").click()
    expect(app.page.get_by_role("button", name="Show older ones")).to_be_hidden()
    expect(rows.last).to_contain_text("next in line")
    expect(rows.nth(100).get_by_role("link")).to_be_attached()


def test_thumbnails_leave_connections_for_calls(
    app: PageObject, shared_gateway: GatewayProcess, done_job: str
) -> None:
    data = {"include_protection": "false", "include_hash_analysis": "false"}
    files = [("file", picture_bytes(32, 32, seed=seed)) for seed in range(8)]
    with shared_gateway.client() as client:
        batch = client.post("/v1/batches", files=files, data=data).json()["batch_id"]
        until(
            lambda: client.get(f"/v1/batches/{batch}").json()["status"] == "done", what="all done"
        )
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    app.page.route("**/layers/original?size=*", hold)
    app.page.reload()
    app.page.locator("#jobs-list li").last.scroll_into_view_if_needed()
    expect(app.page.locator("#jobs-list img[src]")).to_have_count(2)
    app.open(f"/#/jobs/{done_job}")
    expect(app.page.get_by_role("heading", name="What was achieved")).to_be_visible()
    assert len(held) == 2
    app.page.unroute_all(behavior="ignoreErrors")  # lets go of those that are held
    app.open("/#/")
    app.page.locator("#jobs-list li").first.scroll_into_view_if_needed()
    expect(app.page.locator("#jobs-list img").first).not_to_have_js_property("naturalWidth", 0)
