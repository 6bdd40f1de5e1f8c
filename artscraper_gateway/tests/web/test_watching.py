"""The list of jobs: live, through reloads and restarts; order, cancel, retry, delete, undo."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from artscraper_gateway.tests.gateway_process import GatewayProcess, until
from artscraper_gateway.tests.stages_for_tests.stages_that_misbehave import BROKEN_WIDTH, GATE_WIDTH
from artscraper_gateway.tests.web.page_object import JOB_TIMEOUT_MS, PageObject, picture_bytes

BLOCKING = ("gate", "Hidden mark")
Open = Callable[..., PageObject]


@pytest.fixture
def release(shared_gateway: GatewayProcess) -> Iterator[Path]:
    """The file that releases jobs from the blocking stage; it does not exist at first."""
    path = shared_gateway.home / "gate-open"
    yield path
    path.touch()  # a test that failed must not block the others
    with shared_gateway.client() as client:
        until(
            lambda: not client.get("/v1/jobs?status=running").json()["jobs"],
            what="the blocked job goes on",
        )
    path.unlink()


def send_blocking(app: PageObject, name: str) -> None:
    """Protect a picture that waits in a stage, and return to the list."""
    app.send_and_return(app.file(name, picture_bytes(GATE_WIDTH, 120)), stages=BLOCKING)
    expect(app.row(name)).to_contain_text("Working: gate")


def test_reload_keeps_a_running_job(app: PageObject, release: Path) -> None:
    send_blocking(app, "held.png")
    app.page.reload()
    row = app.row("held.png")
    expect(row).to_contain_text("Working: gate")
    expect(row.get_by_role("progressbar", name="Progress of held.png")).to_be_visible()
    row.scroll_into_view_if_needed()
    expect(row.locator("img")).not_to_have_js_property("naturalWidth", 0)
    release.touch()
    app.wait_until_done("held.png")
    expect(app.page.locator("#announcer")).to_have_text("held.png is done.")


def test_result_replaces_progress(app: PageObject, release: Path) -> None:
    app.send(app.file("live.png", picture_bytes(GATE_WIDTH, 120)), stages=BLOCKING)
    expect(app.page.get_by_role("heading", level=1)).to_be_focused()
    expect(app.page.locator(".job-head")).to_contain_text("Working: gate")
    expect(app.page.get_by_role("progressbar")).to_be_visible()
    release.touch()
    app.wait_for_result()
    expect(app.page.locator(".job-head")).to_contain_text("Done")
    expect(app.page.locator(".download")).to_be_focused()


def test_names_are_shown_in_another_browser(
    app: PageObject, open_page: Open, shared_gateway: GatewayProcess
) -> None:
    app.send_and_return(app.file("shared name.png"))
    other = open_page(shared_gateway.base_url)
    expect(other.row("shared name.png")).to_be_visible()


def test_page_survives_a_server_restart(
    open_page: Open, start_gateway: Callable[..., GatewayProcess], tmp_path: Path
) -> None:
    gateway = start_gateway(with_stages_for_tests=True)
    app = open_page(gateway.base_url)
    send_blocking(app, "restart.png")
    gateway.kill()
    expect(app.page.locator("#connection")).to_contain_text("does not respond")
    (tmp_path / "gate-open").touch()
    gateway.options["port"] = gateway.base_url.rsplit(":", 1)[1]
    gateway.start()
    app.wait_until_done("restart.png")
    expect(app.page.locator("#connection")).to_be_hidden()


def test_page_shows_queue_positions_and_progress(app: PageObject, release: Path) -> None:
    send_blocking(app, "at work.png")
    waiting = [app.file(name) for name in ("next.png", "third.png")]
    app.send(waiting[0])
    app.show_list("next.png")
    app.send(waiting[1])
    app.show_list("third.png")
    expect(app.row("next.png")).to_contain_text("Waiting, next in line")
    expect(app.row("third.png")).to_contain_text("Waiting, number 2 in line")
    names = app.page.locator("#jobs-list .name")
    expect(names.nth(0)).to_have_text("at work.png")
    expect(names.nth(1)).to_have_text("next.png")
    expect(names.nth(2)).to_have_text("third.png")
    expect(app.page.locator("#overall")).to_contain_text("0 of 3 done")
    app.row("next.png").get_by_role("button", name="Cancel").click()
    expect(app.row("third.png")).to_contain_text("Waiting, next in line")
    release.touch()
    app.wait_until_done("third.png")
    expect(app.page.locator("#overall")).to_be_hidden()


def test_queue_positions_advance_without_reports(app: PageObject) -> None:
    """The gateway reports the places of the first few; the page counts the rest itself."""
    places = app.page.evaluate(
        """async () => {
          const { placeOf, recordPlace } = await import("./static/queue_places.js");
          const { TimeLeft } = await import("./static/time_left.js");
          const job = (job_id, status) => ({ job_id, status, priority: 0, submitted_at: job_id });
          const jobs = ["1", "2", "3"].map((id) => job(id, "queued"));
          recordPlace(jobs[2], 40, jobs);  // 2 of 39 ahead are in this list
          const before = placeOf(jobs[2], jobs);
          jobs[0].status = "running";
          let now = 0;
          const timeLeft = new TimeLeft(() => now);
          const early = timeLeft.update(0, 4);
          now = 10;
          const places = [before, placeOf(jobs[2], jobs), placeOf(jobs[1], jobs)];
          return [...places, early, timeLeft.update(1, 4)];
        }"""
    )
    assert places == [40, 39, None, None, 30]


def test_job_is_cancelled_and_retried(app: PageObject, release: Path) -> None:
    send_blocking(app, "stop.png")
    app.row("stop.png").get_by_role("button", name="Cancel stop.png").click()
    expect(app.row("stop.png").locator(".mark")).to_have_text("Cancelled")
    release.touch()
    again = app.row("stop.png").get_by_role("button", name="Try again: stop.png")
    expect(again).to_be_focused()
    again.click()
    expect(app.row("stop.png")).to_have_count(2)
    done = app.row("stop.png").locator(".mark", has_text="Done")
    expect(done).to_have_count(1, timeout=JOB_TIMEOUT_MS)


def test_page_explains_a_failed_job(app: PageObject) -> None:
    app.send(app.file("bad.png", picture_bytes(BROKEN_WIDTH, 90)), stages=("broken",))
    body = app.page.locator(".job-body")
    expect(body).to_contain_text("Your original is unchanged")
    expect(app.page.get_by_role("button", name="Try again")).to_be_visible()
    app.show_list("bad.png")
    expect(app.row("bad.png").locator(".mark")).to_have_text("Failed")


def test_deletion_can_be_undone_for_ten_seconds(app: PageObject) -> None:
    app.page.clock.install()
    app.send_and_return(app.file("gone.png"))
    app.wait_until_done("gone.png")
    address = app.row("gone.png").get_by_role("link").get_attribute("href") or ""
    url = f"{app.base_url}/v1/jobs/{address.rsplit('/', 1)[1]}"
    delete = app.row("gone.png").get_by_role("button", name="Delete gone.png")
    delete.click()
    expect(app.row("gone.png")).to_have_count(0)
    app.page.get_by_role("button", name="Undo").click()
    expect(app.row("gone.png")).to_have_count(1)
    delete.click()
    app.page.keyboard.press("Control+z")
    expect(app.row("gone.png")).to_have_count(1)
    delete.click()
    app.page.clock.fast_forward(9_000)
    assert app.page.request.get(url).status == 200
    app.page.clock.fast_forward(2_000)
    expect(app.page.locator("#undo")).to_be_hidden()
    until(lambda: app.page.request.get(url).status == 404, what="the job is deleted")
    app.page.clock.resume()
    app.open(f"/{address}")
    app.page.reload()
    expect(app.page.locator("main")).to_contain_text("it was deleted, its time was up")


def test_pending_deletion_is_sent_on_leaving(app: PageObject) -> None:
    app.send_and_return(app.file("left.png"))
    app.wait_until_done("left.png")
    address = app.row("left.png").get_by_role("link").get_attribute("href") or ""
    app.row("left.png").get_by_role("button", name="Delete left.png").click()
    app.page.goto("about:blank")
    url = f"{app.base_url}/v1/jobs/{address.rsplit('/', 1)[1]}"
    until(lambda: app.page.request.get(url).status == 404, what="the job is deleted")


def test_selected_pictures_are_deleted_together(app: PageObject) -> None:
    files = [app.file(f"many-{index}.png", picture_bytes(seed=index)) for index in range(3)]
    app.send(*files)
    for file in files:
        app.wait_until_done(file.name)
    for file in files[:2]:
        app.row(file.name).get_by_role("checkbox").check()
    expect(app.page.locator("#selected-count")).to_have_text("2 selected")
    app.page.locator("#delete-selected").click()
    expect(app.page.locator("#undo-text")).to_have_text("2 pictures were deleted.")
    expect(app.row("many-")).to_have_count(1)
    app.page.get_by_role("button", name="Undo").click()
    expect(app.row("many-")).to_have_count(3)


def test_jobs_deleted_elsewhere_leave_the_list(app: PageObject, release: Path) -> None:
    send_blocking(app, "others.png")
    address = app.row("others.png").get_by_role("link").get_attribute("href") or ""
    app.page.request.delete(f"{app.base_url}/v1/jobs/{address.rsplit('/', 1)[1]}")
    expect(app.row("others.png")).to_have_count(0)


def test_page_handles_two_hundred_jobs(
    open_page: Open, start_gateway: Callable[..., GatewayProcess]
) -> None:
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
            app.page.get_by_role("button", name="Show older pictures").click()
    expect(app.page.get_by_role("button", name="Show older pictures")).to_be_hidden()
    expect(rows.first).to_contain_text("next in line")
    expect(rows.nth(50)).to_contain_text(re.compile(r"Waiting, number 5\d in line"))
    expect(rows.nth(100).get_by_role("link")).to_be_attached()


def test_thumbnails_do_not_block_requests(
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
    expect(app.page.get_by_role("heading", name="Can it be seen?")).to_be_visible()
    assert len(held) == 2
    app.page.unroute_all(behavior="ignoreErrors")  # releases those that are held
    app.open("/#/")
    app.page.locator("#jobs-list li").first.scroll_into_view_if_needed()
    expect(app.page.locator("#jobs-list img").first).not_to_have_js_property("naturalWidth", 0)
