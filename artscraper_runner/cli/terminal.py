"""Escape untrusted text for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return `text` with control characters and undecodable bytes as backslash escapes.

    File names may hold newlines, terminal sequences and marks that reverse the direction of text.
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )
