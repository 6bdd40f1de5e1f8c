"""Links to one layer that work without an API key until they expire."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artscraper_gateway.settings.model import GatewayConfig

_FILE_NAME = "link-secret"  # in base_dir, where no setting names one
_CONTEXT = b"artscraper-gateway link v1\n"


@dataclass(frozen=True)
class LinkSigner:
    """Signs and checks links with HMAC-SHA256."""

    secret: bytes

    @classmethod
    def of(cls, config: GatewayConfig) -> LinkSigner:
        """Return the signer of the settings; draw a secret for this machine if they name none."""
        if config.link_secret is not None:
            return cls(config.link_secret.get_secret_value().encode())
        return cls(_own_secret(config.base_dir / _FILE_NAME))

    def sign(self, job_id: str, resource: str, *, expires_at: int) -> str:
        """Return the signature of a link, 43 characters of base64url.

        Args:
            job_id: id of the job.
            resource: `layers/STAGE` or `masks/STAGE`.
            expires_at: seconds since 1970, UTC.
        """
        message = _CONTEXT + f"{job_id}\n{resource}\n{expires_at}".encode()
        digest = hmac.new(self.secret, message, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def verify(self, job_id: str, resource: str, *, expires_at: int, signature: str) -> bool:
        """Return whether the signature matches the link, compared in constant time."""
        expected = self.sign(job_id, resource, expires_at=expires_at)
        return hmac.compare_digest(expected.encode(), signature.encode())


def _own_secret(path: Path) -> bytes:
    """Read the secret, or write a new one; of two processes that start at once one decides."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    while not path.exists():
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink(missing_ok=True)
    return path.read_bytes()
