"""The signed file is Valid to c2pa's own reader, and Invalid after one changed byte."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from artscraper_runner import ProtectionOptions, RightsStatement, StageFailed, protect_picture
from artscraper_runner.errors import InvalidOption, SigningFailed
from artscraper_runner.imaging.xmp import PROHIBITED
from artscraper_runner.options import SigningSettings
from artscraper_runner.protection_pipeline import WorkflowConfig
from artscraper_runner.provenance import certificates, credentials, manifest
from artscraper_runner.provenance.private_ca import CA_FILE
from artscraper_runner.stages import c2pa as stage
from artscraper_runner.types import Json

from ..watermarks.pictures import painting

c2pa = pytest.importorskip("c2pa", reason="needs the extra c2pa")

from cryptography.hazmat.primitives import serialization as forms  # noqa: E402

from ..provenance.certificates import AUTHORITY, KEY, LEAF, OTHER_KEY, key_pem, own_pair  # noqa: E402

SUFFIXES = ["jpg", "png", "webp", "tif", "avif"]


def signed(tmp_path: Path, suffix: str, *, before: tuple[str, ...] = ()) -> list[Json]:
    source = tmp_path / f"a.{suffix}"
    Image.fromarray(painting(270, 280)).save(source)
    config = WorkflowConfig(
        (*before, "c2pa"), ProtectionOptions(), signing=SigningSettings(tmp_path / "keys")
    )
    summary = protect_picture(source, tmp_path / "out", config=config, include_hash_analysis=False)
    layers: list[Json] = summary["layers"]
    return layers


def signed_by(tmp_path: Path, chain: bytes, key: bytes) -> Json:
    Image.fromarray(painting(40, 50)).save(tmp_path / "a.png")
    config = WorkflowConfig(("c2pa",), signing=own_pair(tmp_path, chain, key))
    summary = protect_picture(tmp_path / "a.png", tmp_path / "out", config=config)
    layer: Json = summary["layers"][1]
    return layer


def reader(path: Path, authority: bytes | None = None) -> Any:
    trust = {"trust_anchors": authority.decode()} if authority else {}
    settings: Json = {"verify": {"verify_trust": True}, "trust": trust}
    return c2pa.Reader(path, context=c2pa.Context(c2pa.Settings().update(settings)))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_manifest_is_valid_and_reserves_all_four_uses(tmp_path: Path, suffix: str) -> None:
    layer = signed(tmp_path, suffix)[-1]
    assert layer["applied"]
    assert layer["metrics"]["signed"]
    assert layer["metrics"]["validation_state"] == "Valid"
    path = Path(layer["path"])
    assert reader(path).get_validation_state() == "Valid"
    trusted = reader(path, (tmp_path / "keys" / CA_FILE).read_bytes())
    assert trusted.get_validation_state() == "Trusted"
    entries = training_mining(path)
    assert {use: entry["use"] for use, entry in entries.items()} == dict.fromkeys(
        layer["metrics"]["not_allowed"], "notAllowed"
    )
    assert len(entries) == 4
    assert "thumbnail" not in json.dumps(trusted.get_active_manifest())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_changed_byte_invalidates_the_manifest(tmp_path: Path, suffix: str) -> None:
    path = Path(signed(tmp_path, suffix)[-1]["path"])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert reader(path).get_validation_state() == "Invalid"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_statement_is_in_xmp_and_file_grows_little(tmp_path: Path, suffix: str) -> None:
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


def test_format_without_manifests_is_skipped(tmp_path: Path) -> None:
    layer = signed(tmp_path, "bmp")[-1]
    assert not layer["applied"]
    assert "this is bmp" in layer["reason"]


def test_missing_certificate_skips_the_stage(tmp_path: Path) -> None:
    Image.fromarray(painting(50, 50)).save(tmp_path / "a.png")
    config = WorkflowConfig(("c2pa",))
    layers = protect_picture(tmp_path / "a.png", tmp_path / "out", config=config)["layers"]
    assert (layers[1]["applied"], layers[1]["reason"]) == (
        False,
        "no signing certificate is set up",
    )


def test_failed_signature_fails_the_stage_without_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise SigningFailed("refused")

    monkeypatch.setattr(stage, "sign_file", refuse)
    with pytest.raises(StageFailed, match="c2pa failed: refused"):
        signed(tmp_path, "png")
    assert not list((tmp_path / "out" / "layers" / "01-c2pa").iterdir())


@pytest.mark.parametrize(
    "chain",
    [
        LEAF.pem() + AUTHORITY.pem() + key_pem(),
        LEAF.pem() + key_pem() + AUTHORITY.pem(),
        key_pem() + LEAF.pem(),
        LEAF.pem() + key_pem(form=forms.PrivateFormat.TraditionalOpenSSL) + AUTHORITY.pem(),
    ],
)
def test_private_key_is_never_written(tmp_path: Path, chain: bytes) -> None:
    layer = signed_by(tmp_path, chain, chain)
    assert layer["metrics"]["validation_state"] == "Valid"
    number = KEY.private_numbers().private_value.to_bytes(32, "big")
    body = b"".join(key_pem().splitlines()[1:-1])
    for path in (tmp_path / "out").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert number not in content and body[-40:] not in content
        assert b"PRIVATE KEY" not in content
    with_key = number in forms.load_pem_private_key(key_pem(), None).private_bytes(
        forms.Encoding.DER, forms.PrivateFormat.PKCS8, forms.NoEncryption()
    )
    assert with_key, "the number that is looked for stands in a key's bytes"


@pytest.mark.parametrize(
    ("chain", "key", "reason"),
    [
        (LEAF.but(begins=-9, ends=-1).pem(), key_pem(), "not now"),
        (LEAF.pem(), key_pem(OTHER_KEY), "does not belong"),
        (LEAF.but(names_issuer_key=False).pem(), key_pem(), "authority key identifier"),
        (b"", key_pem(), "PEM file with a certificate"),
    ],
)
def test_unusable_certificate_skips_with_a_reason(
    tmp_path: Path, chain: bytes, key: bytes, reason: str
) -> None:
    layer = signed_by(tmp_path, chain, key)
    assert not layer["applied"]
    assert reason in layer["reason"]
    assert b"jumb" not in Path(layer["path"]).read_bytes()


def test_certificate_refused_by_the_library_skips_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "check_chain", lambda chain: None)
    layer = signed_by(tmp_path, LEAF.but(has_key_usage=False).pem(), key_pem())
    assert not layer["applied"]
    assert "C2PA rejects this certificate" in layer["reason"]


def test_invalid_signed_file_fails_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(source: Path, target: Path, *arguments: Any, **options: Any) -> None:
        sign(source, target, *arguments, **options)
        content = bytearray(target.read_bytes())
        content[len(content) // 2] ^= 1
        target.write_bytes(content)

    sign = manifest.sign_file
    monkeypatch.setattr(stage, "sign_file", spoil)
    with pytest.raises(StageFailed, match="reads as Invalid"):
        signed(tmp_path, "png")


@pytest.mark.parametrize(
    ("padding", "content", "reason"),
    [
        (60_000, 0, None),
        (0, 60_000, None),
        (0, 65_300, "the XMP packet would have 65"),
    ],
)
def test_jpeg_without_room_for_the_statement_is_skipped(
    tmp_path: Path, padding: int, content: int, reason: str | None
) -> None:
    xmp = (
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description a="'
        + b"a" * content
        + b'"/></rdf:RDF>'
        + b" " * padding
    )
    Image.fromarray(painting(40, 50)).save(tmp_path / "a.jpg", xmp=xmp)
    config = WorkflowConfig(("c2pa",), signing=SigningSettings(tmp_path / "keys"))
    layer = protect_picture(tmp_path / "a.jpg", tmp_path / "out", config=config)["layers"][1]
    assert layer["applied"] == (reason is None)
    assert reason is None or reason in layer["reason"]
    with Image.open(layer["path"]) as image:
        assert (PROHIBITED.encode() in image.info["xmp"]) == (reason is None)
        assert b"a" * content in image.info["xmp"]


def test_c2pa_signs_the_last_layer_in_any_order(tmp_path: Path) -> None:
    Image.fromarray(painting(270, 280)).save(tmp_path / "a.png")
    config = WorkflowConfig(
        ("c2pa", "stegano-embed", "fourier-ring"), signing=SigningSettings(tmp_path / "keys")
    )
    layers = protect_picture(tmp_path / "a.png", tmp_path / "out", config=config)["layers"]
    names = ["original", "fourier-ring", "stegano-embed", "c2pa"]
    assert [layer["stage"] for layer in layers] == names
    assert reader(Path(layers[-1]["path"])).get_validation_state() == "Valid"
    assert layers[2]["metrics"]["final"] == {"decoded": True}


@pytest.mark.parametrize("package", ["c2pa", "cryptography"])
def test_missing_package_fails_with_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(StageFailed, match=r"pip install 'artscraper-gateway\[c2pa\]'"):
        signed(tmp_path, "png")


def signed_upload(tmp_path: Path, suffix: str, *, extra: Json | None = None) -> Path:
    """Sign a picture; with `extra` as another program would, with settings and assertions."""
    layer = Path(signed(tmp_path, suffix)[-1]["path"])
    upload = tmp_path / f"upload.{suffix}"
    if extra is None:
        upload.write_bytes(layer.read_bytes())
        return upload
    plain = tmp_path / f"plain.{suffix}"
    Image.fromarray(painting(270, 280)).save(plain)
    own = credentials.load_credentials(SigningSettings(tmp_path / "keys"))
    info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, own.chain, own.key, None)
    with (
        c2pa.Signer.from_info(info) as signer,
        c2pa.Context(c2pa.Settings().update(extra["settings"])) as context,
        c2pa.Builder(json.dumps({"assertions": extra["assertions"]}), context) as builder,
    ):
        builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
        builder.sign_file(plain, upload, signer)
    return upload


def protected(tmp_path: Path, upload: Path, *stages: str) -> Json:
    config = WorkflowConfig(stages, signing=SigningSettings(tmp_path / "keys"))
    summary: Json = protect_picture(
        upload, tmp_path / "again", config=config, include_hash_analysis=False
    )
    return summary


def c2pa_notes(summary: Json) -> list[str]:
    return [note["action"] for note in summary["notes"] if note["subject"] == "c2pa"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_original_manifest_becomes_an_ingredient(tmp_path: Path, suffix: str) -> None:
    upload = signed_upload(tmp_path, suffix)
    earlier = reader(upload).get_active_manifest()["label"]
    summary = protected(tmp_path, upload, "invisible-watermark", "c2pa")
    last = summary["layers"][-1]
    assert last["metrics"]["ingredient"] is True
    opened = reader(Path(last["path"]))
    assert opened.get_validation_state() == "Valid"
    assert [each["active_manifest"] for each in opened.get_active_manifest()["ingredients"]] == [
        earlier
    ]
    assert c2pa_notes(summary) == ["kept"]
    assert earlier.encode() not in Path(summary["layers"][1]["path"]).read_bytes()


def test_manifest_is_dropped_with_a_note_without_the_stage(tmp_path: Path) -> None:
    summary = protected(tmp_path, signed_upload(tmp_path, "jpg"), "invisible-watermark")
    assert c2pa_notes(summary) == ["dropped"]


PRIVATE = {
    "thumbnail": {"settings": {"builder": {"thumbnail": {"enabled": True}}}, "assertions": []},
    **{
        name: {
            "settings": {"builder": {"thumbnail": {"enabled": False}}},
            "assertions": [{"label": "org.example.place", "data": {name: "48.13"}}],
        }
        for name in ("exif:GPSLatitude", "latitude")
    },
}


@pytest.mark.parametrize("extra", PRIVATE.values(), ids=PRIVATE.keys())
def test_manifest_with_thumbnail_or_location_is_no_ingredient(tmp_path: Path, extra: Json) -> None:
    upload = signed_upload(tmp_path, "jpg", extra=extra)
    summary = protected(tmp_path, upload, "c2pa")
    last = summary["layers"][-1]
    assert (last["metrics"]["ingredient"], c2pa_notes(summary)) == (False, ["dropped"])
    content = Path(last["path"]).read_bytes()
    assert b"atitude" not in content and content.count(b"\xff\xd8\xff") == 1
    assert reader(Path(last["path"])).get_validation_state() == "Valid"


def test_damaged_original_manifest_is_ignored(tmp_path: Path) -> None:
    upload = signed_upload(tmp_path, "jpg")
    content = bytearray(upload.read_bytes())
    place = content.index(b"jumdc2pa") + 300
    content[place : place + 40] = b"\0" * 40
    upload.write_bytes(content)
    last = protected(tmp_path, upload, "c2pa")["layers"][-1]
    assert last["metrics"]["validation_state"] == "Valid"


@pytest.mark.parametrize("bad", ["", "x" * 501, "two\nlines", "\u202eright to left"])
def test_rights_are_one_line_of_text(bad: str) -> None:
    for name in ("copyright_notice", "usage_terms"):
        with pytest.raises(InvalidOption, match=name):
            RightsStatement(**{name: bad})


def training_mining(path: Path) -> Json:
    """Return the entries of the file's training-mining assertion."""
    assertions = reader(path).get_active_manifest()["assertions"]
    entries: Json = next(
        each["data"]["entries"] for each in assertions if each["label"] == "cawg.training-mining"
    )
    return entries


def test_c2pa_excepts_search_engines(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    Image.fromarray(painting(270, 280)).save(source)
    rights = RightsStatement(allow_search_engines=True)
    config = WorkflowConfig(
        ("c2pa",), ProtectionOptions(rights=rights), signing=SigningSettings(tmp_path / "keys")
    )
    layer = protect_picture(source, tmp_path / "out", config=config)["layers"][-1]
    entries = training_mining(Path(layer["path"]))
    mining = entries.pop("cawg.data_mining")
    assert mining["use"] == "constrained" and "search engine" in mining["constraint_info"]
    assert {entry["use"] for entry in entries.values()} == {"notAllowed"}
    assert layer["metrics"]["not_allowed"] == list(entries)
    assert layer["metrics"]["search_engines_only"] == ["cawg.data_mining"]
    assert layer["metrics"]["validation_state"] == "Valid"
