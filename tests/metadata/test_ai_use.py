"""The statements are found in every spelling; a manifest's state is what c2pa-python says."""

import datetime
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from artscraper_runner.analysis.metadata.ai_use import NOT_CHECKED, c2pa_statement, data_mining

DIGITAL_CREATION = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCreation"
STORE = (
    b"\0\0\0\x40jumb\0\0\0\x1ejumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71\x03c2pa\0"
)


@pytest.mark.parametrize(
    "xmp",
    [
        b'<d plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED"/>',
        b"<d plus:DataMining = 'DMI-PROHIBITED'/>",
        b"<plus:DataMining>http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED</plus:DataMining>",
        b'<p:DataMining rdf:resource="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED"/>',
    ],
)
def test_data_mining_statement_is_read_in_every_spelling(xmp: bytes) -> None:
    assert data_mining(xmp) == "DMI-PROHIBITED"


@pytest.mark.parametrize("xmp", [b"", b"<x/>", b"DataMining", b"<plus:DataMining/>", b"\xff" * 99])
def test_missing_statement_is_none(xmp: bytes) -> None:
    assert data_mining(xmp) is None


@pytest.mark.parametrize(
    "part", [b"<plus:DataMining ", b"a", b" ", b":DataMining", b":DataMining=", b":DataMining>a"]
)
def test_hostile_xmp_takes_linear_time(part: bytes) -> None:
    # Quadratic work on so much would take hours.
    assert data_mining(part * (4_000_000 // len(part))) is None


def test_manifest_is_detected_without_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    path = tmp_path / "picture"
    path.write_bytes(b"\xff\xd8\xff\xeb\0\x40JP" + STORE)
    assert c2pa_statement(path) == {"manifest": True, "validation_state": NOT_CHECKED}
    path.write_bytes(b"")
    assert c2pa_statement(path) == {"manifest": False, "validation_state": None}


def test_fake_manifest_is_unreadable_or_invalid(tmp_path: Path) -> None:
    pytest.importorskip("c2pa")
    path = tmp_path / "picture.png"
    Image.new("RGB", (8, 8)).save(path)
    path.write_bytes(path.read_bytes() + STORE)
    state = c2pa_statement(path)
    assert state["manifest"]
    assert state["validation_state"] in ("unreadable", "Invalid")


def certificate_and_key() -> tuple[bytes, bytes]:
    """Return a chain (leaf and CA) and the leaf's key, as PEM, fit for signing."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text: str) -> object:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, text),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "test"),
            ]
        )

    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def built(subject: str, public: object, extensions: list[tuple[object, bool]]) -> object:
        builder = x509.CertificateBuilder(
            name("ca"), name(subject), public, 1 + len(subject), now, now.replace(year=now.year + 1)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(ca_key, hashes.SHA256())

    def usage(*, ca: bool) -> object:
        others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        flags = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
        return x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **flags)

    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    ca = built(
        "ca",
        ca_key.public_key(),
        [
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (usage(ca=True), True),
            (x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), False),
        ],
    )
    leaf = built(
        "leaf",
        key.public_key(),
        [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (usage(ca=False), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
            (authority, False),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        ],
    )
    pem = serialization.Encoding.PEM
    chain = leaf.public_bytes(pem) + ca.public_bytes(pem)
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return chain, private


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_signed_picture_has_its_validation_state(format_name: str, tmp_path: Path) -> None:
    c2pa = pytest.importorskip("c2pa")
    chain, private = certificate_and_key()
    plain, signed = tmp_path / "plain", tmp_path / "signed"
    Image.effect_noise((64, 64), 60).save(plain, format_name)
    info = c2pa.C2paSignerInfo(b"es256", chain, private, None)
    created = {"action": "c2pa.created", "digitalSourceType": DIGITAL_CREATION}
    actions = {"label": "c2pa.actions", "data": {"actions": [created]}}
    manifest = json.dumps({"title": "t", "assertions": [actions]})
    with (
        c2pa.Signer.from_info(info) as signer,
        c2pa.Builder(manifest) as builder,
        plain.open("rb") as source,
        signed.open("w+b") as target,
    ):
        builder.sign(signer, f"image/{format_name.lower()}", source, target)
    assert c2pa_statement(signed) == {"manifest": True, "validation_state": "Valid"}
    data = bytearray(signed.read_bytes())
    pixel = data.rfind(b"IDAT") + 40 if format_name == "PNG" else len(data) - 40
    data[pixel] ^= 1
    signed.write_bytes(data)
    assert c2pa_statement(signed) == {"manifest": True, "validation_state": "Invalid"}
