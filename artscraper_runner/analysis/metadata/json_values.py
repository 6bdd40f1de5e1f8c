"""Turn whatever a file's fields hold into values that JSON can hold, of bounded size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Rational
from typing import Any

TEXT_MAX = 2_000  # characters of any one value
LIST_MAX = 64
FIELDS_MAX = 256
_DEPTH_MAX = 4


def json_value(value: Any, depth: int = 0) -> Any:
    """Return numbers as numbers (NaN, infinite and n/0 as None), bytes as text, None as None.

    Text is cut at `TEXT_MAX` characters, sequences at `LIST_MAX`, mappings at `FIELDS_MAX`;
    what nests deeper than any real field, or is of no known type, is described by its `str`.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float | Rational):
        return _number(value)
    if isinstance(value, bytes):
        return clean_text(value[: 4 * TEXT_MAX].decode("utf-8", errors="replace"))
    if isinstance(value, tuple | list) and depth < _DEPTH_MAX:
        return [json_value(item, depth + 1) for item in value[:LIST_MAX]]
    if isinstance(value, Mapping) and depth < _DEPTH_MAX:
        items = list(value.items())[:FIELDS_MAX]
        return {clean_text(str(key)): json_value(item, depth + 1) for key, item in items}
    return clean_text(str(value))


def clean_text(text: str) -> str:
    """Return `text` without NUL and lone surrogates, at most `TEXT_MAX` characters of it."""
    text = text[: 4 * TEXT_MAX].replace("\0", "")
    return text.encode("utf-8", errors="replace").decode("utf-8")[:TEXT_MAX]


def _number(value: float | Rational) -> float | None:
    try:
        number = float(value)
    except (ZeroDivisionError, OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None
