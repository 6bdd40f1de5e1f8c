"""What may go wrong with a call: a problem that the gateway names, or no answer that can be used.

`Problem` carries what the gateway said (RFC 9457); its subclasses are the kinds that callers may
want to tell apart. Problems that this release does not know are the class of their status.
"""

from __future__ import annotations


class ClientError(Exception):
    """Base of everything that the client raises by itself."""


class Unreachable(ClientError):
    """No answer came, or it broke off."""


class UnexpectedAnswer(ClientError):
    """Something answered that is not this gateway, or not one of a release that fits."""


class WaitTimedOut(ClientError, TimeoutError):
    """The job or batch had not ended in the time that the caller gave; it goes on."""


class DigestMismatch(ClientError):
    """What was downloaded is not what the gateway's ETag names."""


class InvalidWebhook(ClientError):
    """The message is not the gateway's, too old, or was changed on its way."""


class Problem(ClientError):
    """The gateway refuses. `code` is stable, `title` and `detail` are for people.

    `retry_after_s` is how long the gateway asks to wait; None = it does not say.
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
    """401: an API key is needed, and none came that is valid."""


class Forbidden(Problem):
    """403: the API key may not do this."""


class NotFound(Problem):
    """404: no such job, batch, delivery or layer; or another key's."""


class NotReady(Problem):
    """409: the job has not ended."""


class JobFailed(Problem):
    """409: the job ended in error and has no result."""


class TooLarge(Problem):
    """413: more bytes, pixels or frames than the gateway takes."""


class UnsupportedPicture(Problem):
    """415: not a picture of an accepted format."""


class UnsatisfiableRange(Problem):
    """416: the range begins behind the file's end."""


class InvalidRequest(Problem):
    """422: an option is unknown or not valid, or a batch has more jobs than may ever wait."""


class RejectedInput(InvalidRequest):
    """422: the picture cannot be accepted: damaged, not to be fetched, no such path."""


class IdempotencyKeyReused(InvalidRequest):
    """422: the idempotency key came with something else before."""


class TooManyRequests(Problem):
    """429: the key's rate is used up."""


class QueueFull(TooManyRequests):
    """429: so many jobs wait that there is no room for what came."""


class GatewayFailed(Problem):
    """500: the gateway failed; its log has the reason."""


class Unavailable(Problem):
    """502, 503 or 504: the gateway is busy, has no room, or lies behind a proxy that is alone."""


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
    413: TooLarge,
    415: UnsupportedPicture,
    416: UnsatisfiableRange,
    422: InvalidRequest,
    429: TooManyRequests,
    500: GatewayFailed,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def problem_class(status: int, code: str) -> type[Problem]:
    """Returns the class for a problem of that status and code."""
    return _OF_CODE.get(code) or _OF_STATUS.get(status, Problem)
