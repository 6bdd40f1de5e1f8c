"""The errors of the client: problems that the gateway reports, or no usable response.

`Problem` carries a problem document (RFC 9457). Its subclasses follow the document's code or, if
the code is unknown, the HTTP status.
"""

from __future__ import annotations


class ClientError(Exception):
    """Base of all errors of the client."""


class Unreachable(ClientError):
    """No response came, or it was cut off."""


class UnexpectedResponse(ClientError):
    """The response is not from a gateway, or from an incompatible release."""


class WaitTimedOut(ClientError, TimeoutError):
    """The job or batch has not ended in time; it continues on the gateway."""


class DigestMismatch(ClientError):
    """The SHA-256 of a download differs from its ETag."""


class InvalidWebhook(ClientError):
    """The webhook is not signed by the gateway, too old, or was changed."""


class NotProtected(ClientError):
    """The job is done, but no stage could be applied to the picture."""


class Problem(ClientError):
    """The gateway refuses a request. `code` is stable; `title` and `detail` are for people.

    `retry_after_s` is the value of Retry-After in seconds, None without one.
    """

    def __init__(
        self, status: int, code: str, title: str, detail: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{title}: {detail}" if detail else title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.retry_after_s = retry_after_s


class Unauthorized(Problem):
    """401: the API key is missing or not valid."""


class Forbidden(Problem):
    """403: the API key may not do this."""


class NotFound(Problem):
    """404: no such job, batch, delivery or layer, or it belongs to another key."""


class NotReady(Problem):
    """409: the job has not ended."""


class JobFailed(Problem):
    """409: the job ended in error and has no result."""


class TooLarge(Problem):
    """413: more bytes, pixels or frames than the gateway accepts."""


class UnsupportedPicture(Problem):
    """415: not a picture of an accepted format."""


class PreconditionFailed(Problem):
    """The condition of If-Match or If-Unmodified-Since is false."""


class UnknownHost(Problem):
    """421: the gateway does not serve the host name of this URL."""


class UnsatisfiableRange(Problem):
    """416: the range begins beyond the end of the file."""


class InvalidRequest(Problem):
    """422: an option is not valid, or a batch is larger than the queue."""


class RejectedInput(InvalidRequest):
    """422: the picture is damaged, cannot be downloaded, or its path does not exist."""


class IdempotencyKeyReused(InvalidRequest):
    """422: the idempotency key was used with another request before."""


class TooManyRequests(Problem):
    """429: the rate limit of the API key is exceeded."""


class QueueFull(TooManyRequests):
    """429: too many jobs are waiting."""


class GatewayFailed(Problem):
    """500: internal error; the gateway's log has the reason."""


class Unavailable(Problem):
    """502, 503 or 504: the gateway is busy, full, restarting or unreachable for its proxy."""


_OF_CODE: dict[str, type[Problem]] = {
    "not-ready": NotReady,
    "job-failed": JobFailed,
    "rejected-input": RejectedInput,
    "forbidden-address": RejectedInput,
    "download-failed": RejectedInput,
    "unusable-local-path": RejectedInput,
    "broken-picture": RejectedInput,
    "idempotency-key-reused": IdempotencyKeyReused,
    "queue-full": QueueFull,
}
_OF_STATUS: dict[int, type[Problem]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    412: PreconditionFailed,
    413: TooLarge,
    415: UnsupportedPicture,
    416: UnsatisfiableRange,
    421: UnknownHost,
    422: InvalidRequest,
    429: TooManyRequests,
    500: GatewayFailed,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def problem_class(status: int, code: str) -> type[Problem]:
    """Return the class of problems with this status and code."""
    return _OF_CODE.get(code) or _OF_STATUS.get(status, Problem)
