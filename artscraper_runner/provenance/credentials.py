"""The certificate and key that sign pictures: the owner's own, or a private CA made once.

C2PA asks for a leaf that is not its own issuer, here with ES256 (ECDSA, P-256, SHA-256) and the
extended key usage emailProtection. Without settings, `load_credentials` makes a private CA and
a leaf under a folder; validators then say Valid, and Trusted for whoever adds `ca.pem` to the
trust anchors.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from artscraper_runner.errors import CredentialsError, MissingDependency
from artscraper_runner.types import SigningSettings

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

INSTALL = "pip install 'artscraper-gateway[c2pa]'"
CHAIN_FILE, KEY_FILE, CA_FILE, CA_KEY_FILE = "chain.pem", "key.pem", "ca.pem", "ca-key.pem"
_VALID_FOR = timedelta(days=3650)


@dataclass(frozen=True)
class Credentials:
    """PEM bytes: `chain` from the leaf upwards, and the leaf's private key."""

    chain: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Credentials(<not shown>)"


def load_credentials(settings: SigningSettings) -> Credentials:
    """Returns what signs: the configured pair, else our own, made on the first call.

    Raises:
        CredentialsError: unreadable, not a pair, expired, or not fit for C2PA.
        MissingDependency: the package cryptography is not installed.
    """
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise MissingDependency("cryptography", "signing pictures", INSTALL) from error
    if (settings.certificate is None) != (settings.key is None):
        raise CredentialsError("expected a certificate and its key, found only one of them")
    if settings.certificate is not None and settings.key is not None:
        chain, key = settings.certificate, settings.key
    else:
        _make_once(settings.folder)
        chain, key = settings.folder / CHAIN_FILE, settings.folder / KEY_FILE
    try:
        found = Credentials(chain.read_bytes(), key.read_bytes())
    except OSError as error:
        raise CredentialsError(f"the signing files cannot be read: {error.strerror}") from error
    _check(found)
    return found


def _check(found: Credentials) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        leaf = x509.load_pem_x509_certificates(found.chain)[0]
        key = load_pem_private_key(found.key, password=None)
    except (ValueError, TypeError, IndexError) as error:
        raise CredentialsError("expected PEM with a certificate, and PEM with its key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise CredentialsError("expected a key for ES256 (ECDSA on P-256)")
    if leaf.public_key() != key.public_key():
        raise CredentialsError("the key does not belong to the certificate")
    if leaf.issuer == leaf.subject:
        raise CredentialsError("expected a certificate issued by a CA, found a self-signed one")
    if not leaf.not_valid_before_utc <= datetime.now(UTC) <= leaf.not_valid_after_utc:
        raise CredentialsError(
            f"the certificate is valid from {leaf.not_valid_before_utc:%Y-%m-%d}"
            f" to {leaf.not_valid_after_utc:%Y-%m-%d}, not now"
        )
    _check_usage(leaf)


def _check_usage(leaf: x509.Certificate) -> None:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound as error:
        raise CredentialsError("expected a certificate with an extended key usage") from error
    if ExtendedKeyUsageOID.EMAIL_PROTECTION not in usage:
        raise CredentialsError("expected the extended key usage emailProtection")


def _make_once(folder: Path) -> None:
    """Whoever renames first wins, so that several workers end up with one CA."""
    if (folder / CHAIN_FILE).is_file():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write_pair(made)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        made.rename(folder)
    except OSError as error:
        if not (folder / CHAIN_FILE).is_file():
            reason = f"no signing key can be made in the folder for it: {error.strerror}"
            raise CredentialsError(reason) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _write_pair(folder: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = _certificate("Artscraper private CA", ca_key, issuer=None, issuer_key=ca_key)
    leaf = _certificate("Artscraper picture signing", key, issuer=ca, issuer_key=ca_key)
    authority = ca.public_bytes(Encoding.PEM)
    (folder / CA_FILE).write_bytes(authority)
    _write_key(folder / CA_KEY_FILE, ca_key)
    _write_key(folder / KEY_FILE, key)
    (folder / CHAIN_FILE).write_bytes(leaf.public_bytes(Encoding.PEM) + authority)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Returns a CA's certificate for no issuer, else a leaf (RFC 5280, C2PA 2.1 section 14.5.1)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Artscraper Gateway"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID_FOR)
    )
    extensions = _extensions(key, issuer_key, authority=issuer is None)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _extensions(
    key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey, *, authority: bool
) -> list[tuple[x509.ExtensionType, bool]]:
    """Returns the certificate's extensions, each with whether it is critical."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=authority, path_length=None), True),
        (_key_usage(authority=authority), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (issuer_id, False),
    ]
    if not authority:
        extensions.append((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), True))
    return extensions


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
