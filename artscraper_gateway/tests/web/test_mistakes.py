"""Typical mistakes, and the words that users read: every row of the table in docs/page.md."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from PIL import Image
from playwright.sync_api import expect

from artscraper_gateway.auth.keys import KeyStore
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import REPOSITORY, GatewayProcess
from artscraper_gateway.tests.web.page_object import PageObject, picture_bytes

Open = Callable[..., PageObject]
Start = Callable[..., GatewayProcess]
PAGE = (REPOSITORY / "docs" / "page.md").read_text("utf-8")
ROWS = dict(
    re.findall(r"^\| (.+?) \| (.+?) \|$", PAGE.split("| mistake |")[1].split("\n\n")[0], re.M)
)


def add_file(name: str, content: bytes) -> Callable[[PageObject], str]:
    """Return a mistake that shows as soon as the file is added."""

    def add(app: PageObject) -> str:
        app.add(app.file(name, content))
        return "#uploads .problem"

    return add


def send_file(name: str, content: bytes, place: str = "#uploads .problem") -> Callable[..., str]:
    """Return a mistake that shows when the file is sent."""

    def send(app: PageObject) -> str:
        app.send(app.file(name, content))
        return place

    return send


def add_empty_folder(app: PageObject) -> str:
    folder = app.folder / "empty"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    app.page.locator("#folder").set_input_files(folder)
    return "#drop-error"


def add_address(address: str, *, is_sent: bool = True) -> Callable[[PageObject], str]:
    def add(app: PageObject) -> str:
        app.page.get_by_text("From a web address").click()
        app.page.locator("#url").fill(address)
        app.page.locator("#url").press("Enter")
        if not is_sent:
            return "#url-error"
        app.page.locator("#send").click()
        return "#uploads .problem"

    return add


def send_without_steps(app: PageObject) -> str:
    app.send(app.file("d.png"), stages=())
    return "#submit-error"


def open_deleted(app: PageObject) -> str:
    app.open(f"/#/jobs/{'0' * 32}")
    return "main .problem"


def mark_tiny(app: PageObject) -> str:
    app.send(app.file("dot.png", picture_bytes(1, 1)))
    app.wait_for_result()
    app.open_details()
    return "#details"


def wide() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2000, 1000)).save(buffer, "PNG")
    return buffer.getvalue()


WHOLE = picture_bytes()
MISTAKES: dict[str, Callable[[PageObject], str]] = {
    "a text file is added": add_file("words.txt", b"no picture"),
    "an empty file is added": add_file("empty.png", b""),
    "a file above the limit in bytes": add_file("big.png", b"x" * 700_000),
    "a picture with too many pixels": send_file("wide.png", wide()),
    "an SVG named `.png`": send_file("page.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "a damaged file": send_file("torn.png", WHOLE[:20]),
    "a file that ends too early": send_file("half.png", WHOLE[: len(WHOLE) // 2], ".failure"),
    "a folder without pictures": add_empty_folder,
    "`ftp://` as a web address": add_address("ftp://example.org/x.png", is_sent=False),
    "a web address in the local network": add_address("http://192.168.0.1/x.png"),
    "all steps switched off": send_without_steps,
    "the picture was deleted meanwhile": open_deleted,
    "a picture that is too small": mark_tiny,
}
ELSEWHERE = {
    "a web address without a picture",
    "the queue is full",
    "a wrong key",
    "the gateway is down",
}


def check_words(app: PageObject, place: str, mistake: str) -> None:
    """Check that the place shows the words of the table, in which … stands for anything."""
    words = re.escape(ROWS[mistake]).replace("…", ".+?").replace(r"\ ", r"\s*")
    expect(app.page.locator(place).first).to_have_text(re.compile(words))


def test_every_row_is_tried() -> None:
    assert ROWS.keys() == MISTAKES.keys() | ELSEWHERE
    assert len(ROWS) >= 15


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_explained(app: PageObject, mistake: str) -> None:
    check_words(app, MISTAKES[mistake](app), mistake)


def test_address_without_a_picture_is_explained(open_page: Open, start_gateway: Start) -> None:
    gateway = start_gateway(worker_concurrency=0, allow_private_addresses=True)
    app = open_page(gateway.base_url)
    missing = f"{gateway.base_url}/missing.png"
    check_words(app, add_address(missing)(app), "a web address without a picture")


def test_full_queue_is_explained(open_page: Open, start_gateway: Start) -> None:
    app = open_page(start_gateway(worker_concurrency=0, max_queued=1).base_url)
    app.send_and_return(app.file("first.png"))
    check_words(app, send_file("second.png", WHOLE)(app), "the queue is full")


def test_wrong_key_is_explained(open_page: Open, start_gateway: Start) -> None:
    gateway = start_gateway(worker_concurrency=0)
    engine = open_engine(GatewayConfig(base_dir=gateway.base_dir))
    KeyStore(engine).add("painter")
    engine.dispose()
    app = open_page(gateway.base_url)
    app.page.get_by_label("API key").fill("ask_wrong")
    app.page.get_by_role("button", name="Sign in").click()
    check_words(app, "#key-error", "a wrong key")


def test_absent_gateway_is_explained(open_page: Open, start_gateway: Start) -> None:
    gateway = start_gateway(worker_concurrency=0)
    app = open_page(gateway.base_url)
    app.send_and_return(app.file("first.png"))
    gateway.stop()
    check_words(app, "#connection", "the gateway is down")
