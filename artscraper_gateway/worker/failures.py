"""Classify the errors of a job: storage outage, out of memory, or a failure to report."""

from __future__ import annotations

import errno
import os

from dbos import PortableWorkflowError

from artscraper_gateway.db.retry import is_full
from artscraper_gateway.errors import causes
from artscraper_gateway.storage.base import ObjectStorageError
from artscraper_runner import RunnerError

# A disk or object storage that may work again later; not a file that is missing.
_STORAGE_ERRORS = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM),
        *(errno.EBUSY, errno.EMFILE, errno.ENFILE),
        *(errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN),
        *(errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH),
        *(errno.ENOTCONN, errno.ECONNABORTED, errno.ENETDOWN),  # of a FUSE mount that ended
    }
)
_NO_MEMORY_TEXTS = ("cannot allocate memory", "can't allocate memory", "out of memory")
OUT_OF_MEMORY = (
    "the worker ran out of memory; send a smaller picture, or give the workers more memory"
)
_INTERNAL = "internal error; the gateway's log has the reason"


class StorageOutage(BaseException):
    """A storage outage; the job has to wait.

    Not an `Exception`: DBOS would record it as the result of the step, for ever.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def storage_outage(error: BaseException) -> str | None:
    """Return the reason of a storage outage that caused `error`; None for other errors."""
    for each in causes(error):
        if isinstance(each, StorageOutage):
            return each.reason
        if isinstance(each, ObjectStorageError) or (
            isinstance(each, OSError) and each.errno in _STORAGE_ERRORS
        ):
            return each.strerror or os.strerror(each.errno or 0)
        if is_full(each):
            return os.strerror(errno.ENOSPC)
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` comes from a failed allocation, in Python or in a library."""
    return any(
        isinstance(each, MemoryError)
        or (isinstance(each, OSError) and each.errno == errno.ENOMEM)
        or any(text in str(each).lower() for text in _NO_MEMORY_TEXTS)
        for each in causes(error)
    )


def public_reason(error: BaseException) -> str:
    """Return what callers may read about a job that failed with `error`."""
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    if isinstance(error, RunnerError | PortableWorkflowError):
        return str(error)
    reason = storage_outage(error)
    if reason is not None:
        return f"the gateway could not store the results: {reason}"
    if isinstance(error, OSError) and error.strerror:
        return f"the gateway could not store the results: {error.strerror}"
    return _INTERNAL
