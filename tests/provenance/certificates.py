"""Certificates and keys that tests make themselves, good ones and each kind of bad one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from artscraper_runner.options import SigningSettings

Key = ec.EllipticCurvePrivateKey
AUTHORITY_KEY, KEY, OTHER_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))


@dataclass(frozen=True)
class Wanted:
    """A certificate to be made; the dates are in days from now."""

    name: str = "leaf"
    key: Key = KEY
    issuer: str = "ca"
    issuer_key: Key = AUTHORITY_KEY
    is_authority: bool = False
    begins: float = -1
    ends: float = 100
    uses: Sequence[ObjectIdentifier] = (ExtendedKeyUsageOID.EMAIL_PROTECTION,)
    signs: bool = True
    has_key_usage: bool = True
    names_issuer_key: bool = True

    def but(self, **changes: Any) -> Wanted:
        return replace(self, **changes)

    def pem(self) -> bytes:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            _name(self.issuer),
            _name(self.name),
            self.key.public_key(),
            x509.random_serial_number(),
            now + timedelta(days=self.begins),
            now + timedelta(days=self.ends),
        )
        for extension, critical in self._extensions():
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.issuer_key, hashes.SHA256()).public_bytes(forms.Encoding.PEM)

    def _extensions(self) -> list[tuple[x509.ExtensionType, bool]]:
        wanted: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=self.is_authority, path_length=None), True),
            (x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False),
        ]
        if self.has_key_usage:
            wanted.append((self._key_usage(), True))
        if self.names_issuer_key:
            public = self.issuer_key.public_key()
            wanted.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False))
        if self.uses and not self.is_authority:
            wanted.append((x509.ExtendedKeyUsage(list(self.uses)), True))
        return wanted

    def _key_usage(self) -> x509.KeyUsage:
        others = ("key_encipherment", "data_encipherment", "key_agreement")
        return x509.KeyUsage(
            digital_signature=self.signs and not self.is_authority,
            content_commitment=not self.signs,
            key_cert_sign=self.is_authority,
            crl_sign=self.is_authority,
            **dict.fromkeys((*others, "encipher_only", "decipher_only"), False),
        )


LEAF = Wanted()
AUTHORITY = Wanted(name="ca", key=AUTHORITY_KEY, is_authority=True)


def key_pem(
    key: Key = KEY,
    form: forms.PrivateFormat = forms.PrivateFormat.PKCS8,
    protection: forms.KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(forms.Encoding.PEM, form, protection or forms.NoEncryption())


def own_pair(folder: Path, chain: bytes, key: bytes) -> SigningSettings:
    """Return settings that sign with these two files, the key readable by the owner alone."""
    (folder / "own.pem").write_bytes(chain)
    (folder / "own-key.pem").write_bytes(key)
    (folder / "own-key.pem").chmod(0o600)
    return SigningSettings(folder / "no", folder / "own.pem", folder / "own-key.pem")


def _name(text: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "test"),
            x509.NameAttribute(NameOID.COMMON_NAME, text),
        ]
    )
