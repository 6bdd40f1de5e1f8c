"""From the picture to the job: every way in, and every refusal in words."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect

from artscraper_gateway.tests.gateway_process import GatewayProcess
from artscraper_gateway.tests.web.screens import Studio, picture_bytes


def test_from_upload_to_download(studio: Studio) -> None:
    studio.send(studio.file("harbour.png"))
    studio.is_done("harbour.png")
    studio.open_job("harbour.png")
    with studio.page.expect_download() as downloading:
        studio.page.get_by_role("link", name="Download the protected picture").click()
    download = downloading.value
    assert download.suggested_filename == "harbour-invisible-watermark.png"
    with Image.open(download.path()) as saved:
        assert saved.size == (320, 260)
    assert download.path().read_bytes() != studio.folder.joinpath("harbour.png").read_bytes()
    with studio.page.expect_download() as downloading:
        studio.page.get_by_role("link", name="ZIP").click()
    assert downloading.value.suggested_filename.endswith(".zip")
    assert downloading.value.path().read_bytes()[:2] == b"PK"


def test_two_at_once(studio: Studio) -> None:
    files = [
        studio.file(name, picture_bytes(seed=seed)) for seed, name in enumerate(("a.png", "b.png"))
    ]
    studio.add(*files)
    expect(studio.page.locator("#send")).to_have_text("Protect 2 pictures")
    studio.choose_stages("Hidden mark")
    studio.page.locator("#send").click()
    for file in files:
        studio.is_done(file.name)
    expect(studio.page.locator("#tray")).to_be_hidden()


def test_a_picture_from_the_clipboard(studio: Studio) -> None:
    studio.give("paste", "body", "image.png", picture_bytes())
    expect(studio.page.locator("#tray .name")).to_have_text("Pasted picture.png")
    studio.choose_stages("Hidden mark")
    studio.page.locator("#send").click()
    studio.is_done("Pasted picture.png")


def test_a_picture_that_is_dropped(studio: Studio) -> None:
    studio.give("drop", "#drop", "dropped.png", picture_bytes())
    expect(studio.page.locator("#tray .name")).to_have_text("dropped.png")
    studio.page.get_by_role("button", name="Remove dropped.png").click()
    expect(studio.page.locator("#tray")).to_be_hidden()


def test_the_limits_are_said_before_anything_is_sent(studio: Studio) -> None:
    facts = studio.page.locator("#facts")
    expect(facts).to_contain_text("586 KiB and 1 megapixels")
    expect(facts).to_contain_text("until you delete them")
    expect(studio.page.get_by_role("radio", name="Balanced")).to_be_checked()
    studio.add(studio.file("big.png", b"x" * 700_000))
    expect(studio.page.locator("#tray")).to_contain_text("this gateway takes 586 KiB at most")
    expect(studio.page.locator("#send")).to_be_hidden()


def test_choices_reach_the_job(studio: Studio) -> None:
    studio.page.get_by_role("radio", name="Gentle").check()
    small = studio.file("c.png", picture_bytes(64, 64))
    studio.send(small, stages=("Grey veil", "Do-not-train statement"))
    studio.is_done("c.png")
    studio.open_job("c.png")
    expect(studio.page.locator(".words")).to_contain_text("not for AI training")
    job_id = studio.page.url.rsplit("/", 1)[1]
    result = studio.page.request.get(f"{studio.base_url}/v1/jobs/{job_id}/result").json()
    layers = result["summary"]["layers"]
    assert [layer["stage"] for layer in layers] == ["original", "photoguard", "c2pa"]
    assert layers[1]["metrics"]["strength"] == "low"


def test_nothing_to_be_done_is_not_sent(studio: Studio) -> None:
    studio.send(studio.file("d.png"), stages=())
    expect(studio.page.locator("#submit-wrong")).to_have_text(
        "Choose at least one thing to be done."
    )


def refused(studio: Studio, name: str, content: bytes) -> str:
    studio.send(studio.file(name, content))
    alert = studio.page.locator("#tray .trouble")
    alert.wait_for()
    return alert.inner_text()


def test_413_in_words(studio: Studio) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (2000, 1000)).save(buffer, "PNG")
    said = refused(studio, "wide.png", buffer.getvalue())
    assert "too large for this gateway" in said and "1 megapixels" in said


def test_415_in_words(studio: Studio) -> None:
    said = refused(studio, "page.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert "not a picture this gateway can read" in said and "Save it as JPEG" in said


def test_422_in_words(studio: Studio) -> None:
    said = refused(studio, "torn.png", picture_bytes()[:20])
    assert "damaged" in said and "save it anew" in said


def test_an_address_that_may_not_be_fetched_in_words(studio: Studio) -> None:
    field = studio.page.get_by_label("Or the web address of a picture")
    field.fill("ftp://example.org/x.png")
    field.press("Enter")
    expect(studio.page.locator("#address-wrong")).to_contain_text("begins with http")
    field.fill("http://127.0.0.1/x.png")
    field.press("Enter")
    studio.page.locator("#send").click()
    alert = studio.page.locator("#tray .trouble")
    expect(alert).to_contain_text("not a public one")
    expect(alert).to_contain_text("choose the file instead")


def test_429_in_words(
    open_studio: Callable[..., Studio], start_gateway: Callable[..., GatewayProcess]
) -> None:
    full = start_gateway(worker_concurrency=0, max_queued=1)
    studio = open_studio(full.base_url)
    studio.send(studio.file("first.png"))
    expect(studio.row("first.png")).to_contain_text("next in line")
    said = refused(studio, "second.png", picture_bytes())
    assert "As many pictures wait" in said and "Try again in 5 seconds" in said
    studio.row("first.png").get_by_role("button", name="Delete").click()
    studio.page.get_by_role("button", name="Delete it").click()
    expect(studio.row("first.png")).to_have_count(0)
    studio.page.locator("#send").click()
    expect(studio.row("second.png")).to_be_visible()
    assert Path(studio.folder / "second.png").is_file()


def test_the_share_of_a_slow_upload_that_has_left_is_shown(studio: Studio) -> None:
    line = studio.page.context.new_cdp_session(studio.page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000}
    line.send("Network.emulateNetworkConditions", slow)
    noise = Image.effect_noise((700, 700), 90)
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    studio.page.evaluate(
        """() => {
          window.shares = [];
          new MutationObserver(() => {
            const bar = document.querySelector("#tray progress");
            if (bar) window.shares.push(bar.value);
          }).observe(document.querySelector("#tray"), { subtree: true, childList: true });
        }"""
    )
    studio.send(studio.file("slow.png", buffer.getvalue()))
    studio.is_done("slow.png")
    shares = studio.page.evaluate("window.shares")
    assert shares == sorted(shares)
    assert any(0 < share < 1 for share in shares), shares
