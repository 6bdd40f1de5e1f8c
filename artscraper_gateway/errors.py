"""Every error of the gateway as an RFC 9457 problem: one class per kind, caught at the edge.

Raise the class of the problem; `api/problems.py` turns it into `application/problem+json`. The
`detail` is sent to the caller: what was expected, what was found and what is valid, and never
holds a path of the server or a secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

_LATER = {"Retry-After": "5"}


class GatewayError(Exception):
    """Base of all problems. `status` is the HTTP status, `code` a stable machine-readable name.

    A subclass names its own as `class NotFound(GatewayError, status=404, code="not-found", ...)`.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "The gateway failed"
    response_headers: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, *, status: int = 0, code: str = "", title: str = "") -> None:
        """Set the values that the class names; the others are those of its base."""
        super().__init_subclass__()
        cls.status = status or cls.status
        cls.code = code or cls.code
        cls.title = title or cls.title

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = {**self.response_headers, **(headers or {})}


class InvalidRequest(
    GatewayError, status=422, code="invalid-request", title="The request is not valid"
):
    """A field is missing, unknown or not valid, or a batch has more jobs than may ever wait."""


class RejectedInput(
    GatewayError, status=422, code="rejected-input", title="The input was rejected"
):
    """The picture named by the request is refused: forbidden address, failed download, bad path."""


class ForbiddenAddress(RejectedInput, code="forbidden-address", title="The address is not allowed"):
    """A URL leads to an address that is not public."""


class DownloadFailed(
    RejectedInput, code="download-failed", title="The picture could not be downloaded"
):
    """The far end did not deliver a picture: name unknown, refused, error status, time-out."""


class UnusableLocalPath(
    RejectedInput, code="unusable-local-path", title="The local path cannot be used"
):
    """The same answer for a path that is missing and for one that is outside the roots."""


class BrokenPicture(RejectedInput, code="broken-picture", title="The picture is damaged"):
    """An accepted format by its first bytes, but damaged beyond reading."""


class TooLarge(GatewayError, status=413, code="too-large", title="The picture is too large"):
    """More bytes, pixels or frames than the limits allow."""


class BodyTooLarge(TooLarge):
    """The request's body passed the limit while it was read; its rest is still on the way."""

    response_headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}


class UnsupportedPicture(
    GatewayError, status=415, code="unsupported-picture", title="Not an accepted picture format"
):
    """The content is not one of the accepted picture formats."""


class UnsupportedRequestBody(
    GatewayError,
    status=415,
    code="unsupported-request-body",
    title="The request's body cannot be read",
):
    """The request's body is neither a form nor JSON."""


class NotFound(GatewayError, status=404, code="not-found", title="Not found"):
    """No such job, or the job has no such layer."""


class NotReady(GatewayError, status=409, code="not-ready", title="The job has not finished"):
    """The job has not finished yet; try again after `Retry-After` seconds."""


class JobFailed(GatewayError, status=409, code="job-failed", title="The job failed"):
    """The job ended in error and has no result."""


class IdempotencyKeyReused(
    GatewayError,
    status=422,
    code="idempotency-key-reused",
    title="The idempotency key was used for something else",
):
    """The same Idempotency-Key was used with another payload."""


class Unauthorized(GatewayError, status=401, code="unauthorized", title="An API key is needed"):
    """An API key is needed, and none came, or none that is valid."""

    response_headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}


class Forbidden(GatewayError, status=403, code="forbidden", title="The API key may not do this"):
    """The API key is valid and may not do this."""


class LinkNotValid(GatewayError, status=403, code="link-not-valid", title="The link is not valid"):
    """A signed link was altered, or has expired."""


class PreconditionFailed(
    GatewayError, status=412, code="precondition-failed", title="The file is another version"
):
    """The condition of If-Match or If-Unmodified-Since is false."""


class UnknownHost(
    GatewayError, status=421, code="unknown-host", title="The gateway does not serve this host name"
):
    """The Host header names none of the gateway's own names."""


class ForeignOrigin(
    GatewayError,
    status=403,
    code="foreign-origin",
    title="Requests from other sites are not allowed",
):
    """A web page of another origin sent a request that changes something."""


class QueueFull(GatewayError, status=429, code="queue-full", title="Too many jobs wait"):
    """The queue has no room for the request's jobs."""

    response_headers = _LATER


class RateLimited(GatewayError, status=429, code="rate-limited", title="Too many requests"):
    """The API key was used more often than it may be."""


class UnsatisfiableRange(
    GatewayError, status=416, code="unsatisfiable-range", title="The range cannot be served"
):
    """The Range header requests bytes beyond the end of the file."""


class TooBusy(GatewayError, status=503, code="too-busy", title="The gateway is busy"):
    """Too much of the same is going on at once."""

    response_headers = _LATER


class StorageFailed(
    GatewayError, status=503, code="storage-failed", title="The gateway's storage failed"
):
    """The disk, object storage or the database could not be read or written."""

    response_headers = _LATER


class Draining(GatewayError, status=503, code="draining", title="The gateway is shutting down"):
    """The process is shutting down; it finishes its jobs."""


class NoRoomInQueue(GatewayError, status=503, code="queue-full", title="Too many jobs wait"):
    """The queue is full, for /readyz; submissions get QueueFull."""


class DiskFull(
    GatewayError, status=503, code="disk-full", title="The gateway's disk is nearly full"
):
    """Less of the disk is free than `min_free_disk`, or there is no room for the request at all."""


class WorkersDown(
    GatewayError, status=503, code="workers-down", title="The gateway's workers do not work"
):
    """A worker of this machine hangs or keeps dying; jobs are accepted and wait."""


class DatabaseAway(
    GatewayError, status=503, code="database-away", title="The gateway's database does not respond"
):
    """The database server does not respond; accepted jobs are safe in it."""

    response_headers = _LATER

    def __init__(self) -> None:
        super().__init__("Try again in a moment.")


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error`, then what caused it, or was being handled when it was raised, and so on."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        yield each
        seen.add(id(each))
        each = each.__cause__ or each.__context__
