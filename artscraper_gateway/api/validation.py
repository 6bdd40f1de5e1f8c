"""Describe pydantic's findings: one sentence per field, and the fields that exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from artscraper_gateway.errors import InvalidRequest

_MESSAGES = {  # instead of pydantic's, by type of error
    "missing": "expected a value, found none",
    "tuple_type": "expected names, as a list or separated by commas",
}


def invalid_request(
    error: ValidationError, fields: Sequence[str], *, at: tuple[str | int, ...] = ()
) -> InvalidRequest:
    """Return the problem of a value with `fields`; `at` is the place of the whole value."""
    rows = error.errors(include_url=False, include_context=False)
    return InvalidRequest(sentences([{**row, "loc": (*at, *row["loc"])} for row in rows], fields))


def sentences(rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> str:
    """Return pydantic's errors as sentences; `fields` are listed where a field is unknown."""
    parts = []
    for row in rows:
        where = ".".join(str(step) for step in row["loc"])
        message = _MESSAGES.get(row["type"], row["msg"])
        message = message.removeprefix("Value error, ").replace("Tuple should", "List should")
        if row["type"] == "extra_forbidden":
            where, _, name = where.rpartition(".")
            message = _unknown_field(name, fields)
        parts.append(f"{where}: {message}" if where else message)
    return "; ".join(parts)[:2000]


def _unknown_field(name: str, fields: Sequence[str]) -> str:
    """Name the fields that exist, the nearest one first."""
    near = get_close_matches(name.lower().replace("-", "_"), fields, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown field {name[:80]!r}; {hint}valid: {', '.join(fields)}"
