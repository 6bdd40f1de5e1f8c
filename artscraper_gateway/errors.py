"""Every error of the gateway as an RFC 9457 problem: one class per kind, caught at the edge.

Raise the class of the problem; `api/problems.py` turns it into `application/problem+json`. The
`detail` is sent to the caller: what was expected, what was found and what is valid, and never
holds a path of the server or a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

_LATER = {"Retry-After": "5"}


class GatewayError(Exception):
    """Base of all problems. `status` is the HTTP status, `code` a stable machine-readable name."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "The gateway failed"
    response_headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = {**self.response_headers, **(headers or {})}


class InvalidRequest(GatewayError):
    """A field is missing, unknown or not valid, or a batch has more jobs than may ever wait."""

    status = 422
    code = "invalid-request"
    title = "The request is not valid"


class RejectedInput(GatewayError):
    """The picture named by the request is refused: forbidden address, failed download, bad path."""

    status = 422
    code = "rejected-input"
    title = "The input was rejected"


class ForbiddenAddress(RejectedInput):
    """A URL leads to an address that is not public."""

    code = "forbidden-address"
    title = "The address is not allowed"


class DownloadFailed(RejectedInput):
    """The far end did not deliver a picture: name unknown, refused, error status, time-out."""

    code = "download-failed"
    title = "The picture could not be downloaded"


class UnusableLocalPath(RejectedInput):
    """The same answer for a path that is missing and for one that is outside the roots."""

    code = "unusable-local-path"
    title = "The local path cannot be used"


class BrokenPicture(RejectedInput):
    """An accepted format by its first bytes, but damaged beyond reading."""

    code = "broken-picture"
    title = "The picture is damaged"


class TooLarge(GatewayError):
    """More bytes, pixels or frames than the limits allow."""

    status = 413
    code = "too-large"
    title = "The picture is too large"


class BodyTooLarge(TooLarge):
    """The request's body passed the limit while it was read; its rest is still on the way."""

    response_headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}


class UnsupportedPicture(GatewayError):
    """The content is not one of the accepted picture formats."""

    status = 415
    code = "unsupported-picture"
    title = "Not an accepted picture format"


class UnsupportedRequestBody(GatewayError):
    """The request's body is neither a form nor JSON."""

    status = 415
    code = "unsupported-request-body"
    title = "The request's body cannot be read"


class NotFound(GatewayError):
    """No such job, or the job has no such layer."""

    status = 404
    code = "not-found"
    title = "Not found"


class NotReady(GatewayError):
    """The job has not finished yet; try again after `Retry-After` seconds."""

    status = 409
    code = "not-ready"
    title = "The job has not finished"


class JobFailed(GatewayError):
    """The job ended in error and has no result."""

    status = 409
    code = "job-failed"
    title = "The job failed"


class IdempotencyKeyReused(GatewayError):
    """The same Idempotency-Key was used with another payload."""

    status = 422
    code = "idempotency-key-reused"
    title = "The idempotency key was used for something else"


class Unauthorized(GatewayError):
    """An API key is needed, and none came, or none that is valid."""

    status = 401
    code = "unauthorized"
    title = "An API key is needed"
    response_headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}


class Forbidden(GatewayError):
    """The API key is valid and may not do this."""

    status = 403
    code = "forbidden"
    title = "The API key may not do this"


class LinkNotValid(GatewayError):
    """A signed link was altered, or has expired."""

    status = 403
    code = "link-not-valid"
    title = "The link is not valid"


class PreconditionFailed(GatewayError):
    """The condition of If-Match or If-Unmodified-Since is false."""

    status = 412
    code = "precondition-failed"
    title = "The file is another version"


class UnknownHost(GatewayError):
    """The Host header names none of the gateway's own names."""

    status = 421
    code = "unknown-host"
    title = "The gateway does not serve this host name"


class ForeignOrigin(GatewayError):
    """A web page of another origin sent a request that changes something."""

    status = 403
    code = "foreign-origin"
    title = "Requests from other sites are not allowed"


class QueueFull(GatewayError):
    """The queue has no room for the request's jobs."""

    status = 429
    code = "queue-full"
    title = "Too many jobs wait"
    response_headers = _LATER


class RateLimited(GatewayError):
    """The API key was used more often than it may be."""

    status = 429
    code = "rate-limited"
    title = "Too many requests"


class UnsatisfiableRange(GatewayError):
    """The Range header requests bytes beyond the end of the file."""

    status = 416
    code = "unsatisfiable-range"
    title = "The range cannot be served"


class TooBusy(GatewayError):
    """Too much of the same is going on at once."""

    status = 503
    code = "too-busy"
    title = "The gateway is busy"
    response_headers = _LATER


class StorageFailed(GatewayError):
    """The disk, object storage or the database could not be read or written."""

    status = 503
    code = "storage-failed"
    title = "The gateway's storage failed"
    response_headers = _LATER


class Draining(GatewayError):
    """The process is shutting down; it finishes its jobs."""

    status = 503
    code = "draining"
    title = "The gateway is shutting down"


class NoRoomInQueue(GatewayError):
    """The queue is full, for /readyz; submissions get QueueFull."""

    status = 503
    code = "queue-full"
    title = "Too many jobs wait"


class DiskFull(GatewayError):
    """Less of the disk is free than `min_free_disk`, or there is no room for the request at all."""

    status = 503
    code = "disk-full"
    title = "The gateway's disk is nearly full"


class WorkersDown(GatewayError):
    """A worker of this machine hangs or keeps dying; jobs are accepted and wait."""

    status = 503
    code = "workers-down"
    title = "The gateway's workers do not work"


class DatabaseAway(GatewayError):
    """The database server does not respond; accepted jobs are safe in it."""

    status = 503
    code = "database-away"
    title = "The gateway's database does not respond"
    response_headers = _LATER

    def __init__(self) -> None:
        super().__init__("Try again in a moment.")
