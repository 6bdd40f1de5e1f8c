"""Read and validate certificates and keys for signing (RFC 5280; C2PA 2.1, section 14.5.1)."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from artscraper_runner.errors import CredentialsError

Extension = TypeVar("Extension", bound=x509.ExtensionType)
_REFUSED_PURPOSES = {
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping",
}


def read_chain(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates of a PEM file.

    Raises:
        CredentialsError: it holds none, or a damaged one.
    """
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CredentialsError("expected a PEM file with a certificate and its chain") from error


def read_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the private key of a PEM file.

    Raises:
        CredentialsError: it holds none, one with a password, or one of another kind.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise CredentialsError("expected a private key without a password") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CredentialsError("expected a PEM file with a private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise CredentialsError("expected a key for ES256 (ECDSA on P-256)")
    return key


def check_chain(chain: list[x509.Certificate]) -> None:
    """Check certificates from the leaf upwards; the last one's issuer need not be among them.

    Raises:
        CredentialsError: a certificate is expired, was not issued by the next one, or lacks the
            usage it needs; names the certificate and the reason.
    """
    leaf = chain[0]
    if leaf.issuer == leaf.subject:
        raise CredentialsError("expected a certificate issued by a CA, found a self-signed one")
    for place, certificate in enumerate(chain, start=1):
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not begin <= datetime.now(UTC) <= end:
            raise CredentialsError(
                f"certificate {place} of the chain is valid from {begin:%Y-%m-%d} to"
                f" {end:%Y-%m-%d}, not now"
            )
    for place, issuer in enumerate(chain[1:], start=2):
        basic, usage = _extension(issuer, x509.BasicConstraints), _extension(issuer, x509.KeyUsage)
        if basic is None or not basic.ca or (usage is not None and not usage.key_cert_sign):
            raise CredentialsError(
                f"certificate {place} of the chain is not a CA certificate and cannot issue others"
            )
    for place, (issued, issuer) in enumerate(pairwise(chain), start=1):
        try:
            issued.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise CredentialsError(
                f"certificate {place} of the chain was not issued by the next one;"
                " expected the leaf first and each issuer next"
            ) from error
    _check_leaf(leaf)


def _check_leaf(leaf: x509.Certificate) -> None:
    basic, usage = _extension(leaf, x509.BasicConstraints), _extension(leaf, x509.KeyUsage)
    if basic is not None and basic.ca:
        raise CredentialsError(
            "expected an end-entity certificate for signing pictures, found a CA certificate"
        )
    if usage is None or not usage.digital_signature:
        raise CredentialsError("expected a certificate with the key usage digitalSignature")
    if _extension(leaf, x509.AuthorityKeyIdentifier) is None:
        raise CredentialsError("expected a certificate with an authority key identifier")
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    if purposes is None or ExtendedKeyUsageOID.EMAIL_PROTECTION not in purposes:
        raise CredentialsError("expected a certificate with the extended key usage emailProtection")
    for refused, name in _REFUSED_PURPOSES.items():
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
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except ValueError as error:
        raise CredentialsError("the certificate's extensions cannot be read") from error
