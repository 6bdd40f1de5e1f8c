"""The address guard against 1,000 disguises, from the URL to the connection that must not come."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from artscraper_gateway.errors import DownloadFailed, ForbiddenAddress
from artscraper_gateway.intake.download import download
from artscraper_gateway.net.address_guard import AddressRules
from artscraper_gateway.tests.fuzz.disguised_ways import (
    PUBLIC_V4,
    Internet,
    Way,
    disguised_ways,
    public_ways,
)

pytestmark = [pytest.mark.fuzz, pytest.mark.anyio]


async def follow(way: Way, folder: Path) -> int:
    return await download(
        way.url,
        folder / "picture",
        max_bytes=100,
        timeout_s=20,
        rules=AddressRules(),
        lookup=way.lookup,
        connector=lambda: Internet(way),
    )


async def test_disguised_addresses_are_refused(tmp_path: Path) -> None:
    ways = disguised_ways(seed=0)
    assert len(ways) == 1000
    assert [way.url for way in ways] == [way.url for way in disguised_ways(seed=0)]
    refusals: Counter[tuple[str, str]] = Counter()
    for way in ways:
        try:
            await follow(way, tmp_path)
        except (ForbiddenAddress, DownloadFailed) as refusal:
            refusals[way.kind, refusal.code] += 1
        else:
            pytest.fail(f"got through: {way}")
        assert list(tmp_path.iterdir()) == []
        begins_in_public = way.kind in ("redirected", "rebound")
        assert way.reached == ([PUBLIC_V4] if begins_in_public else []), way
    print(dict(refusals))
    assert all(code == "forbidden-address" for kind, code in refusals if kind != "redirected")


async def test_public_addresses_are_allowed(tmp_path: Path) -> None:
    for way in public_ways(seed=0):
        assert await follow(way, tmp_path) == len(b"picture"), way
