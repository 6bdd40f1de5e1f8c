"""`python -m artscraper_gateway submit` against a live gateway."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from artscraper_gateway.cli.submit import main
from artscraper_gateway.cli.submit_inputs import UnusableArguments, find_pictures, named_by_format
from artscraper_gateway.cli.submit_one import submission_digest
from artscraper_gateway.tests.conftest import SAMPLES
from artscraper_gateway.tests.gateway_process import REPOSITORY, GatewayProcess, until
from artscraper_gateway.tests.support.in_process import InProcessGateway

Picture = Callable[..., bytes]
LIGHT = ["--no-protection", "--no-analysis"]


@pytest.fixture
def folder(tmp_path: Path, picture: Picture) -> Path:
    """A folder of pictures and other files."""
    below = tmp_path / "art" / "more"
    below.mkdir(parents=True)
    (below.parent / "a.png").write_bytes(picture(256, 256))
    (below / "a.png").write_bytes(picture(257, 256))
    (below / "b.gif").write_bytes(picture(258, 256, kind="GIF"))
    (below / "notes.txt").write_text("no picture")
    (below / ".hidden.png").write_bytes(b"")
    return below.parent


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_submit_protects_a_folder(
    gateway: InProcessGateway, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    given = [str(folder), "--url", gateway.base_url, "--out", str(out)]
    stages = ["--stages", "invisible-watermark", "--no-analysis", "--watermark-text", "me"]
    assert main([*given, *stages]) == 0
    assert names(out) == ["a.png", "more/a.png", "more/b.gif.png"]
    assert (out / "a.png").read_bytes() != (folder / "a.png").read_bytes()
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["picture", "status", "seconds", "result"]
    assert shown[1].split()[0] == str(folder / "a.png") and "done" in shown[1]
    assert shown[-1] == "3 done, 0 failed"


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-1", "soon"])
def test_submit_refuses_invalid_timeout(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(SAMPLES[0]), "--timeout", seconds])
    assert "--timeout: expected a number of seconds above 0" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--stages", "--processors"])
def test_submit_refuses_empty_name_lists(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(SAMPLES[0]), option, ","])
    assert f"{option}: expected at least one name" in capsys.readouterr().err


def test_submit_keeps_watermark_on_request(
    gateway: InProcessGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--url", gateway.base_url, "--stages", "invisible-watermark", "--no-analysis"]
    assert main([str(SAMPLES[0]), *given, "--out", str(tmp_path / "marked")]) == 0
    (marked,) = (tmp_path / "marked").iterdir()
    assert main([str(marked), *given, "--out", str(tmp_path / "over")]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert any("carried the watermark" in note and "replaces" in note for note in notes)
    assert main([str(marked), *given, "--out", str(tmp_path / "kept"), "--keep-watermark"]) == 1
    shown = capsys.readouterr()
    assert "unprotected" in shown.out and "already carries the watermark" in shown.out
    assert "watermark kept: The picture carries the watermark" in shown.err


def test_every_note_of_the_job_is_printed_in_full(
    gateway: InProcessGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "a.gif"
    with Image.open(SAMPLES[0]) as image:
        small = image.convert("RGB").resize((96, 96))
    small.save(source, save_all=True, append_images=[small.rotate(180)], comment=b"by Ada")
    given = ["--url", gateway.base_url, "--stages", "photoguard", "--no-analysis"]
    assert main([str(source), *given, "--out", str(tmp_path / "out")]) == 0
    with gateway.client() as client:
        job = client.get("/v1/jobs").json()["jobs"][0]["job_id"]
        notes = client.get(f"/v1/jobs/{job}").json()["notes"]
    assert {note["action"] for note in notes} == {"dropped", "changed", "kept"}
    printed = capsys.readouterr().err
    for note in notes:
        line = f"{source}: {note['subject']} {note['action']}: {note['detail']}"
        assert f"note: {line}\n" in printed


def test_submit_reports_an_unusable_folder_before_sending(
    gateway: InProcessGateway, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "file" / "out")
    with gateway.client() as client:
        before = client.get("/v1/jobs").json()["jobs"]
        assert main([str(folder), "--url", gateway.base_url, "--out", out]) == 2
        assert client.get("/v1/jobs").json()["jobs"] == before
    assert out in capsys.readouterr().err


def test_submit_shows_a_bar_on_a_terminal(
    gateway: InProcessGateway, folder: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "artscraper_gateway", "submit", str(folder), *LIGHT]
    command += ["--url", gateway.base_url, "--out", str(tmp_path / "out")]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    os.close(theirs)
    drawn = read_to_the_end(ours)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and output.endswith("3 done, 0 failed\n")
    states = re.findall(r"(\d+)%\|[^|]*\| (\d\.\d) of 3 pictures", drawn)
    assert states[0] == ("0", "0.0") and states[-1] == ("100", "3.0")
    shown = [float(pictures) for _, pictures in states]
    assert shown == sorted(shown) and len({*shown}) > 2, "it moves, and only onwards"
    assert "done" not in drawn, "the bar alone"


def read_to_the_end(terminal: int) -> str:
    """Return what is written to a terminal until its other side is closed."""
    read = b""
    with os.fdopen(terminal, "rb", buffering=0) as file:
        try:
            while part := file.read(4096):
                read += part
        except OSError:  # Linux reports this once all writers have closed
            pass
    return read.decode()


def test_submit_prints_a_line_per_picture_without_terminal(
    gateway: InProcessGateway, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "text.jpg").write_text("text")
    out = tmp_path / "out"
    assert main([str(folder), "--url", gateway.base_url, "--out", str(out), *LIGHT]) == 1
    hidden, *lines = capsys.readouterr().err.splitlines()
    assert hidden.startswith("skipped: ")
    places, pictures, states = zip(*(line.split(": ") for line in lines), strict=True)
    assert places == tuple(f"{place} of 4" for place in (1, 2, 3, 4))
    assert {Path(picture).name for picture in pictures} == {"a.png", "b.gif", "text.jpg"}
    assert sorted(states) == ["done", "done", "done", "failed"]


def test_submit_saves_all_layers(gateway: InProcessGateway, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--url", gateway.base_url, "--out", str(out), "--layers", "all"]
    stages = ["--stages", "invisible-watermark", "--no-analysis"]
    assert main([str(SAMPLES[0]), *arguments, *stages]) == 0
    stem = SAMPLES[0].stem
    assert names(out) == [f"{stem}/00-original.jpg", f"{stem}/01-invisible-watermark.jpg"]
    none = tmp_path / "none"
    options = ["--url", gateway.base_url, "--out", str(none), "--layers", "none"]
    assert main([str(SAMPLES[0]), *options, *LIGHT]) == 0
    assert not none.exists()


def test_submit_reports_failures_and_continues(
    gateway: InProcessGateway, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "text.jpg").write_text("text")
    out = tmp_path / "out"
    assert main([str(folder), "--url", gateway.base_url, "--out", str(out), *LIGHT]) == 1
    shown = capsys.readouterr().out
    assert "3 done, 2 failed" in shown
    assert "The picture is damaged: " in shown and "Not an accepted picture format: " in shown
    assert len(names(out)) == 3


def test_submit_fails_for_an_unprotected_picture(
    gateway: InProcessGateway, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    given = [str(folder / "a.png"), "--url", gateway.base_url, "--out", str(out), "--no-analysis"]
    assert main([*given, "--stages", "fawkes"]) == 1
    shown = capsys.readouterr().out
    assert "unprotected" in shown and "no face found" in shown and "0 done, 1 failed" in shown
    assert not names(out)
    assert main([*given, "--stages", "fawkes,invisible-watermark"]) == 0
    shown = capsys.readouterr().out
    assert "1 done, 0 failed" in shown and "without fawkes: no face found" in shown
    assert names(out) == ["a.png"]


def test_submit_resumes_after_an_interruption(
    start_gateway: Callable[..., GatewayProcess], folder: Path, tmp_path: Path
) -> None:
    idle = start_gateway(tmp_path / "gateway", worker_concurrency=0)
    command = [sys.executable, "-m", "artscraper_gateway", "submit", str(folder), *LIGHT]
    command += ["--url", idle.base_url, "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    # As in a terminal: background processes ignore it.
    in_terminal = ["env", "--default-signal=INT", *command]
    with (
        subprocess.Popen(in_terminal, stderr=subprocess.PIPE, text=True, env=environment) as first,
        idle.client() as client,
    ):

        def all_are_sent() -> bool:
            assert first.poll() is None, f"submit ended: {first.communicate()}"
            return len(client.get("/v1/jobs").json()["jobs"]) == 3

        try:
            until(all_are_sent, what="all are sent")
            first.send_signal(signal.SIGINT)
            _, error_output = first.communicate(timeout=60)
        finally:
            first.kill()  # a test that failed leaves no process to the next one
        assert first.returncode == 130 and "run it again to continue the same jobs" in error_output
        assert "Traceback" not in error_output
        jobs = {job["job_id"] for job in client.get("/v1/jobs").json()["jobs"]}
    idle.stop()
    busy = start_gateway(tmp_path / "gateway", worker_concurrency=1)
    command[command.index("--url") + 1] = busy.base_url
    again = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert again.returncode == 0, again.stderr
    with busy.client() as client:
        listed = client.get("/v1/jobs").json()["jobs"]
    assert {job["job_id"] for job in listed} == jobs, "no new job was made"
    assert names(tmp_path / "out") == ["a.png", "more/a.png", "more/b.gif"]


def test_submit_repeats_a_failed_job(
    start_app: Callable[..., InProcessGateway], folder: Path, tmp_path: Path
) -> None:
    gateway = start_app(tmp_path / "gateway", worker_concurrency=0)
    given = [str(folder / "a.png"), "--url", gateway.base_url, "--out", str(tmp_path / "out")]
    with gateway.client() as client:
        assert main([*given, *LIGHT, "--timeout", "0.2"]) == 1
        (job,) = client.get("/v1/jobs").json()["jobs"]
        client.post(f"/v1/jobs/{job['job_id']}/cancel")
        assert main([*given, *LIGHT, "--timeout", "0.2"]) == 1
        assert len(client.get("/v1/jobs").json()["jobs"]) == 2


def test_submit_reads_key_from_environment_and_hides_it(
    start_gateway: Callable[..., GatewayProcess],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gateway = start_gateway(tmp_path / "gateway", worker_concurrency=0)
    add = [sys.executable, "-m", "artscraper_gateway", "keys", "add", "me", "--base-dir"]
    done = subprocess.run(
        [*add, str(gateway.base_dir)], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    key = done.stdout.split()[2]
    given = [str(folder / "a.png"), "--url", gateway.base_url, "--out", str(tmp_path / "out")]
    monkeypatch.delenv("ARTSCRAPER_API_KEY", raising=False)
    with gateway.client() as client:
        until(lambda: client.get("/v1/jobs").status_code == 401, what="keys are asked for")
    assert main(given) == 1
    output = capsys.readouterr().out
    assert "requires an API key; set ARTSCRAPER_API_KEY or --api-key" in output
    assert "Bearer" not in output
    monkeypatch.setenv("ARTSCRAPER_API_KEY", "ask_wrong")
    assert main(given) == 1
    refused = capsys.readouterr()
    assert "the API key is unknown to the gateway" in refused.out and "--api-key" in refused.out
    assert "ask_wrong" not in refused.out + refused.err
    monkeypatch.setenv("ARTSCRAPER_API_KEY", key)
    assert main([*given, "--timeout", "0.2"]) == 1
    accepted = capsys.readouterr()
    assert "did not end within" in accepted.out and key not in accepted.out + accepted.err


def test_submit_escapes_control_characters(
    gateway: InProcessGateway, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.png").rename(folder / "a\x1b[31m\nb\u202e.png")
    out = tmp_path / "out"
    assert main([str(folder), "--url", gateway.base_url, "--out", str(out), *LIGHT]) == 0
    captured = capsys.readouterr()
    assert "a\\x1b[31m\\nb\\u202e.png" in captured.out
    assert not {"\x1b", "\u202e"} & {*captured.out, *captured.err}
    assert len(captured.out.splitlines()) == 5
    assert f"skipped: {folder / 'more' / '.hidden.png'} (hidden)" in captured.err


def test_submit_exits_with_2_on_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unreachable = "http://127.0.0.1:9"
    assert main([str(tmp_path / "none.png"), "--url", unreachable]) == 2
    assert "there is no file or folder" in capsys.readouterr().err
    assert main([str(SAMPLES[0]), "--url", unreachable, "--out", str(tmp_path)]) == 2
    assert f"no answer from {unreachable}" in capsys.readouterr().err
    assert main([str(SAMPLES[0]), "--url", "nowhere", "--out", str(tmp_path)]) == 2
    assert "expected http://host" in capsys.readouterr().err
    assert main([str(SAMPLES[0]), "--url", f"{unreachable}x", "--out", str(tmp_path)]) == 2
    assert "expected a URL" in capsys.readouterr().err


def test_submit_overwrites_nothing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableArguments, match="would be overwritten"):
        find_pictures([str(folder)], folder, keep_all=False)
    both = [str(folder / "a.png"), str(folder / "more" / "a.png")]
    with pytest.raises(UnusableArguments, match="would both be written"):
        find_pictures(both, tmp_path / "out", keep_all=False)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UnusableArguments, match="found none"):
        find_pictures([str(empty)], tmp_path, keep_all=False)
    out = folder / "out"
    shutil.copytree(folder / "more", out)
    assert list(find_pictures([str(folder)], out, keep_all=False).values()) == [
        str(folder / "a.png"),
        str(folder / "more" / "a.png"),
        str(folder / "more" / "b.gif"),
    ]
    url = "https://example.org/x/..%2f..%2fart.png?y"
    (target,) = find_pictures([url], tmp_path, keep_all=False)
    assert target == tmp_path / "art.png"


@pytest.mark.parametrize(
    ("target", "suffix", "named"),
    [
        ("a.jpeg", ".jpg", "a.jpeg"),
        ("a.JPG", ".jpg", "a.JPG"),
        ("a.gif", ".png", "a.gif.png"),
        ("a", ".png", "a.png"),
    ],
)
def test_submit_names_result_by_format(target: str, suffix: str, named: str) -> None:
    assert named_by_format(Path(target), suffix) == Path(named)


def test_submit_refuses_a_result_that_would_replace_an_input(tmp_path: Path) -> None:
    for name in ("a.gif", "a.gif.png"):
        (tmp_path / name).write_bytes(b"picture")
    with pytest.raises(UnusableArguments, match="might both be written"):
        find_pictures([str(tmp_path)], tmp_path / "out", keep_all=False)


def test_submit_key_depends_on_content_and_options(tmp_path: Path) -> None:
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    first.write_bytes(b"a")
    second.write_bytes(b"a")
    assert submission_digest(str(first), {}) == submission_digest(str(second), {})
    digests = {
        submission_digest(str(first), {}),
        submission_digest(str(first), {"seed": 1}),
        submission_digest(str(first), {"seed": 2}),
        submission_digest(str(first), {"nightshade_target": "city"}),
        submission_digest(str(first), {"nightshade_target": second}),
        submission_digest("https://example.org/a.png", {}),
    }
    second.write_bytes(b"b")
    digests.add(submission_digest(str(first), {"nightshade_target": second}))
    digests.add(submission_digest(str(second), {}))
    assert len(digests) == 8
