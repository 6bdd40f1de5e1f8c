"""The stage marks the picture, says in its layer what it wrote, and is read from the saved file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from artscraper_runner import ProtectionOptions, protect_picture, read_watermark
from artscraper_runner.attacks.presets import STRENGTHS
from artscraper_runner.protection_pipeline import WorkflowConfig
from artscraper_runner.stages import invisible_watermark
from artscraper_runner.types import Json
from artscraper_runner.watermarks import dwt_dct_svd
from artscraper_runner.watermarks.tiled_spread_spectrum import embed
from benchmarks.files.format_files import ADOBE_RGB

from ..watermarks.pictures import painting


def protected(tmp_path: Path, image: Image.Image, name: str, **options: Any) -> Json:
    source = tmp_path / name
    image.save(source)
    layer: Json = summary_of(source, **options)["layers"][1]
    return layer


def summary_of(source: Path, **options: Any) -> Json:
    config = WorkflowConfig(("invisible-watermark",), ProtectionOptions(**options))
    return protect_picture(
        source, source.parent / "out", config=config, include_hash_analysis=False
    )


def opened(layer: Json) -> np.ndarray:
    return np.asarray(Image.open(layer["path"]).convert("RGB"))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_saved_file_carries_the_drawn_number(tmp_path: Path, suffix: str) -> None:
    layer = protected(tmp_path, Image.fromarray(painting(400, 500)), f"a.{suffix}")
    metrics = layer["metrics"]
    assert layer["applied"]
    assert metrics["method"] == "tiled"
    assert len(bytes.fromhex(metrics["payload"])) == 8
    assert (metrics["text"], metrics["bit_accuracy"], metrics["decoded"]) == (None, 1.0, True)
    read = read_watermark(opened(layer))
    assert (read.payload, read.confidence) == (metrics["payload"], metrics["confidence"])


def test_every_picture_has_its_own_number(tmp_path: Path) -> None:
    image = Image.fromarray(painting(300, 300))
    layers = [protected(tmp_path, image, "a.png") for _ in range(2)]
    assert layers[0]["metrics"]["payload"] != layers[1]["metrics"]["payload"]


def test_requested_number_and_text_are_embedded(tmp_path: Path) -> None:
    image = Image.fromarray(painting(280, 280))
    layer = protected(tmp_path, image, "a.png", watermark_payload="00112233445566ff")
    assert read_watermark(opened(layer)).payload == "00112233445566ff"
    layer = protected(tmp_path, image, "a.png", watermark_text="artist 7")
    assert layer["metrics"]["text"] == "artist 7"
    assert read_watermark(opened(layer)).text == "artist 7"


def test_upstream_method_embeds_unpadded_text(tmp_path: Path) -> None:
    image = Image.fromarray(painting(280, 280))
    layer = protected(
        tmp_path, image, "a.png", watermark_method="dwtDctSvd", watermark_text="artist 7"
    )
    assert layer["metrics"]["bit_accuracy"] == 1
    assert dwt_dct_svd.read(opened(layer), 8) == b"artist 7"


@pytest.mark.parametrize("method", ["tiled", "dwtDctSvd"])
def test_small_picture_is_skipped_with_the_minimum_size(tmp_path: Path, method: str) -> None:
    image = Image.fromarray(painting(200, 300))
    layer = protected(tmp_path, image, "a.png", watermark_method=method)
    assert not layer["applied"]
    assert layer["reason"] == "needs at least 256 px on the short side, the picture has 300x200"
    assert np.array_equal(opened(layer), np.asarray(image))


@pytest.mark.parametrize(
    ("colour", "method"),
    [
        *((colour, "tiled") for colour in ("white", "black", "grey", "lime", "magenta", "yellow")),
        *((colour, "dwtDctSvd") for colour in ("lime", "magenta", "yellow")),
    ],
)
def test_flat_picture_is_marked(tmp_path: Path, colour: str, method: str) -> None:
    image = Image.new("RGB", (300, 300), colour)
    layer = protected(tmp_path, image, "a.png", watermark_method=method)
    if method == "dwtDctSvd" and colour in ("white", "black", "grey"):
        assert not layer["applied"] and "grey" in layer["reason"]
        return
    assert layer["applied"]
    assert layer["metrics"]["bit_accuracy"] == 1


def test_transparent_picture_is_skipped(tmp_path: Path) -> None:
    layer = protected(tmp_path, Image.new("RGBA", (300, 300), (9, 9, 9, 0)), "a.png")
    assert (layer["applied"], layer["reason"]) == (False, "the picture is fully transparent")


@pytest.mark.parametrize("method", ["tiled", "dwtDctSvd"])
def test_mostly_transparent_picture_is_skipped(tmp_path: Path, method: str) -> None:
    pixels = np.dstack([painting(300, 300), np.zeros((300, 300), np.uint8)])
    pixels[:30, :30, 3] = 255
    layer = protected(tmp_path, Image.fromarray(pixels), "a.png", watermark_method=method)
    assert not layer["applied"]
    assert "cannot be read back" in layer["reason"]


def test_half_transparent_picture_is_marked_where_visible(tmp_path: Path) -> None:
    pixels = np.dstack([painting(512, 512), np.full((512, 512), 255, np.uint8)])
    pixels[:, 350:, 3] = 0
    layer = protected(tmp_path, Image.fromarray(pixels), "a.png")
    assert layer["metrics"]["decoded"]
    assert np.array_equal(opened(layer)[:, 350:], pixels[:, 350:, :3])


def test_grey_picture_stays_grey(tmp_path: Path) -> None:
    grey = np.repeat(painting(272, 320)[:, :, :1], 3, axis=2)
    layer = protected(tmp_path, Image.fromarray(grey), "a.png", strength="high")
    marked = opened(layer)
    assert layer["metrics"]["decoded"]
    assert np.array_equal(marked[:, :, 0], marked[:, :, 1])
    assert np.array_equal(marked[:, :, 1], marked[:, :, 2])


def test_dwt_dct_svd_skips_grey_pictures(tmp_path: Path) -> None:
    grey = np.repeat(painting(300, 300)[:, :, :1], 3, axis=2)
    layer = protected(tmp_path, Image.fromarray(grey), "a.png", watermark_method="dwtDctSvd")
    assert not layer["applied"]
    assert layer["reason"].startswith("the picture is grey")


def test_marked_picture_is_overwritten_and_reported(tmp_path: Path) -> None:
    marked = Image.fromarray(embed(painting(272, 320), bytes(range(8)), strength="medium"))
    layer = protected(tmp_path, marked, "a.png", watermark_payload="00112233445566ff")
    assert layer["metrics"]["overwritten"] == "0001020304050607"
    assert read_watermark(opened(layer)).payload == "00112233445566ff"


def test_earlier_mark_is_kept_on_request(tmp_path: Path) -> None:
    marked = Image.fromarray(embed(painting(272, 320), bytes(range(8)), strength="medium"))
    layer = protected(tmp_path, marked, "a.png", keep_watermark=True)
    assert not layer["applied"]
    assert "already carries the watermark 0001020304050607" in layer["reason"]
    assert read_watermark(opened(layer)).payload == "0001020304050607"


@pytest.mark.parametrize("kind", ["as it was", "cropped", "dwtDctSvd"])
@pytest.mark.parametrize(("keep", "action"), [(False, "changed"), (True, "kept")])
def test_earlier_mark_is_noted(tmp_path: Path, kind: str, *, keep: bool, action: str) -> None:
    source = tmp_path / "a.png"
    if kind == "dwtDctSvd":
        marked = dwt_dct_svd.embed(painting(272, 320), bytes(range(8)))
    else:
        marked = embed(painting(340, 400), bytes(range(8)), strength="high")
    if kind == "cropped":
        marked = marked[40:310, 50:360]
    Image.fromarray(marked).save(source)
    options = {"keep_watermark": keep, "watermark_payload": "fe82ee719123c589"}
    (note,) = summary_of(source, **options)["notes"]
    assert (note["subject"], note["action"]) == ("watermark", action)
    assert "0001020304050607" in note["detail"]


def test_mark_that_fails_over_a_stronger_one_leaves_it(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    marked = embed(painting(340, 400), bytes(range(8)), strength="high")
    Image.fromarray(embed(marked, bytes(range(8)), strength="high")).save(source)
    summary = summary_of(source, watermark_payload="5f82c2d9cfeb0fa3")
    (note,) = summary["notes"]
    layer = summary["layers"][1]
    assert not layer["applied"]
    assert layer["reason"].endswith("; the earlier watermark 0001020304050607 stays")
    assert (note["subject"], note["action"]) == ("watermark", "kept")
    assert read_watermark(opened(layer)).payload == "0001020304050607"


HALF, CROPPED = (170, 200), (306, 360)


@pytest.mark.parametrize(
    ("strength", "unread", "bound"),
    [
        ("low", {}, 1.0),
        ("low", {HALF: 1}, 1.15),
        ("medium", {}, 0.96),
        ("medium", {HALF: 1}, 1.0),
        ("medium", {HALF: 1, CROPPED: 2}, 1.3),
        ("medium", {HALF: 1, CROPPED: 9}, 1.0),
        ("medium", {HALF: 9}, 1.3),
    ],
)
def test_mark_shows_no_more_than_its_copies_are_worth(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    strength: str,
    unread: dict[tuple[int, int], int],
    bound: float,
) -> None:
    """`unread`: how often a copy of that size is not read, from the smallest bound on."""
    seen: list[tuple[int, ...]] = []

    def is_read(_name: str, copy: np.ndarray, _payload: bytes) -> bool:
        seen.append(copy.shape[:2])
        return seen.count(copy.shape[:2]) > unread.get(copy.shape[:2], 0)

    monkeypatch.setattr(invisible_watermark, "_is_read", is_read)
    source = tmp_path / "a.png"
    Image.fromarray(painting(340, 400)).save(source)
    layer = summary_of(source, strength=strength)["layers"][1]
    assert layer["applied"]
    of_strength = STRENGTHS[strength].visibility
    assert layer["metrics"]["visibility_bound"] == pytest.approx(bound * of_strength, abs=0.006)
    assert (CROPPED in seen) == (strength == "medium" and unread.get(HALF) != 9)


@pytest.mark.parametrize("size", [272, 512])
def test_mark_is_written_only_where_the_file_keeps_it(tmp_path: Path, size: int) -> None:
    source = tmp_path / "a.jpg"
    Image.fromarray(painting(size, size)).save(source, quality=75)
    summary = summary_of(source, strength="low", watermark_payload="05" * 8)
    layer = summary["layers"][1]
    assert layer["applied"] == (size == 512)
    assert layer["applied"] or layer["reason"].startswith("the mark cannot be read back")
    assert layer["metrics"].get("decoded", False) == layer["applied"]


def test_each_check_reads_the_layer_as_it_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[np.ndarray] = []

    def holds(marked: np.ndarray, *_: object) -> bool:
        checked.append(marked)
        return True

    monkeypatch.setattr(invisible_watermark, "_holds", holds)
    monkeypatch.setattr(invisible_watermark, "_is_read", lambda *_: False)  # from no copy
    source = tmp_path / "a.jpg"
    squares = np.random.default_rng(4).integers(0, 256, (100, 100, 3), np.uint8)
    blocks = squares.repeat(3, axis=0).repeat(3, axis=1)  # a JPEG of these needs corrections
    Image.fromarray(blocks).save(source, quality=75, icc_profile=ADOBE_RGB)
    layer = summary_of(source)["layers"][1]
    assert layer["applied"]
    luma = np.asarray(Image.open(layer["path"]).convert("RGB").convert("L"))
    assert np.array_equal(checked[-1][..., 0], luma)


def test_strength_bounds_the_change(tmp_path: Path) -> None:
    for strength, most in (("low", 4), ("medium", 6), ("high", 10)):
        picture = painting(272, 320)
        layer = protected(tmp_path, Image.fromarray(picture), "a.png", strength=strength)
        assert layer["metrics"]["decoded"]
        assert np.abs(opened(layer).astype(int) - picture).max() <= most


def test_mark_in_texture_may_exceed_the_bound(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 30, (512, 512, 3))
    texture = (128 + noise).clip(0, 255).astype(np.uint8)
    layer = protected(tmp_path, Image.fromarray(texture), "a.png")
    metrics = layer["metrics"]
    assert layer["applied"]
    assert metrics["decoded"]
    assert metrics["visibility"] <= 1.1 * metrics["visibility_bound"]
    assert metrics["visibility_bound"] <= 1.3 * STRENGTHS["medium"].visibility + 1e-3
