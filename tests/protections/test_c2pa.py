"""The signed file is Valid to c2pa's own reader, and Invalid after one changed byte."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from artscraper_runner import ProtectionOptions, StageFailed, protect_picture
from artscraper_runner.errors import SigningFailed
from artscraper_runner.protection_pipeline import WorkflowConfig
from artscraper_runner.protections import c2pa as stage
from artscraper_runner.provenance.credentials import CA_FILE
from artscraper_runner.provenance.xmp import PROHIBITED
from artscraper_runner.types import Json, SigningSettings

from ..watermarks.pictures import painting

c2pa = pytest.importorskip("c2pa", reason="needs the extra c2pa")
SUFFIXES = ["jpg", "png", "webp", "tif"]


def signed(tmp_path: Path, suffix: str, *, before: tuple[str, ...] = ()) -> list[Json]:
    source = tmp_path / f"a.{suffix}"
    Image.fromarray(painting(300, 400)).save(source)
    config = WorkflowConfig(
        (*before, "c2pa"), ProtectionOptions(), signing=SigningSettings(tmp_path / "keys")
    )
    summary = protect_picture(source, tmp_path / "out", config=config, include_hash_analysis=False)
    layers: list[Json] = summary["layers"]
    return layers


def reader(path: Path, authority: bytes | None = None) -> Any:
    trust = {"trust_anchors": authority.decode()} if authority else {}
    settings: Json = {"verify": {"verify_trust": True}, "trust": trust}
    return c2pa.Reader(path, context=c2pa.Context(c2pa.Settings().update(settings)))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_saved_file_is_valid_and_reserves_all_four_uses(tmp_path: Path, suffix: str) -> None:
    layer = signed(tmp_path, suffix)[-1]
    assert layer["applied"]
    assert layer["metrics"]["signed"]
    path = Path(layer["path"])
    assert reader(path).get_validation_state() == "Valid"
    trusted = reader(path, (tmp_path / "keys" / CA_FILE).read_bytes())
    assert trusted.get_validation_state() == "Trusted"
    manifest = trusted.get_active_manifest()
    entries = next(
        row["data"]["entries"]
        for row in manifest["assertions"]
        if row["label"] == "cawg.training-mining"
    )
    assert {use: entry["use"] for use, entry in entries.items()} == dict.fromkeys(
        layer["metrics"]["not_allowed"], "notAllowed"
    )
    assert len(entries) == 4
    assert "thumbnail" not in json.dumps(manifest)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_changed_byte_makes_it_invalid(tmp_path: Path, suffix: str) -> None:
    path = Path(signed(tmp_path, suffix)[-1]["path"])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert reader(path).get_validation_state() == "Invalid"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_statement_is_in_the_xmp_and_little_is_added(tmp_path: Path, suffix: str) -> None:
    layers = signed(tmp_path, suffix, before=("fourier-ring",))
    path = Path(layers[-1]["path"])
    assert PROHIBITED.encode() in path.read_bytes()
    assert path.stat().st_size - Path(layers[-2]["path"]).stat().st_size < 10_000
    with Image.open(path) as image:
        if suffix == "tif":
            xmp = image.tag_v2[700]  # type: ignore[attr-defined]
        else:
            xmp = image.info["XML:com.adobe.xmp" if suffix == "png" else "xmp"]
    assert PROHIBITED in (xmp.decode() if isinstance(xmp, bytes) else xmp)


def test_a_format_without_manifests_is_passed_through(tmp_path: Path) -> None:
    layer = signed(tmp_path, "bmp")[-1]
    assert not layer["applied"]
    assert "this is bmp" in layer["reason"]


def test_without_a_certificate_it_is_passed_through(tmp_path: Path) -> None:
    Image.fromarray(painting(50, 50)).save(tmp_path / "a.png")
    config = WorkflowConfig(("c2pa",))
    layers = protect_picture(tmp_path / "a.png", tmp_path / "out", config=config)["layers"]
    assert (layers[1]["applied"], layers[1]["reason"]) == (
        False,
        "no signing certificate is set up",
    )


def test_a_failed_signature_fails_the_stage_and_leaves_no_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise SigningFailed("refused")

    monkeypatch.setattr(stage, "sign_file", refuse)
    with pytest.raises(StageFailed, match="c2pa failed: refused"):
        signed(tmp_path, "png")
    assert not list((tmp_path / "out" / "layers" / "01-c2pa").iterdir())
