"""Host names, origins and CORS; signed links; opt-out signals."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import httpx
import pytest

from artscraper_gateway.api.middleware import is_trusted_host
from artscraper_gateway.auth.signed_links import LinkSigner
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.tests.gateway_process import until
from artscraper_gateway.tests.support.in_process import InProcessGateway
from artscraper_gateway.tests.test_api_keys import added

pytestmark = pytest.mark.api
Start = Callable[..., InProcessGateway]
Picture = Callable[..., bytes]
UNTOUCHED = {"include_protection": "false", "include_hash_analysis": "false"}
OPT_OUT = {
    "content-usage": "train-ai=n",
    "tdm-reservation": "1",
    "x-robots-tag": "noai, noimageai",
}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("127.0.0.1:8765", 200),
        ("[::1]:8765", 200),
        ("app.localhost", 200),
        ("gateway", 200),
        ("192.168.1.5", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example:80", 421),
        ("evil.example#localhost", 421),
        ("evil.example@localhost", 421),
        ("localhost:99999999", 421),
        ("", 421),
        ("a b", 421),
        ("<script>", 421),
    ],
)
def test_untrusted_host_headers_are_refused(client: httpx.Client, host: str, status: int) -> None:
    answer = client.get("/v1/jobs", headers={"Host": host})
    assert answer.status_code == status, answer.text
    if status == 421:
        assert answer.json()["code"] == "unknown-host" and "trusted_hosts" in answer.text
        assert "script" not in answer.text
    assert client.get("/livez", headers={"Host": host}).status_code == 200


def test_trusted_hosts_replace_the_default() -> None:
    config = GatewayConfig(trusted_hosts=("art.example.org", ".example.net", "10.0.0.1"))
    for host in ("art.example.org", "example.net", "a.b.example.net", "10.0.0.1"):
        assert is_trusted_host(host, config)
    for host in ("example.org", "badexample.net", "localhost", "10.0.0.2"):
        assert not is_trusted_host(host, config)
    assert is_trusted_host("anything.example", GatewayConfig(trusted_hosts=("*",)))
    assert is_trusted_host("art.example.org", GatewayConfig(host="art.example.org"))


@pytest.mark.parametrize("name", ["http://a.example", "a.example:80", "a b", "*.example.org", ""])
def test_trusted_hosts_are_validated(name: str) -> None:
    with pytest.raises(ValueError, match=r"trusted_hosts|host names"):
        GatewayConfig(trusted_hosts=(name,))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"Origin": "http://localhost"}, 415),
        ({"Origin": "https://localhost", "Sec-Fetch-Site": "same-origin"}, 415),
        ({"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "same-origin"}, 415),
        ({"Sec-Fetch-Site": "none"}, 415),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "http://localhost@evil.example"}, 403),
        ({"Origin": "file://"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": "http://localhost:port"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_cross_origin_requests_are_refused(
    client: httpx.Client, headers: dict[str, str], status: int
) -> None:
    """415 is the answer to the empty body: the request passed the check."""
    answer = client.post("/v1/jobs", headers={"Host": "localhost", **headers})
    assert answer.status_code == status, answer.text
    if status == 403:
        assert answer.json()["code"] == "foreign-origin"
        assert "access-control-allow-origin" not in answer.headers
    assert client.get("/v1/jobs", headers={"Host": "localhost", **headers}).status_code == 200


def test_allowed_origins_may_call_and_read(start_app: Start, picture: Picture) -> None:
    gateway = start_app(cors_origins="https://app.example.org", opt_out="yes")
    mine = {"Origin": "https://app.example.org", "Sec-Fetch-Site": "cross-site"}
    with gateway.client() as client:
        preflight = client.options(
            "/v1/protect", headers={**mine, "Access-Control-Request-Method": "POST"}
        )
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "https://app.example.org"
        for name in ("Idempotency-Key", "If-Unmodified-Since", "traceparent"):
            assert name in preflight.headers["access-control-allow-headers"]
        answer = client.post(
            "/v1/protect", headers=mine, files={"file": picture(64, 64)}, data=UNTOUCHED
        )
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://app.example.org"
        assert "X-Job-Id" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers
        assert "Origin" in answer.headers["vary"]
        problem = client.get("/v1/jobs/unknown", headers=mine)
        assert problem.headers["access-control-allow-origin"] == "https://app.example.org"
        for origin in ("https://app.example.org.evil.example", "http://app.example.org", "null"):
            other = client.options(
                "/v1/protect",
                headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
            )
            assert other.status_code == 403
            assert "cors_origins" in other.json()["detail"]
            assert "access-control-allow-origin" not in other.headers
        assert client.options("/v1/protect").status_code == 405
        check_opt_out(client, answer.headers["x-job-id"])
    anyone = start_app(home=gateway.home / "b", cors_origins="*", worker_concurrency=0)
    with anyone.client() as client:
        answer = client.get("/v1/jobs", headers={"Origin": "https://a.example"})
        assert answer.headers["access-control-allow-origin"] == "*"


def check_opt_out(client: httpx.Client, job: str) -> None:
    """Check that every kind of download carries the signals while `opt_out` is on."""
    base = f"/v1/jobs/{job}"
    tag = client.get(f"{base}/layers/final").headers["etag"]
    for method, path, headers, status in (
        ("GET", "/layers/final", {}, 200),
        ("HEAD", "/layers/final", {}, 200),
        ("GET", "/layers/final?size=32", {}, 200),
        ("GET", "/layers/original", {"Range": "bytes=0-3"}, 206),
        ("GET", "/layers/final", {"If-None-Match": tag}, 304),
        ("GET", "/archive.zip", {}, 200),
        ("HEAD", "/archive.zip", {}, 200),
    ):
        answer = client.request(method, base + path, headers=headers)
        assert answer.status_code == status
        found = {name: answer.headers.get(name) for name in OPT_OUT}
        assert found == OPT_OUT, (method, path)
    assert "Content-Usage: train-ai=n" in client.get("/robots.txt").text
    assert client.get("/.well-known/tdmrep.json").json() == [
        {"location": "/", "tdm-reservation": 1}
    ]


def test_opt_out_headers_are_off_by_default(client: httpx.Client, picture: Picture) -> None:
    answer = client.post("/v1/protect", files={"file": picture(64, 64)}, data=UNTOUCHED)
    assert not OPT_OUT.keys() & answer.headers.keys()
    assert client.get("/.well-known/tdmrep.json").json()[0]["tdm-reservation"] == 0
    page = client.get("/opt-out")
    assert (
        page.status_code == 200 and "default-src 'self'" in page.headers["content-security-policy"]
    )
    for line in (
        "add_header tdm-reservation",
        "Header always set",
        "&lt;meta",
        "User-agent: GPTBot",
    ):
        assert line in page.text


@pytest.mark.parametrize(
    ("query", "headers", "language"),
    [
        ("", {}, "en"),
        ("", {"Accept-Language": "de-AT,en;q=0.5"}, "de"),
        ("", {"Cookie": "language=de"}, "de"),
        ("?language=de", {"Accept-Language": "en"}, "de"),
        ("?language=en", {"Cookie": "language=de"}, "en"),
        ("?language=../de", {}, "en"),
    ],
)
def test_opt_out_page_is_localised(
    client: httpx.Client, query: str, headers: dict[str, str], language: str
) -> None:
    page = client.get(f"/opt-out{query}", headers=headers)
    title = {"en": "Opt out of AI training", "de": "Dem KI-Training widersprechen"}[language]
    assert f'<html lang="{language}"' in page.text and f"<h1>{title}</h1>" in page.text
    assert page.headers["vary"] == "Accept-Language, Cookie"


def test_opt_out_policy_is_sent_and_cannot_break_headers(
    start_app: Start, picture: Picture
) -> None:
    policy = "https://example.org/policy.json"
    gateway = start_app(opt_out="yes", tdm_policy=policy)
    with gateway.client() as client:
        answer = client.post("/v1/protect", files={"file": picture(64, 64)}, data=UNTOUCHED)
        assert answer.headers["tdm-policy"] == policy
        assert client.get("/.well-known/tdmrep.json").json()[0]["tdm-policy"] == policy
    for bad in ("javascript:x", "https://a\r\nX: 1", "https://a b", 'https://a"\n'):
        with pytest.raises(ValueError, match=r"tdm_policy|pattern"):
            GatewayConfig(tdm_policy=bad)


def test_signed_link_works_until_expired_or_altered(start_app: Start, picture: Picture) -> None:
    gateway = start_app()
    with gateway.client() as client:
        job = client.post("/v1/protect", files={"file": picture(200, 200)}, data=UNTOUCHED).headers[
            "x-job-id"
        ]
        reader = added(gateway.home, "reader", "--scope", "admin")
        base = f"/v1/jobs/{job}/layers"
        until(lambda: client.get(f"{base}/final").status_code == 401, what="a key is needed")
        made = client.post(f"{base}/final/link?expires_in=3600", headers=reader).json()
        url = made["url"]
        assert client.get(url).status_code == 200
        assert client.head(f"{url}&size=32").status_code == 200
        altered = [
            url.replace("/final", "/original"),
            re.sub(r"expires=\d+", lambda m: f"expires={int(m[0][8:]) + 1}", url),
            url[:-1] + ("A" if url[-1] != "A" else "B"),
            url.split("&")[0],
            url.replace("expires=", "expires=%2B"),
            url.replace("expires=", "expires=-"),
            re.sub(r"expires=\d+", "expires=²", url),
            re.sub(r"expires=\d+", "expires=99999999999999999999", url),
            url + "%00",
            re.sub(r"/jobs/\w+/", f"/jobs/{'0' * 32}/", url),
        ]
        for each in altered:
            answer = client.get(each)
            assert answer.status_code in (403, 422), (each, answer.text)
        assert client.get(f"/v1/jobs/{job}").status_code == 401
        short = client.post(f"{base}/final/link?expires_in=1", headers=reader).json()["url"]
        until(lambda: client.get(short).status_code == 403, what="it expires", timeout_s=10)
        assert "expired" in client.get(short).json()["detail"]
        for bad in ("0", "-1", "99999999", "x"):
            answer = client.post(f"{base}/final/link?expires_in={bad}", headers=reader)
            assert answer.status_code == 422
        assert client.post(f"{base}/final/link").status_code == 401
        client.delete(f"/v1/jobs/{job}", headers=reader)
        assert client.get(url).status_code == 404


def test_signatures_depend_on_the_secret_and_every_part(tmp_path: object) -> None:
    signer = LinkSigner(b"0123456789abcdef")
    now = int(time.time())
    signature = signer.sign("a", "layers/final", expires_at=now)
    assert signer.verify("a", "layers/final", expires_at=now, signature=signature)
    assert not LinkSigner(b"another secret..").verify(
        "a", "layers/final", expires_at=now, signature=signature
    )
    for job, resource, at in (("b", "layers/final", now), ("a", "layers/mist", now)):
        assert not signer.verify(job, resource, expires_at=at, signature=signature)
    assert not signer.verify("a", "layers/final", expires_at=now, signature="ü")


def test_link_secret_is_drawn_once_and_private(tmp_path: object) -> None:
    from pathlib import Path

    home = Path(str(tmp_path))
    config = GatewayConfig(base_dir=home)
    first, second = LinkSigner.of(config), LinkSigner.of(config)
    assert first == second
    assert (home / "link-secret").stat().st_mode & 0o777 == 0o600
    chosen = GatewayConfig(base_dir=home, link_secret="x" * 16)
    assert LinkSigner.of(chosen).secret == b"x" * 16
