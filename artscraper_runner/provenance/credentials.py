"""The certificate and key that sign pictures: the owner's own, or a private CA made once.

Validators report signatures of the private CA's leaf as Valid, and as Trusted once its `ca.pem` is
among their trust anchors.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from artscraper_runner.errors import CredentialsError, MissingDependency
from artscraper_runner.options import SigningSettings
from artscraper_runner.provenance import private_ca

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    Extension = TypeVar("Extension", bound=x509.ExtensionType)

INSTALL = "pip install 'artscraper-gateway[c2pa]'"
_ROOT = 0
_RENEWAL = (
    "; to have a new one made, remove the folder of the private CA (c2pa in the gateway's"
    " base_dir, --c2pa-folder on the command line) and replace the old"
    " ca.pem in your validators"
)


@dataclass(frozen=True)
class Credentials:
    """PEM bytes: `chain` of certificates alone, from the leaf upwards, and the leaf's `key`.

    `chain` goes into every picture, `key` (PKCS #8) nowhere.
    """

    chain: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Credentials(<not shown>)"


def load_credentials(settings: SigningSettings) -> Credentials:
    """Return what signs: the configured pair, else our own, made on the first call.

    Either file may hold the certificates and the key together.

    Raises:
        CredentialsError: unreadable, not a pair, expired, not fit for C2PA, or a key that other
            users can reach.
        MissingDependency: the package cryptography is not installed.
    """
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise MissingDependency("cryptography", "signing pictures", INSTALL) from error
    if (settings.certificate is None) != (settings.key is None):
        raise CredentialsError("expected a certificate and its key, found only one of them")
    if settings.certificate is not None and settings.key is not None:
        return _load(settings.certificate, settings.key)
    private_ca.make_once(settings.folder)
    try:
        return _load(settings.folder / private_ca.CHAIN_FILE, settings.folder / private_ca.KEY_FILE)
    except CredentialsError as error:
        raise CredentialsError(f"{error}{_RENEWAL}") from error


def _load(certificate: Path, key: Path) -> Credentials:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    try:
        chain, signer = _certificates(certificate.read_bytes()), _private_key(_read_secret(key))
    except OSError as error:
        raise CredentialsError(f"the signing files cannot be read: {error.strerror}") from error
    if chain[0].public_key() != signer.public_key():
        raise CredentialsError("the key does not belong to the first certificate")
    check_chain(chain)
    # Written from the parsed parts only: a file may hold more than belongs into pictures.
    return Credentials(
        b"".join(each.public_bytes(Encoding.PEM) for each in chain),
        signer.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _certificates(pem: bytes) -> list[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CredentialsError("expected a PEM file with a certificate and its chain") from error


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise CredentialsError("expected a private key without a password") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CredentialsError("expected a PEM file with a private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise CredentialsError("expected a key for ES256 (ECDSA on P-256)")
    return key


def _read_secret(path: Path) -> bytes:
    """Return the file's bytes unless other users can read it (PostgreSQL's rule for its key).

    The owner alone; a file of root's may be read by its group, as secrets of containers are.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        allowed = 0o640 if status.st_uid == _ROOT else 0o600
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077 & ~allowed:
            raise CredentialsError(
                f"the private key is readable by other users (mode {mode:04o}); run chmod 600"
                " on its file, and replace the key if others may have read it"
            )
        return file.read()


def check_chain(chain: list[x509.Certificate]) -> None:
    """Check certificates from the leaf upwards; the last one's issuer need not be among them.

    By RFC 5280 and C2PA 2.1, section 14.5.1.

    Raises:
        CredentialsError: a certificate is expired, was not issued by the next one, or lacks the
            usage it needs; names the certificate and the reason.
    """
    leaf = chain[0]
    if leaf.issuer == leaf.subject:
        raise CredentialsError("expected a certificate issued by a CA, found a self-signed one")
    for place, certificate in enumerate(chain, start=1):
        _check_dates(certificate, place)
    for place, issuer in enumerate(chain[1:], start=2):
        _check_authority(issuer, place)
    for place, (issued, issuer) in enumerate(pairwise(chain), start=1):
        _check_link(issued, issuer, place)
    _check_leaf(leaf)


def _check_dates(certificate: x509.Certificate, place: int) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= datetime.now(UTC) <= end:
        raise CredentialsError(
            f"certificate {place} of the chain is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d},"
            " not now"
        )


def _check_authority(certificate: x509.Certificate, place: int) -> None:
    from cryptography import x509

    basic = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    if basic is None or not basic.ca or (usage is not None and not usage.key_cert_sign):
        raise CredentialsError(
            f"certificate {place} of the chain is not a CA certificate and cannot issue others"
        )


def _check_link(issued: x509.Certificate, issuer: x509.Certificate, place: int) -> None:
    from cryptography.exceptions import InvalidSignature

    try:
        issued.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise CredentialsError(
            f"certificate {place} of the chain was not issued by the next one;"
            " expected the leaf first and each issuer next"
        ) from error


def _check_leaf(leaf: x509.Certificate) -> None:
    from cryptography import x509

    basic = _extension(leaf, x509.BasicConstraints)
    if basic is not None and basic.ca:
        raise CredentialsError(
            "expected an end-entity certificate for signing pictures, found a CA certificate"
        )
    usage = _extension(leaf, x509.KeyUsage)
    if usage is None or not usage.digital_signature:
        raise CredentialsError("expected a certificate with the key usage digitalSignature")
    if _extension(leaf, x509.AuthorityKeyIdentifier) is None:
        raise CredentialsError("expected a certificate with an authority key identifier")
    _check_purposes(leaf)


def _check_purposes(leaf: x509.Certificate) -> None:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    if purposes is None or ExtendedKeyUsageOID.EMAIL_PROTECTION not in purposes:
        raise CredentialsError("expected a certificate with the extended key usage emailProtection")
    for refused, name in (
        (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, "anyExtendedKeyUsage"),
        (ExtendedKeyUsageOID.OCSP_SIGNING, "OCSPSigning"),
        (ExtendedKeyUsageOID.TIME_STAMPING, "timeStamping"),
    ):
        if refused in purposes:
            raise CredentialsError(
                f"expected emailProtection without the extended key usage {name}, which C2PA"
                " does not allow beside it"
            )


def _extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    """Return the certificate's extension of that kind.

    Raises:
        CredentialsError: it cannot be read.
    """
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except ValueError as error:
        raise CredentialsError("the certificate's extensions cannot be read") from error
