"""Artscraper Gateway: the runner's pipelines over HTTP."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

_HOME = {"GatewayConfig": "settings.model", "create_app": "app"}

__all__ = ["GatewayConfig", "create_app"]

if TYPE_CHECKING:
    from artscraper_gateway.app import create_app
    from artscraper_gateway.settings.model import GatewayConfig


def __getattr__(name: str) -> object:
    """Load the public names when they are first used, so that `--help` is quick."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
