"""Serving of the page: policy, size, languages, under a path, offline."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from markupsafe import escape
from playwright.sync_api import Response, expect

from artscraper_gateway.tests.gateway_process import GatewayProcess
from artscraper_gateway.tests.web.page_object import PageObject, picture_bytes
from artscraper_gateway.tests.web.sub_path_proxy import proxied

WEB = Path(__file__).resolve().parents[2] / "web"
STRINGS = {path.stem: json.loads(path.read_text("utf-8")) for path in (WEB / "strings").iterdir()}
FIRST_LOAD_BYTES = 150_000
Open = Callable[..., PageObject]


@pytest.fixture
def client(shared_gateway: GatewayProcess) -> Iterator[httpx.Client]:
    with shared_gateway.client() as client:
        yield client


def test_content_security_policy_excludes_other_hosts(client: httpx.Client) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';") and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\son\w+=|\sstyle=", page.text)
    texts = [path for path in (WEB / "static").glob("*.*") if path.suffix != ".webp"]
    for path in [WEB / "templates" / "page.html", *texts]:
        named = re.findall(r"https?://[^\s\"'`]+", path.read_text("utf-8"))
        assert set(named) <= {"http://www.w3.org/2000/svg", "https://"}, path
    for name in re.findall(r'(?:href|src)="([^"]+)"', page.text):
        assert not name.startswith("/"), f"{name} does not work under a path"
        if not name.startswith("#"):
            assert client.get(f"/{name}").status_code == 200, name


def test_static_files_are_revalidated_and_not_sent_again(client: httpx.Client) -> None:
    first = client.get("/static/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/static/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert client.get("/static/../pages.py").status_code == 404
    assert client.get("/static/none.js").headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("header", "cookie", "language"),
    [
        ("de-DE,de;q=0.9,en;q=0.5", "", "de"),
        ("fr,en;q=0.3,de;q=0.2", "", "en"),
        ("de;q=0, fr", "", "en"),
        ("de;q=x", "", "en"),
        ("", "", "en"),
        ("en", "de", "de"),
        ("de", "../../secret", "de"),
    ],
)
def test_page_language_follows_cookie_and_header(
    client: httpx.Client, header: str, cookie: str, language: str
) -> None:
    headers = {"Accept-Language": header, "Cookie": f"language={cookie}"}
    page = client.get("/", headers=headers)
    assert f'<html lang="{language}">' in page.text
    assert "Accept-Language" in page.headers["vary"]
    assert client.get("/strings/../config.json").status_code == 404


def test_invalid_theme_is_ignored(client: httpx.Client) -> None:
    assert 'data-theme="dark"' in client.get("/", headers={"Cookie": "theme=dark"}).text
    assert "data-theme" not in client.get("/", headers={"Cookie": 'theme="x"'}).text


def test_every_language_has_all_texts() -> None:
    english = STRINGS["en"]
    assert len(STRINGS) >= 2
    for language, texts in STRINGS.items():
        for part in ("page", "scripts"):
            assert texts[part].keys() == english[part].keys(), language
            for key, text in texts[part].items():
                assert names(text) == names(english[part][key]), f"{language}: {key}"


def test_page_assets_are_small() -> None:
    """Compressed as it is sent: page, styles, scripts, one language and the sample picture.

    The reference page's viewer is not part of the page.
    """
    vendored = (WEB / "static" / "vendor").rglob("*.js")
    vendored_for_page = [path for path in vendored if "swagger" not in str(path)]
    paths = [*(WEB / "static").glob("*.*"), *vendored_for_page]
    texts = [WEB / "templates" / "page.html", WEB / "strings" / "de.json"]
    sizes = {
        path.name: len(data) if path.suffix == ".webp" else len(gzip.compress(data))
        for path in [*paths, *texts]
        for data in [path.read_bytes()]
    }
    assert sum(sizes.values()) < FIRST_LOAD_BYTES, sizes


@pytest.mark.parametrize("language", sorted(STRINGS))
def test_page_uses_all_its_texts(client: httpx.Client, language: str) -> None:
    page = client.get("/", headers={"Accept-Language": language}).text
    for key, text in STRINGS[language]["page"].items():
        assert str(escape(text)) in page, key


def names(text: Any) -> set[str]:
    """Return the placeholders of a text, in any of its forms."""
    return set(re.findall(r"\{(\w+)\}", json.dumps(text))) - {"count"}


def test_texts_of_scripts_exist_and_are_used() -> None:
    code = "\n".join(path.read_text("utf-8") for path in (WEB / "static").glob("*.js"))
    known = STRINGS["en"]["scripts"]
    used = set(re.findall(r'\bt\("([^"]+)"', code))
    assert used <= known.keys()
    patterns = re.findall(r"`([\w.-]*\$\{[^`]*?\}[\w.-]*)`", code)
    made = [re.sub(r"\$\{[^}]*\}", "@", each) for each in patterns]
    forms = [re.compile(re.escape(each).replace("@", r"[\w.-]+")) for each in made]
    quoted = set(re.findall(r'"([\w.-]+)"', code))
    for key in known:
        by_pattern = any(form.fullmatch(key) for form in forms)
        assert key in used or key in quoted or by_pattern, f"nothing uses {key}"


def test_first_load_is_small(open_page: Open, shared_gateway: GatewayProcess) -> None:
    app = open_page(shared_gateway.base_url)
    sizes: dict[str, int] = {}

    def weigh(answer: Response) -> None:
        if "/v1/jobs" not in answer.url and "/v1/events" not in answer.url:  # pictures of jobs
            measured = answer.request.sizes()
            sizes[answer.url] = measured["responseBodySize"] + measured["responseHeadersSize"]

    app.page.context.clear_cookies()
    app.page.on("requestfinished", lambda request: weigh(request.response()))
    app.page.goto("about:blank")
    app.page.context.new_cdp_session(app.page).send("Network.clearBrowserCache")
    app.open("/")
    expect(app.page.locator("#stages input").first).to_be_attached()
    assert len(sizes) > 20
    print(f"first load: {sum(sizes.values())} bytes in {len(sizes)} answers")
    assert sum(sizes.values()) < FIRST_LOAD_BYTES, sizes


@pytest.mark.parametrize("root_path", ["/studio", ""])
def test_under_a_path_behind_a_proxy(
    open_page: Open, start_gateway: Callable[..., GatewayProcess], root_path: str
) -> None:
    gateway = start_gateway(root_path=root_path)
    with proxied(gateway.base_url, "/studio") as address:
        app = open_page(address)
        app.send(app.file("below.png"))
        app.wait_for_result()
        app.page.reload()
        app.wait_for_result()
        app.open_details()
        expect(app.page.locator("#details")).to_contain_text("hidden mark")
        app.page.context.close()  # its events have to end before the proxy can


def test_page_switches_theme_and_language(open_page: Open, shared_gateway: GatewayProcess) -> None:
    app = open_page(shared_gateway.base_url, color_scheme="dark")
    body = app.page.locator("body")
    dark = body.evaluate("(it) => getComputedStyle(it).backgroundColor")
    app.page.get_by_label("Colours").select_option("light")
    light = body.evaluate("(it) => getComputedStyle(it).backgroundColor")
    assert dark != light
    app.page.get_by_label("Language").select_option("de")
    expect(app.page.get_by_role("heading", level=1)).to_have_text("Schütze deine Bilder")
    assert body.evaluate("(it) => getComputedStyle(it).backgroundColor") == light
    app.send(app.file("bild.png"), stages=("Verstecktes Zeichen",))
    app.wait_for_result()
    expect(app.page.locator(".job-head .mark")).to_have_text("Fertig")
    app.open_details()
    expect(app.page.locator("#details")).to_contain_text("verstecktes Zeichen")


GERMAN_TEXT = """(body) => {
  body.querySelectorAll("[lang=en], select, bdi").forEach((each) => each.remove());
  return body.innerText;
}"""
ENGLISH = re.compile(r"\b(the|and|not|with|is|your|picture|of)\b", re.IGNORECASE)


def test_german_page_has_no_english_sentence(
    open_page: Open, shared_gateway: GatewayProcess
) -> None:
    app = open_page(shared_gateway.base_url, locale="de-DE")
    stages = ("Gesichtsschutz", "Verstecktes Zeichen", "Versteckter Text")
    app.send(app.file("bild.jpg", picture_bytes(kind="JPEG")), stages=stages)
    app.wait_for_result()
    app.open_details()
    for path in (app.page.url.removeprefix(app.base_url), "/#/", "/#/watermark"):
        app.open(path)
        app.page.wait_for_load_state("networkidle")
        text = app.page.locator("body").evaluate(GERMAN_TEXT)
        assert not ENGLISH.findall(text.replace("Artscraper Gateway", "")), text
        app.page.goto("about:blank")


def test_page_works_without_server_paths(
    open_page: Open, start_gateway: Callable[..., GatewayProcess]
) -> None:
    app = open_page(start_gateway(show_paths="no").base_url)
    app.send(app.file("scan.tif", picture_bytes(kind="TIFF")))
    app.wait_for_result()
    with app.page.expect_download() as downloading:
        app.page.locator(".download").click()
    assert downloading.value.suggested_filename == "scan-protected.tif"
    app.page.get_by_role("radio", name="What changed").check()
    app.wait_for_result()
