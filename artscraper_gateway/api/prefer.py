"""The `Prefer` header (RFC 7240): `respond-async` and `wait=N`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preference:
    """What a caller prefers. `wait_s` None = not stated; anything unreadable is ignored."""

    respond_async: bool = False
    wait_s: float | None = None

    @classmethod
    def parse(cls, header: str) -> Preference:
        """Returns the preferences that a header states."""
        respond_async, wait_s = False, None
        for part in header.split(","):
            name, _, value = part.split(";")[0].strip().partition("=")
            value = value.strip().strip('"')
            if name.strip().lower() == "respond-async":
                respond_async = True
            elif name.strip().lower() == "wait" and value.isascii() and value.isdigit():
                wait_s = float(value[:9])
        return cls(respond_async, wait_s)
