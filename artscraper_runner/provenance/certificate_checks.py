"""Validate a certificate chain for signing pictures (RFC 5280; C2PA 2.1, section 14.5.1)."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from artscraper_runner.errors import CredentialsError

if TYPE_CHECKING:
    from cryptography import x509

    Extension = TypeVar("Extension", bound=x509.ExtensionType)


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
