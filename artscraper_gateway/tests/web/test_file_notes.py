"""Notes on the parts of a file, as sentences in the reader's language."""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from playwright.sync_api import expect

import artscraper_runner
from artscraper_gateway.tests.gateway_process import GatewayProcess
from artscraper_gateway.tests.web.page_object import PageObject, picture_bytes

RUNNER = Path(artscraper_runner.__file__).parent
STRINGS = Path(__file__).parents[2] / "web" / "strings"
SOURCES = [*(RUNNER / "imaging").rglob("*.py"), RUNNER / "analysis" / "inventory.py"]
# What they return becomes a note, or the reason in one.
TEXT_FUNCTIONS = (
    "_how_coded",
    "why_xmp_is_left_out",
    "_why_unfit",
    "_usable",
    "_inflated",
    "_usable_transparency",
)
Function = ast.FunctionDef
Job = Callable[[bytes], str]


def sentences(tree: ast.Module) -> Iterator[str]:
    """Yield the texts that a module gives to notes, as templates with {} for what is filled in."""
    for function in (node for node in ast.walk(tree) if isinstance(node, Function)):
        if function.name in TEXT_FUNCTIONS:
            for node in ast.walk(function):
                if isinstance(node, ast.Return) and node.value is not None:
                    yield from texts(node.value, function, tree)
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            name = getattr(call.func, "id", "")
            if name == "Note":
                yield from texts(call.args[2], function, tree)
            elif ast.unparse(call.func) in ("Note.kept", "Note.changed", "Note.dropped"):
                yield from texts(call.args[1], function, tree)
            elif name == "_ignored":
                yield from texts(call.args[0], function, tree)


def texts(value: ast.expr, function: Function, tree: ast.Module) -> Iterator[str]:
    """Yield what an expression can be, as far as it is written in its function or module."""
    match value:
        case ast.Constant(value=str(text)):
            yield from [text] if text else []
        case ast.Tuple(elts=[_, text]):
            yield from texts(text, function, tree)
        case ast.JoinedStr(values=parts):
            yield "".join(p.value if isinstance(p, ast.Constant) else "{}" for p in parts)
        case ast.IfExp(body=first, orelse=second):
            yield from texts(first, function, tree)
            yield from texts(second, function, tree)
        case (
            ast.Subscript(value=ast.Name(id=name))
            | ast.Name(id=name)
            | ast.Call(func=ast.Attribute(value=ast.Name(id=name)))
        ):
            if isinstance(value, ast.Call):
                yield from texts(value.args[-1], function, tree)
            for node in (*ast.walk(function), *tree.body):
                if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
                    found = node.value
                    parts = found.values if isinstance(found, ast.Dict) else [found]
                    for part in parts:
                        yield from texts(part, function, tree)


@pytest.mark.parametrize("language", sorted({path.stem for path in STRINGS.iterdir()} - {"en"}))
def test_notes_are_translated(language: str) -> None:
    table = json.loads((STRINGS / f"{language}.json").read_text("utf-8"))["notes"]
    known = [re.sub(r"\\{\w+\\}", ".+", re.escape(source)) for source in table]
    written = [text for path in SOURCES for text in sentences(ast.parse(path.read_text("utf-8")))]
    assert len(set(written)) > 40, "the notes are written in another way now"
    missing = [text for text in written if not any(re.fullmatch(each, text) for each in known)]
    assert not missing
    for source, target in table.items():
        names = [set(re.findall(r"\{(\w+)\}", text)) for text in (source, target)]
        assert names[0] == names[1], source


@pytest.fixture
def finished(shared_gateway: GatewayProcess) -> Job:
    """Return the id of a finished job of a picture, with a mark."""

    def finished(content: bytes) -> str:
        options = {"stages": "invisible-watermark", "include_hash_analysis": "false"}
        with shared_gateway.client(headers={"Prefer": "wait=120"}) as client:
            answer = client.post("/v1/jobs", files={"file": ("a", content)}, data=options)
        job: dict[str, str] = answer.raise_for_status().json()
        return job["job_id"]

    return finished


def animated() -> bytes:
    frames = io.BytesIO()
    with Image.open(io.BytesIO(picture_bytes(320, 300))) as first:
        first.save(frames, "GIF", save_all=True, append_images=[first.rotate(180)])
    return frames.getvalue()


def test_notes_are_shown_as_sentences(
    open_page: Callable[..., PageObject], shared_gateway: GatewayProcess, finished: Job
) -> None:
    job_id = finished(animated())
    app = open_page(shared_gateway.base_url, f"/#/jobs/{job_id}")
    app.wait_for_result()
    app.open_details()
    answer = app.page.request.get(f"{app.base_url}/v1/jobs/{job_id}/result")
    notes = [note["detail"] for note in answer.json()["summary"]["notes"]]
    assert "The first of 2 frames is used; the others are left out." in notes
    expect(app.page.locator(".file-notes li bdi")).to_have_text(notes)
    again = finished(app.page.request.get(f"{app.base_url}/v1/jobs/{job_id}/layers/final").body())
    app.open(f"/#/jobs/{again}")
    app.open_details()
    expect(app.page.locator(".file-notes")).to_contain_text("which the new one replaces or damages")


def test_notes_follow_page_language(
    open_page: Callable[..., PageObject], shared_gateway: GatewayProcess, finished: Job
) -> None:
    app = open_page(shared_gateway.base_url, f"/#/jobs/{finished(animated())}", locale="de-DE")
    app.wait_for_result()
    app.open_details()
    notes = app.page.locator(".file-notes")
    expect(notes).to_contain_text("Das erste von 2 Einzelbildern wird verwendet")
    expect(notes.locator("[lang=en]")).to_have_count(0)


def test_notes_escape_names(
    open_page: Callable[..., PageObject], shared_gateway: GatewayProcess, finished: Job
) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("<img src=x onerror=alert(1)>{n} 50%", "x")
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(picture_bytes(320, 300))) as picture:
        picture.save(buffer, "PNG", pnginfo=text)
    app = open_page(shared_gateway.base_url, f"/#/jobs/{finished(buffer.getvalue())}")
    app.wait_for_result()
    app.open_details()
    notes = app.page.locator(".file-notes")
    expect(notes).to_contain_text("<img src=x onerror=alert(1)>{n} 50%")
    expect(notes.locator("img")).to_have_count(0)
    shown = app.page.evaluate(
        """async () => {
          const { fileNotes } = await import("./static/file_notes.js");
          const detail = "Text: a\\u202eb\\nc.";
          const section = fileNotes([{ subject: "text", action: "kept", detail }]);
          while (!section.querySelector("bdi")) await new Promise((done) => setTimeout(done));
          return section.querySelector("bdi").textContent;
        }"""
    )
    assert shown == "Text: abc."
