"""The stages that run only when requested for, and the watermark under all of them."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artscraper_runner import (
    ProtectionOptions,
    chosen_stages,
    default_stages,
    protect_picture,
    read_watermark,
)
from artscraper_runner.pipeline.credits import project_rows
from artscraper_runner.protection_pipeline import WorkflowConfig
from artscraper_runner.stages.fourier_ring import FourierRing
from artscraper_runner.types import Json
from artscraper_runner.watermarks import fourier_ring, lsb_text

from ..watermarks.pictures import painting


def layers_of(tmp_path: Path, image: Image.Image, name: str, *stages: str) -> list[Json]:
    source = tmp_path / name
    image.save(source)
    options = ProtectionOptions(watermark_text="artist 7")
    config = WorkflowConfig(stages, options)
    summary = protect_picture(source, tmp_path / "out", config=config, include_hash_analysis=False)
    layers: list[Json] = summary["layers"]
    return layers


def opened(layer: Json) -> np.ndarray:
    return np.asarray(Image.open(layer["path"]).convert("RGB"))


def test_optional_stages_do_not_run_by_default() -> None:
    assert not {"stegano-embed", "fourier-ring", "c2pa"} & set(default_stages())
    assert "invisible-watermark" in default_stages()


MARKS = ("invisible-watermark", "fourier-ring", "stegano-embed")


@pytest.mark.parametrize("order", sorted({chosen_stages(order) for order in permutations(MARKS)}))
def test_watermark_is_read_in_any_stage_order(tmp_path: Path, order: tuple[str, ...]) -> None:
    """Six orders may be requested; the hidden text comes last, so two are run."""
    layers = layers_of(tmp_path, Image.fromarray(painting(300, 320)), "a.png", *order)
    assert all(layer["applied"] for layer in layers)
    assert read_watermark(opened(layers[-1])).text == "artist 7"
    assert fourier_ring.detect(opened(layers[-1])).is_marked


def test_hidden_text_is_in_the_saved_file(tmp_path: Path) -> None:
    layer = layers_of(tmp_path, Image.fromarray(painting(60, 60)), "a.png", "stegano-embed")[1]
    assert layer["metrics"]["decoded"]
    assert layer["metrics"]["linf"] <= 1
    assert lsb_text.holds(opened(layer), "artist 7")


def test_stages_of_a_run_embed_the_same_number(tmp_path: Path) -> None:
    Image.fromarray(painting(300, 300)).save(tmp_path / "a.png")
    config = WorkflowConfig(("invisible-watermark", "stegano-embed"))
    layers = protect_picture(tmp_path / "a.png", tmp_path / "out", config=config)["layers"]
    number = layers[1]["metrics"]["payload"]
    assert layers[2]["metrics"]["text"] == number
    assert read_watermark(opened(layers[2])).payload == number


def test_hidden_text_needs_a_lossless_file(tmp_path: Path) -> None:
    layer = layers_of(tmp_path, Image.fromarray(painting(60, 60)), "a.jpg", "stegano-embed")[1]
    assert not layer["applied"]
    assert layer["reason"] == "the layer is saved as JPEG, which would destroy the text"


def test_hidden_text_needs_visible_pixels_and_room(tmp_path: Path) -> None:
    pixels = np.dstack([painting(60, 60), np.full((60, 60), 255, np.uint8)])
    pixels[0, 3, 3] = 0
    layer = layers_of(tmp_path, Image.fromarray(pixels), "a.png", "stegano-embed")[1]
    assert layer["reason"] == "the first pixels are transparent"
    layer = layers_of(tmp_path, Image.fromarray(painting(2, 2)), "a.png", "stegano-embed")[1]
    assert not layer["applied"]
    assert "expected a payload" in layer["reason"]


def test_fourier_ring_reports_its_confidence(tmp_path: Path) -> None:
    layer = layers_of(tmp_path, Image.fromarray(painting(300, 400)), "a.jpg", "fourier-ring")[1]
    assert layer["metrics"]["detected"]
    assert layer["metrics"]["p_value"] < 0.001
    layer = layers_of(tmp_path, Image.fromarray(painting(100, 400)), "a.jpg", "fourier-ring")[1]
    assert layer["reason"] == "needs at least 256 px a side, the picture has 400x100"


@pytest.mark.parametrize("keep", [False, True])
def test_earlier_rings_are_noted_and_kept_on_request(tmp_path: Path, *, keep: bool) -> None:
    Image.fromarray(fourier_ring.embed(painting(300, 400))).save(tmp_path / "a.png")
    config = WorkflowConfig(("fourier-ring",), ProtectionOptions(keep_watermark=keep))
    summary = protect_picture(
        tmp_path / "a.png", tmp_path / "out", config=config, include_hash_analysis=False
    )
    assert summary["layers"][1]["applied"] is not keep
    (note,) = [note for note in summary["notes"] if note["subject"] == "watermark"]
    assert note["action"] == "kept" and "rings" in note["detail"]


@pytest.mark.parametrize("orientation", [1, 6])
def test_lost_text_in_lowest_bits_is_noted(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    marked = lsb_text.embed(painting(300, 400), "artist 7")
    Image.fromarray(marked).save(tmp_path / "a.png", exif=exif)
    config = WorkflowConfig(("fourier-ring",))
    summary = protect_picture(
        tmp_path / "a.png", tmp_path / "out", config=config, include_hash_analysis=False
    )
    (note,) = [note for note in summary["notes"] if note["subject"] == "watermark"]
    assert note["action"] == "dropped" and "lowest bits" in note["detail"]


def hidden(pixels: np.ndarray, rows: slice) -> Image.Image:
    alpha = np.zeros(pixels.shape[:2], np.uint8)
    alpha[rows, :40] = 255
    return Image.fromarray(np.dstack([pixels, alpha]))


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (300, 300), "grey"),
        Image.new("RGB", (300, 300), "black"),
        hidden(painting(300, 300), slice(0)),
        hidden(painting(300, 300), slice(40)),
    ],
    ids=["grey", "black", "transparent", "mostly transparent"],
)
def test_unreadable_ring_is_not_applied(tmp_path: Path, image: Image.Image) -> None:
    layer = layers_of(tmp_path, image, "a.png", "fourier-ring")[1]
    assert not layer["applied"]
    assert layer["reason"].startswith("the rings cannot be detected")
    assert np.array_equal(opened(layer), np.asarray(image.convert("RGB")))


def test_file_stages_run_last_in_any_order() -> None:
    requested = ("c2pa", "fourier-ring", "stegano-embed", "invisible-watermark")
    run = ("fourier-ring", "invisible-watermark", "stegano-embed", "c2pa")
    assert chosen_stages(requested) == run
    assert chosen_stages((*requested, *requested)) == run
    assert chosen_stages(("mist", "photoguard")) == ("mist", "photoguard")


def test_layers_are_numbered_in_execution_order(
    tmp_path: Path,
) -> None:
    layers = layers_of(
        tmp_path,
        Image.fromarray(painting(300, 400)),
        "a.png",
        *("stegano-embed", "invisible-watermark", "fourier-ring"),
    )
    names = ["invisible-watermark", "fourier-ring", "stegano-embed"]
    assert [layer["stage"] for layer in layers[1:]] == names
    folders = [Path(layer["path"]).parent.name for layer in layers[1:]]
    assert folders == [f"{place:02d}-{name}" for place, name in enumerate(names, start=1)]
    final = {layer["stage"]: layer["metrics"]["final"] for layer in layers[1:]}
    last = opened(layers[-1])
    assert lsb_text.holds(last, "artist 7") and final["stegano-embed"] == {"decoded": True}
    assert read_watermark(last).text == "artist 7"
    assert final["invisible-watermark"]["decoded"]
    assert final["invisible-watermark"]["confidence"] == read_watermark(last).confidence
    assert final["fourier-ring"]["detected"]
    assert final["fourier-ring"]["score"] == round(fourier_ring.detect(last).score, 2)


def test_final_metrics_are_of_the_last_file(tmp_path: Path) -> None:
    def spoilt(pixels: np.ndarray) -> np.ndarray:
        return np.full_like(pixels, 128)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fourier_ring, "embed", spoilt)
        patch.setattr(FourierRing, "_is_detected", lambda *arguments: True)
        layers = layers_of(
            tmp_path,
            Image.fromarray(painting(300, 400)),
            "a.png",
            *("invisible-watermark", "fourier-ring"),
        )
    assert layers[1]["metrics"]["decoded"]
    assert not layers[1]["metrics"]["final"]["decoded"]
    assert not layers[2]["metrics"]["final"]["detected"]


def test_credits_explain_why_tree_ring_is_not_applied() -> None:
    (row,) = (row for row in project_rows([], None) if row["name"] == "Tree-Ring")
    assert not row["applied"]
    assert "cannot be applied to a picture that exists" in row["notes"]
