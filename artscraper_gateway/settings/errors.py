"""Errors of settings, apart from values that pydantic refuses."""

from __future__ import annotations


class SettingsFileUnusable(ValueError):
    """A named file is missing or unreadable, or a secret is set twice; the message says where."""
