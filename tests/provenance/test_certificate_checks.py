"""A pair of files either signs or is refused with the reason; the key stays out of the chain."""

from __future__ import annotations

from pathlib import Path

import pytest

from artscraper_runner.errors import CredentialsError
from artscraper_runner.provenance.credentials import load_credentials

pytest.importorskip("cryptography", reason="needs the extra c2pa")

from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from .certificates import AUTHORITY, KEY, LEAF, OTHER_KEY, key_pem, own_pair

GOOD = LEAF.pem() + AUTHORITY.pem()
EMAIL, ANY = ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
SEC1 = forms.PrivateFormat.TraditionalOpenSSL


@pytest.mark.parametrize(
    ("chain", "key"),
    [
        (GOOD, key_pem()),
        (LEAF.pem(), key_pem()),
        (GOOD, key_pem(form=SEC1)),
        (GOOD, GOOD + key_pem()),
        (GOOD + key_pem(), GOOD + key_pem()),
        (LEAF.pem() + key_pem() + AUTHORITY.pem(), key_pem(form=SEC1)),
        (b"Bag Attributes\n" + GOOD + b"\nhello\n", key_pem()),
        (LEAF.but(uses=(EMAIL, ExtendedKeyUsageOID.SERVER_AUTH)).pem(), key_pem()),
    ],
)
def test_credentials_are_a_chain_and_a_pkcs8_key(tmp_path: Path, chain: bytes, key: bytes) -> None:
    found = load_credentials(own_pair(tmp_path, chain, key))
    assert b"PRIVATE" not in found.chain
    assert found.chain.startswith(b"-----BEGIN CERTIFICATE-----\n")
    assert found.chain.count(b"BEGIN") == chain.count(b"BEGIN CERTIFICATE")
    assert found.key == key_pem()


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        (LEAF.but(begins=-9, ends=-1).pem(), "not now"),
        (LEAF.but(begins=1).pem(), "not now"),
        (LEAF.pem() + AUTHORITY.but(begins=-9, ends=-1).pem(), "certificate 2 .* not now"),
        (LEAF.pem() + AUTHORITY.but(key=OTHER_KEY).pem(), "certificate 1 .* not issued by"),
        (LEAF.pem() + LEAF.but(name="ca", issuer="root").pem(), "not issued by|is not a CA"),
        (LEAF.but(is_authority=True).pem(), "found a CA certificate"),
        (LEAF.but(signs=False).pem(), "key usage digitalSignature"),
        (LEAF.but(has_key_usage=False).pem(), "key usage digitalSignature"),
        (LEAF.but(names_issuer_key=False).pem(), "authority key identifier"),
        (LEAF.but(uses=()).pem(), "emailProtection"),
        (LEAF.but(uses=(ExtendedKeyUsageOID.CODE_SIGNING,)).pem(), "emailProtection"),
        (LEAF.but(uses=(EMAIL, ANY)).pem(), "anyExtendedKeyUsage"),
        (LEAF.but(uses=(EMAIL, ExtendedKeyUsageOID.OCSP_SIGNING)).pem(), "OCSPSigning"),
        (LEAF.but(uses=(EMAIL, ExtendedKeyUsageOID.TIME_STAMPING)).pem(), "timeStamping"),
        (LEAF.but(issuer="leaf", issuer_key=KEY).pem(), "self-signed"),
        (b"", "PEM file with a certificate"),
        (key_pem(), "PEM file with a certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "PEM file with a cert"),
    ],
)
def test_unusable_chain_is_refused(tmp_path: Path, chain: bytes, reason: str) -> None:
    with pytest.raises(CredentialsError, match=reason):
        load_credentials(own_pair(tmp_path, chain, key_pem()))


def test_issuer_without_ca_flag_is_refused(tmp_path: Path) -> None:
    issuer = AUTHORITY.but(is_authority=False, uses=())
    with pytest.raises(CredentialsError, match=r"certificate 2 .* is not a CA certificate"):
        load_credentials(own_pair(tmp_path, LEAF.pem() + issuer.pem(), key_pem()))


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (key_pem(OTHER_KEY), "does not belong"),
        (b"", "PEM file with a private key"),
        (b"\xff\0", "PEM file with a private key"),
        (key_pem(protection=forms.BestAvailableEncryption(b"x")), "password"),
        (key_pem(form=SEC1, protection=forms.BestAvailableEncryption(b"x")), "password"),
        (key_pem(ec.generate_private_key(ec.SECP384R1())), "ES256"),
    ],
)
def test_unusable_key_is_refused(tmp_path: Path, key: bytes, reason: str) -> None:
    with pytest.raises(CredentialsError, match=reason):
        load_credentials(own_pair(tmp_path, GOOD, key))


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o601])
def test_key_readable_by_others_is_refused(tmp_path: Path, mode: int) -> None:
    settings = own_pair(tmp_path, GOOD, key_pem())
    assert settings.key is not None
    settings.key.chmod(mode)
    with pytest.raises(CredentialsError, match=f"mode {mode:04o}.*chmod 600"):
        load_credentials(settings)


def test_reason_holds_neither_key_nor_folder(tmp_path: Path) -> None:
    for chain, key in [(GOOD, b"secret"), (b"secret", key_pem())]:
        with pytest.raises(CredentialsError) as caught:
            load_credentials(own_pair(tmp_path, chain, key))
        assert "secret" not in str(caught.value) and str(tmp_path) not in str(caught.value)
