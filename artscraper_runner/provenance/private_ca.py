"""A private CA and one leaf for signing pictures, made once in a folder and kept there.

C2PA requires a leaf that is not its own issuer, here with ES256 (ECDSA, P-256, SHA-256) and the
extended key usage emailProtection. `ca.pem` is what others trust; the two keys are readable by
the owner alone.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from artscraper_runner.errors import CredentialsError

CHAIN_FILE, KEY_FILE, CA_FILE, CA_KEY_FILE = "chain.pem", "key.pem", "ca.pem", "ca-key.pem"
VALID_FOR = timedelta(days=3650)


def make_once(folder: Path) -> None:
    """Write the four files unless they are there; processes at the same time make one CA.

    The chain comes last, so a process that is killed before leaves files that the next one
    writes over.

    Raises:
        CredentialsError: the folder cannot be written to.
    """
    try:
        if (folder / CHAIN_FILE).is_file():
            return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder):
            if not (folder / CHAIN_FILE).is_file():
                _write_all(folder)
    except OSError as error:
        reason = f"no signing key can be made in the folder for it: {error.strerror}"
        raise CredentialsError(reason) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder itself; the operating system releases the lock when the process ends."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _write_all(folder: Path) -> None:
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = _certificate("Artscraper private CA", ca_key, issuer=None, issuer_key=ca_key)
    leaf = _certificate("Artscraper picture signing", key, issuer=ca, issuer_key=ca_key)
    authority = ca.public_bytes(Encoding.PEM)
    (folder / CA_FILE).write_bytes(authority)
    _write_key(folder / CA_KEY_FILE, ca_key)
    _write_key(folder / KEY_FILE, key)
    unfinished = folder / f"{CHAIN_FILE}.part"
    unfinished.write_bytes(leaf.public_bytes(Encoding.PEM) + authority)
    unfinished.replace(folder / CHAIN_FILE)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.unlink(missing_ok=True)  # of a process that was killed; its mode is not ours
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    """Return a CA's certificate for no issuer, else a leaf (RFC 5280, C2PA 2.1 section 14.5.1)."""
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
        .not_valid_after(now + VALID_FOR)
    )
    is_authority = issuer is None
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(_key_usage(authority=is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer_id, critical=False)
    )
    if not is_authority:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


def _key_usage(*, authority: bool) -> x509.KeyUsage:
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
