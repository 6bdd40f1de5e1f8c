"""A router whose GET routes also serve HEAD."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from fastapi import APIRouter


class ReadableRouter(APIRouter):
    """Add a HEAD route, which the description leaves out, beside each GET route."""

    def add_api_route(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: Collection[str] | None = None,
        **options: Any,
    ) -> None:
        """Add the route, and a HEAD route if it serves GET."""
        super().add_api_route(path, endpoint, methods=list(methods or ("GET",)), **options)
        if methods is None or "GET" in methods:
            options["include_in_schema"] = False
            super().add_api_route(path, endpoint, methods=["HEAD"], **options)
