"""Find pictures inside metadata fields: small copies that must not be published."""

from __future__ import annotations

import re

_MIN_BYTES = 64
_SIGNATURES = re.compile(
    rb"\xff\xd8\xff[\xc0-\xfe]|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF.{4}WEBP|ftyp(?:avif|avis|heic|mif1)",
    re.DOTALL,
)
_ENCODED = re.compile(r"\s*(?:data:image/|/9j/|iVBORw0KGgo|R0lGOD|UklGR)")


def holds_picture(value: object) -> bool:
    """Return whether a field's value, bytes or text, is or contains an encoded picture."""
    if isinstance(value, bytes):
        return len(value) >= _MIN_BYTES and _SIGNATURES.search(value) is not None
    if isinstance(value, str) and len(value) >= _MIN_BYTES:
        return _ENCODED.match(value) is not None or (
            _SIGNATURES.search(value.encode("latin-1", errors="replace")) is not None
        )
    return False
