"""The certificate and key that sign pictures: the owner's own, or a private CA made once.

Validators report signatures of the private CA's leaf as Valid, and as Trusted once its `ca.pem` is
among their trust anchors.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from artscraper_runner.errors import CredentialsError, MissingDependency
from artscraper_runner.options import SigningSettings

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

    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)


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

        from artscraper_runner.provenance import private_ca
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

    from artscraper_runner.provenance import certificates

    try:
        chain = certificates.read_chain(certificate.read_bytes())
        signer = certificates.read_key(_read_secret(key))
    except OSError as error:
        raise CredentialsError(f"the signing files cannot be read: {error.strerror}") from error
    if chain[0].public_key() != signer.public_key():
        raise CredentialsError("the key does not belong to the first certificate")
    certificates.check_chain(chain)
    # Written from the parsed parts only: a file may hold more than belongs into pictures.
    return Credentials(
        b"".join(each.public_bytes(Encoding.PEM) for each in chain),
        signer.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


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
