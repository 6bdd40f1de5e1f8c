"""Find pictures inside metadata fields: small copies that must not be published."""

from __future__ import annotations

import re

_MIN_BYTES = 64
_SIGNATURES = re.compile(
    rb"\xff\xd8\xff[\xc0-\xfe]|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF.{4}WEBP|ftyp(?:avif|avis|heic|mif1)",
    re.DOTALL,
)
# In base64: behind a data URL's head, or by the first bytes of JPEG, PNG, GIF and RIFF.
_ENCODED = re.compile(
    rb"(?:data:image/[\w.+-]+;base64,|(?<![\w+/])(?:/9j/|iVBORw0KGgo|R0lGOD|UklGR))"
    rb"[A-Za-z0-9+/=\s]{64}"
)


def holds_picture(value: object) -> bool:
    """Return whether a field's value, bytes or text, is or contains an encoded picture."""
    if isinstance(value, str):
        value = value.encode("latin-1", errors="replace")
    if not isinstance(value, bytes) or len(value) < _MIN_BYTES:
        return False
    return _SIGNATURES.search(value) is not None or _ENCODED.search(value) is not None
