"""Payloads of a watermark: a number of 64 bits, or a text of up to 10 bytes.

A number is 8 bytes, written as 16 hex digits. A text is UTF-8 filled up with zero bytes to 10,
so that the length distinguishes them.
"""

from __future__ import annotations

from artscraper_runner.errors import InvalidOption

NUMBER_BYTES = 8
TEXT_BYTES = 10


def payload_of_text(text: str) -> bytes:
    """Return the TEXT_BYTES bytes that carry `text`.

    Raises:
        InvalidOption: empty, over TEXT_BYTES of UTF-8, not encodable, or with a NUL in it.
    """
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidOption("watermark_text: expected text that UTF-8 can hold") from error
    if not 1 <= len(encoded) <= TEXT_BYTES:
        raise InvalidOption(
            f"watermark_text: expected 1 to {TEXT_BYTES} bytes of UTF-8, found {len(encoded)}"
        )
    if b"\0" in encoded:
        raise InvalidOption("watermark_text: expected text without NUL characters, found one")
    return encoded.ljust(TEXT_BYTES, b"\0")


def text_of_payload(payload: bytes) -> str | None:
    """Return the text that a payload carries; None for a number, nothing and what is no UTF-8."""
    if len(payload) != TEXT_BYTES:
        return None
    try:
        return payload.rstrip(b"\0").decode("utf-8") or None
    except UnicodeDecodeError:
        return None


def payload_of_number(digits: str) -> bytes:
    """Return the NUMBER_BYTES bytes written as hex `digits`.

    Raises:
        InvalidOption: not 16 hex digits.
    """
    try:
        payload = bytes.fromhex(digits)
    except ValueError:
        payload = b""
    if len(payload) != NUMBER_BYTES or len(digits) != 2 * NUMBER_BYTES:
        raise InvalidOption(
            f"watermark_payload: expected {2 * NUMBER_BYTES} hex digits, found {digits!r}"
        )
    return payload
