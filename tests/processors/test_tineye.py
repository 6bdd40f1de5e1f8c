"""The far end is a server on loopback that speaks TinEye's format."""

import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from artscraper_runner.analysis.processors import tineye
from artscraper_runner.analysis.run import analyse_picture
from artscraper_runner.errors import InvalidOption, ServiceFailed
from artscraper_runner.options import AnalysisOptions
from artscraper_runner.types import Json
from tests.processors.opened import processed

KEY = "k3y-of-the-artist"
MATCH = {
    "image_url": "https://img.tineye.com/result/1",
    "domain": "example.com",
    "score": 64.2,
    "width": 400,
    "height": 300,
    "size": 120_000,
    "format": "JPEG",
    "filesize": 41_000,
    "overlay": "overlay/1",
    "tags": ["stock"],
    "backlinks": [
        {
            "url": f"https://example.com/{number}.jpg",
            "backlink": f"https://example.com/{number}",
            "crawl_date": "2024-05-01",
        }
        for number in range(30)
    ],
}


@dataclass
class FakeTinEye:
    """The responses of the server, and the requests it received."""

    status: int = 200
    answer: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    drips: bool = False  # a header now and then, for ever
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def options(self, **changes: Any) -> AnalysisOptions:
        given = {"enable_tineye": True, "tineye_api_key": KEY, "tineye_url": self.url}
        return AnalysisOptions(**{**given, **changes})


def found(count: int) -> Json:
    stats = {"total_results": count, "total_backlinks": count, "timestamp": 1.0, "query_time": 0.1}
    return {"code": 200, "messages": [], "stats": stats, "results": {"matches": [MATCH] * count}}


@pytest.fixture
def service() -> Iterator[FakeTinEye]:
    fake = FakeTinEye(answer=found(3))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            fake.asked.append((self.path, headers, body))
            if fake.drips:
                self.drip()
                return
            if fake.delay_s:
                fake.released.wait(fake.delay_s)
                self.close_connection = True
                return
            data = (
                fake.answer if isinstance(fake.answer, bytes) else json.dumps(fake.answer).encode()
            )
            self.send_response(fake.status)
            for name, value in fake.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def drip(self) -> None:
            self.close_connection = True
            self.send_response(200)
            with suppress(ConnectionError):
                while not fake.released.wait(0.02):
                    self.send_header("x-drop", "drip")
                    self.flush_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}/rest/"
    yield fake
    fake.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "a secret name"
    path = tmp_path / "picture.jpg"
    Image.effect_noise((2400, 1200), 50).convert("RGB").save(path, exif=exif)
    return path


def test_matches_are_reported(service: FakeTinEye, picture: Path) -> None:
    data = processed("tineye", picture, service.options())
    assert data["count"] == 3
    assert len(data["matches"]) == 3
    assert data["matches"][0] == {**MATCH, "backlinks": MATCH["backlinks"][:10]}


def test_request_follows_the_documented_api(service: FakeTinEye, picture: Path) -> None:
    processed("tineye", picture, service.options())
    [(path, headers, body)] = service.asked
    assert re.fullmatch(r"/rest/search/\?limit=50&offset=0&sort=score&order=desc", path)
    assert headers["x-api-key"] == KEY
    assert headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="image_upload"; filename="picture.jpg"' in body


def test_small_picture_is_sent_without_metadata(service: FakeTinEye, picture: Path) -> None:
    processed("tineye", picture, service.options())
    body = service.asked[0][2]
    assert b"a secret name" not in body
    with Image.open(BytesIO(body[body.index(b"\xff\xd8\xff") :])) as sent:
        assert (sent.format, sent.size) == ("JPEG", (1000, 500))


def test_results_are_capped_and_counted(service: FakeTinEye, picture: Path) -> None:
    service.answer = found(500)
    data = processed("tineye", picture, service.options())
    assert (data["count"], len(data["matches"])) == (500, tineye.MAX_MATCHES)


@pytest.mark.parametrize(
    ("status", "answer", "headers", "expected"),
    [
        (429, {"code": 429}, {"retry-after": "30"}, "too many requests; try again after 30 s"),
        (429, b"slow down", {}, "too many requests"),
        (200, {"code": 429, "messages": ["Rate limit"]}, {}, "too many requests: Rate limit"),
        (402, {"code": 402, "messages": ["No searches left"]}, {}, "used up: No searches left"),
        (403, {"code": 403, "messages": [f"bad key {KEY}"]}, {}, r"refused.*: bad key \*\*\*"),
        (401, b"<html>", {}, "the API key is refused"),
        (200, {"code": 400, "messages": ["Image too simple"]}, {}, "400: Image too simple"),
        (500, b"oops", {}, "answered 500"),
        (301, b"", {"location": "http://elsewhere.invalid/"}, "answered 301"),
        (200, b"not json", {}, "not a search result"),
        (200, [1, 2], {}, "not a search result"),
        (200, b"[" * 100_000, {}, "not a search result"),
    ],
)
def test_errors_are_readable_and_hold_no_key(
    status: int, answer: Any, headers: dict[str, str], expected: str,
    service: FakeTinEye, picture: Path,
) -> None:  # fmt: skip
    service.status, service.answer, service.headers = status, answer, headers
    with pytest.raises(ServiceFailed, match=f"^TinEye: .*{expected}") as failure:
        processed("tineye", picture, service.options())
    assert KEY not in str(failure.value)


@pytest.mark.parametrize(
    "results", [None, [], {"matches": None}, {"matches": [None, 7, {"backlinks": "x"}]}]
)
def test_malformed_results_are_ignored(results: Any, service: FakeTinEye, picture: Path) -> None:
    service.answer = {"code": 200, "results": results}
    data = processed("tineye", picture, service.options())
    assert data["count"] == len(data["matches"]) <= 1


def test_silent_service_times_out(
    service: FakeTinEye, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tineye, "_TIMEOUT_S", 0.2)
    service.delay_s = 5
    with pytest.raises(ServiceFailed, match="no answer within"):
        processed("tineye", picture, service.options())


def test_trickling_service_times_out(
    service: FakeTinEye, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tineye, "_DEADLINE_S", 0.5)
    service.drips = True
    with pytest.raises(ServiceFailed, match="no whole answer within"):
        processed("tineye", picture, service.options())
    assert not service.released.is_set()  # it would have dripped on


def test_endless_response_is_cut_off(
    service: FakeTinEye, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tineye, "_MAX_ANSWER_BYTES", 1000)
    service.answer = found(50)
    with pytest.raises(ServiceFailed, match="more than 1000 bytes"):
        processed("tineye", picture, service.options())


def test_unreachable_service_is_a_readable_error(service: FakeTinEye, picture: Path) -> None:
    with pytest.raises(ServiceFailed, match="cannot be reached"):
        processed("tineye", picture, service.options(tineye_url="http://127.0.0.1:9/"))


@pytest.mark.parametrize(
    "changes",
    [
        {"tineye_api_key": None},
        {"tineye_api_key": ""},
        {"tineye_api_key": "line\nbreak"},
        {"tineye_api_key": "schlüssel"},
        {"tineye_url": "ftp://example.com"},
        {"tineye_url": "nothing"},
    ],
)
def test_invalid_settings_are_named(
    changes: dict[str, Any], service: FakeTinEye, picture: Path
) -> None:
    with pytest.raises(InvalidOption, match="tineye"):
        processed("tineye", picture, service.options(**changes))
    assert not service.asked


def test_tineye_sends_nothing_unless_enabled(service: FakeTinEye, picture: Path) -> None:
    options = service.options(enable_tineye=False, processors=("tineye",))
    [row] = analyse_picture(picture, options)["processors"]
    assert (row["ok"], row["error"]) == (False, "not sent: enable_tineye is off")
    assert not service.asked


def test_failed_processor_does_not_affect_others(service: FakeTinEye, picture: Path) -> None:
    service.status, service.answer = 429, {"code": 429}
    rows = analyse_picture(picture, service.options(processors=("dhash",)))["processors"]
    assert [(row["name"], row["ok"]) for row in rows] == [("dhash", True), ("tineye", False)]
    assert rows[1]["error"] == "TinEye: too many requests"


def test_key_is_never_printed(
    service: FakeTinEye, picture: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    options = service.options(processors=("tineye",))
    for answer in (found(1), {"code": 403, "messages": [KEY]}):
        service.answer = answer
        assert KEY not in json.dumps(analyse_picture(picture, options))
    assert KEY not in repr(options)
    assert KEY not in caplog.text
