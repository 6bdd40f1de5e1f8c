"""Values that one picture's run computes once and reuses."""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
_KEPT_PER_KIND = 24
_KEPT_DIGESTS = 256
_PURGE_FROM = 64  # arrays, dead ones among them


class RunCache:
    """Owned by one picture's run and handed to its stages; safe to use from several threads.

    The last few values of each kind are kept. Arrays must not be written to once they were used
    as a key or were returned.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, OrderedDict[Hashable, Any]] = {}
        self._computing: dict[tuple[str, Hashable], threading.Event] = {}
        self._tokens: dict[int, tuple[weakref.ref[NDArray[Any]], int]] = {}  # by id
        self._purge_at = _PURGE_FROM
        self._next_token = 0

    def remember(
        self, kind: str, key: Hashable, compute: Callable[[], T], *, keep: int = _KEPT_PER_KIND
    ) -> T:
        """Return the value of this kind and key, computed if it is not cached.

        A thread that needs a value which another one is computing waits for it.

        Args:
            kind: values of one kind evict only each other.
            key: the inputs of the value.
            compute: makes the value.
            keep: how many values of the kind are kept.
        """
        while True:
            with self._lock:
                values = self._values.setdefault(kind, OrderedDict())
                if key in values:
                    values.move_to_end(key)
                    kept: T = values[key]
                    return kept
                computing = self._computing.get((kind, key))
                if computing is None:
                    done = self._computing[kind, key] = threading.Event()
                    break
            computing.wait()
        try:
            value = compute()
            with self._lock:
                values[key] = value
                while len(values) > keep:
                    values.popitem(last=False)
            return value
        finally:
            with self._lock:
                del self._computing[kind, key]
            done.set()

    def token(self, array: NDArray[Any]) -> int:
        """Return a number that identifies this array during its lifetime; for keys."""
        with self._lock:
            known = self._tokens.get(id(array))
            if known is not None and known[0]() is array:
                return known[1]
            if len(self._tokens) >= self._purge_at:
                self._tokens = {
                    place: row for place, row in self._tokens.items() if row[0]() is not None
                }
                self._purge_at = 2 * len(self._tokens) + _PURGE_FROM
            self._next_token += 1
            self._tokens[id(array)] = (weakref.ref(array), self._next_token)
            return self._next_token

    def digest(self, array: NDArray[Any]) -> bytes:
        """Return the SHA-256 of an array's shape and content, computed once for each array."""
        return self.remember(
            "digest", self.token(array), lambda: _digest(array), keep=_KEPT_DIGESTS
        )


def _digest(array: NDArray[Any]) -> bytes:
    digest = hashlib.sha256(repr(array.shape).encode())
    digest.update(array.data if array.flags.c_contiguous else array.tobytes())
    return digest.digest()
