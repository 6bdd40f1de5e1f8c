"""From the picture to the job: every way in, and every refusal in words."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from artscraper_gateway.tests.gateway_process import GatewayProcess
from artscraper_gateway.tests.web.page_object import PageObject, picture_bytes

HOSTILE_NAME = "a\u202egnp.exe\n #1?%41.png"  # shown reversed from the mark on, if it were kept


def test_page_covers_upload_to_download(app: PageObject) -> None:
    app.send(app.file("harbour.png"))
    app.wait_for_result()
    download = app.page.locator(".download")
    expect(download).to_be_focused()
    expect(download).to_be_in_viewport()
    with app.page.expect_download() as downloading:
        download.click()
    saved = downloading.value
    assert saved.suggested_filename == "harbour-protected.png"
    with Image.open(saved.path()) as picture:
        assert picture.size == (320, 260)
    assert saved.path().read_bytes() != app.folder.joinpath("harbour.png").read_bytes()
    app.open_details()
    with app.page.expect_download() as downloading:
        app.page.get_by_role("link", name="ZIP").click()
    assert downloading.value.path().read_bytes()[:2] == b"PK"


def test_several_pictures_give_one_archive(app: PageObject) -> None:
    files = [
        app.file(name, picture_bytes(seed=seed)) for seed, name in enumerate(("a.png", "b.png"))
    ]
    app.add(*files)
    expect(app.page.locator("#send")).to_have_text("Protect 2 pictures")
    app.choose_stages("Hidden mark")
    app.page.locator("#send").click()
    for file in files:
        app.wait_until_done(file.name)
    expect(app.page.locator("#uploads")).to_be_hidden()
    expect(app.page.locator("#overall")).to_be_hidden()
    for file in files:
        app.row(file.name).get_by_role("checkbox").check()
    with app.page.expect_download() as downloading:
        app.page.get_by_role("button", name="Download 2 pictures (ZIP)").click()
    assert downloading.value.suggested_filename == "protected-pictures.zip"
    with zipfile.ZipFile(downloading.value.path()) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["a-protected.png", "b-protected.png"]


def test_equal_names_get_distinct_archive_entries(app: PageObject) -> None:
    names = app.page.evaluate(
        """async () => {
          const { zipFile } = await import("./static/zip.js");
          const { cleanName } = await import("./static/names.js");
          const files = ["ä.png", "b.png"].map((name) => ({ name, content: new Blob([name]) }));
          const bytes = new Uint8Array(await (await zipFile(files)).arrayBuffer());
          return [Array.from(bytes), cleanName("a\\u202eb\\n.png")];
        }"""
    )
    with zipfile.ZipFile(io.BytesIO(bytes(names[0]))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["ä.png", "b.png"]
        assert archive.read("ä.png").decode() == "ä.png"
    assert names[1] == "ab.png"


def test_picture_is_pasted_from_clipboard(app: PageObject) -> None:
    app.transfer("paste", "body", "image.png", picture_bytes())
    expect(app.page.locator("#uploads .name")).to_have_text("Pasted picture.png")
    expect(app.page.locator("#send")).to_be_focused()


@pytest.mark.parametrize("target", ["#jobs-heading", "footer", "#drop", ".drop-anywhere"])
def test_dropped_picture_is_added(app: PageObject, target: str) -> None:
    app.transfer("drop", target, "dropped.png", picture_bytes())
    expect(app.page.locator("#uploads .name")).to_have_text("dropped.png")
    expect(app.page.locator("#bar")).to_be_in_viewport()
    expect(app.page.locator("#bar")).to_contain_text("dropped.png")
    expect(app.page.locator("#drop-overlay")).to_be_hidden()
    app.page.get_by_role("button", name="Remove dropped.png").click()
    expect(app.page.locator("#uploads")).to_be_hidden()


def test_picture_dropped_on_a_strength_is_protected_at_once(app: PageObject) -> None:
    app.choose_stages("Grey veil")
    app.transfer("drop", "[data-drop=high]", "once.png", picture_bytes(64, 64))
    app.wait_for_result()
    metrics = app.result()[1]["metrics"]
    assert isinstance(metrics, dict) and metrics["strength"] == "high"


@pytest.mark.parametrize(("share", "strength"), [(0.2, "low"), (0.5, "medium"), (0.8, "high")])
def test_real_drag_protects_at_its_strength(app: PageObject, share: float, strength: str) -> None:
    app.choose_stages("Grey veil")
    app.drag(app.file("real.png", picture_bytes(64, 64)), x=share, y=0.5)
    app.wait_for_result()
    metrics = app.result()[1]["metrics"]
    assert isinstance(metrics, dict) and metrics["strength"] == strength


def test_real_drag_to_look_first_sends_nothing(app: PageObject) -> None:
    app.drag(app.file("real.png"), x=0.5, y=0.95)
    expect(app.page.locator("#uploads .name")).to_have_text("real.png")
    expect(app.page.locator("#send")).to_be_focused()
    app.open("/#/watermark")
    app.drag(app.file("mark.png"), x=0.5, y=0.5)
    expect(app.page.locator("#watermark-answer")).to_contain_text("No mark was found")


def test_folder_is_searched_for_pictures(app: PageObject) -> None:
    folder = app.folder / "art"
    (folder / "deeper").mkdir(parents=True)
    (folder / "deeper" / "two.png").write_bytes(picture_bytes())
    (folder / "one.png").write_bytes(picture_bytes())
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    app.page.locator("#folder").set_input_files(folder)
    expect(app.page.locator("#uploads .name")).to_have_text(["one.png", "two.png"])


def test_folder_without_pictures_is_reported(app: PageObject) -> None:
    folder = app.folder / "empty"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    app.page.locator("#folder").set_input_files(folder)
    expect(app.page.locator("#drop-error")).to_have_text("There are no pictures in this folder.")
    app.add(app.file("one.png"))
    expect(app.page.locator("#drop-error")).to_be_empty()


def test_dropped_folder_is_read_by_entries(app: PageObject) -> None:
    names = app.page.evaluate(
        """async () => {
          const { onDropped } = await import("./static/file_input.js");
          const file = (name) => ({ isFile: true, file: (done) => done(new File(["x"], name)) });
          const folder = (...entries) => ({
            isDirectory: true,
            createReader: () => {
              const left = [...entries];
              return { readEntries: (done) => done(left.splice(0, 1)) };
            },
          });
          const root = folder(file("b.jpg"), file("x.txt"), folder(file("a.tif")), file(".c.png"));
          const item = { kind: "file", webkitGetAsEntry: () => root, getAsFile: () => null };
          const overlay = document.createElement("div");
          return new Promise((resolve) => {
            onDropped(overlay, (files) => resolve(files.map((each) => each.name)));
            const event = new Event("drop", { bubbles: true, cancelable: true });
            event.dataTransfer = { types: ["Files"], items: [item] };
            document.body.dispatchEvent(event);
          });
        }"""
    )
    assert names == ["a.tif", "b.jpg"]


def test_sample_picture_is_protected(app: PageObject) -> None:
    app.page.get_by_role("button", name="sample picture").click()
    expect(app.page.locator("#uploads .name")).to_have_text("sample.webp")
    expect(app.page.locator("#preview")).to_be_visible()


def test_page_checks_limits_before_sending(app: PageObject) -> None:
    app.page.locator("#advanced > summary").click()
    facts = app.page.locator("#facts")
    expect(facts).to_contain_text("600 kB and 1 megapixels")
    expect(facts).to_contain_text("until you delete them")
    expect(app.page.locator("#strength-medium")).to_be_checked()
    app.add(app.file("big.png", b"x" * 700_000), app.file("empty.png", b""))
    expect(app.page.locator("#uploads")).to_contain_text("this gateway accepts up to 600 kB")
    expect(app.page.locator("#uploads")).to_contain_text("This file is empty")
    expect(app.page.locator("#send")).to_be_hidden()


def test_page_sends_its_options(app: PageObject) -> None:
    app.choose_stages("Grey veil", "Do-not-train statement")
    app.add(app.file("c.png", picture_bytes(64, 64)))
    app.page.get_by_role("radio", name="Gentle").check()
    app.page.locator("#send").click()
    app.wait_for_result()
    app.open_details()
    expect(app.page.locator("#details")).to_contain_text("not for AI training")
    layers = app.result()
    assert [layer["stage"] for layer in layers] == ["original", "photoguard", "c2pa"]
    metrics = layers[1]["metrics"]
    assert isinstance(metrics, dict) and metrics["strength"] == "low"


def test_damaged_picture_has_empty_thumbnail(app: PageObject) -> None:
    content = picture_bytes()
    app.send(app.file("half.png", content[: len(content) // 2]))
    app.page.locator(".failure").wait_for()
    app.open("/")
    row = app.row("half.png").first
    expect(row.locator("span.thumb")).to_be_visible()
    expect(row.locator("img")).to_have_count(0)


def test_refused_picture_is_not_counted(app: PageObject) -> None:
    app.send(app.file("torn.png", picture_bytes()[:20]), app.file("good.png"))
    expect(app.page.locator("#uploads li")).to_have_count(1)
    expect(app.page.locator("#send")).to_be_hidden()
    app.add(app.file("other.png"))
    expect(app.page.locator("#send")).to_have_text("Protect")
    expect(app.page.locator("#bar-name")).to_have_text("other.png")


def test_page_explains_forbidden_address(app: PageObject) -> None:
    app.page.get_by_text("From a web address").click()
    field = app.page.get_by_label("Web address of a picture")
    field.fill("ftp://example.org/x.png")
    field.press("Enter")
    expect(app.page.locator("#url-error")).to_contain_text("begins with http")
    field.fill("http://127.0.0.1/x.png")
    field.press("Enter")
    app.page.locator("#send").click()
    alert = app.page.locator("#uploads .problem")
    expect(alert).to_contain_text("not a public one")
    expect(alert).to_contain_text("choose the file instead")


def test_page_explains_full_queue(
    open_page: Callable[..., PageObject], start_gateway: Callable[..., GatewayProcess]
) -> None:
    full = start_gateway(worker_concurrency=0, max_queued=1)
    app = open_page(full.base_url)
    app.send_and_return(app.file("first.png"))
    expect(app.row("first.png")).to_contain_text("next in line")
    app.send(app.file("second.png"))
    text = app.page.locator("#uploads .problem").inner_text()
    assert "queue of this gateway is full" in text and "Try again in 5 seconds" in text
    expect(app.page.locator("#send")).to_have_text("Protect")
    with full.client() as client:
        job_id = client.get("/v1/jobs").json()["jobs"][0]["job_id"]
        client.delete(f"/v1/jobs/{job_id}")
    expect(app.row("first.png")).to_have_count(0)
    app.page.locator("#send").click()
    app.show_list("second.png")
    assert Path(app.folder / "second.png").is_file()


SHOWN_NAME = "agnp.exe #1?%41.png"


def test_hostile_name_is_shown_and_saved_escaped(app: PageObject) -> None:
    page = app.page
    named = {"name": HOSTILE_NAME, "mimeType": "image/png", "buffer": picture_bytes()}
    app.choose_stages("Hidden mark")
    page.locator("#files").set_input_files([named])  # type: ignore[list-item]
    for place in ("#uploads .name", "#bar-name"):
        expect(page.locator(place)).to_have_text(SHOWN_NAME)
    page.locator("#send").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(SHOWN_NAME)
    app.wait_for_result()
    assert page.title() == f"{SHOWN_NAME} – Artscraper Gateway"
    with page.expect_download() as downloading:
        page.locator(".download").click()
    assert downloading.value.suggested_filename == "agnp.exe -1--41-protected.png"
    state = page.request.get(f"{app.base_url}/v1/jobs/{app.job_id()}").json()
    assert state["name"] == "agnp.exe _1__41.png"
    archive = page.request.head(f"{app.base_url}{state['links']['archive']}")
    assert "agnp.exe _1__41" in archive.headers["content-disposition"]
    app.show_list(SHOWN_NAME)
    expect(app.row(SHOWN_NAME).locator(".name")).to_have_attribute("title", SHOWN_NAME)
    with page.expect_download() as downloading:
        app.row(SHOWN_NAME).get_by_role("button", name=f"Download {SHOWN_NAME}").click()
    assert downloading.value.suggested_filename == "agnp.exe -1--41-protected.png"
    app.row(SHOWN_NAME).get_by_role("button", name=f"Delete {SHOWN_NAME}").click()
    expect(page.locator("#undo-text")).to_have_text(f"{SHOWN_NAME} was deleted.")
    page.locator("#undo-button").click()


def test_page_shows_upload_progress(app: PageObject) -> None:
    line = app.page.context.new_cdp_session(app.page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000}
    line.send("Network.emulateNetworkConditions", slow)
    buffer = io.BytesIO()
    Image.effect_noise((700, 700), 90).save(buffer, "PNG")
    app.page.evaluate(
        """() => {
          window.shares = [];
          new MutationObserver(() => {
            const bar = document.querySelector("#uploads progress");
            if (bar) window.shares.push(bar.value);
          }).observe(document.querySelector("#uploads"), { subtree: true, childList: true });
        }"""
    )
    app.send(app.file("slow.png", buffer.getvalue()))
    app.wait_for_result()
    shares = app.page.evaluate("window.shares")
    assert shares == sorted(shares)
    assert any(0 < share < 1 for share in shares), shares
