"""Values that the steps of one picture's run compute once and use again."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")
_KEPT_PER_KIND = 24


class RunCache:
    """Owned by one picture's run and handed to its stages; safe to use from several threads.

    Of each kind of value the last few are kept. Arrays must not be written to once they were used
    as a key or were returned.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, OrderedDict[Hashable, Any]] = {}
        self._arrays: list[tuple[weakref.ref[NDArray[np.uint8]], int]] = []
        self._next_token = 0

    def remember(
        self, kind: str, key: Hashable, compute: Callable[[], T], *, keep: int = _KEPT_PER_KIND
    ) -> T:
        """Return the value of this kind and key; computed where it is not kept.

        Args:
            kind: values of one kind push only each other out.
            key: what the value depends on.
            compute: makes the value.
            keep: how many values of the kind are kept.
        """
        with self._lock:
            values = self._values.setdefault(kind, OrderedDict())
            if key in values:
                values.move_to_end(key)
                kept: T = values[key]
                return kept
        value = compute()
        with self._lock:
            values[key] = value
            while len(values) > keep:
                values.popitem(last=False)
        return value

    def token(self, pixels: NDArray[np.uint8]) -> int:
        """Return a number that identifies this array during its lifetime; for keys."""
        with self._lock:
            self._arrays = [row for row in self._arrays if row[0]() is not None]
            for reference, token in self._arrays:
                if reference() is pixels:
                    return token
            self._next_token += 1
            self._arrays.append((weakref.ref(pixels), self._next_token))
            return self._next_token
