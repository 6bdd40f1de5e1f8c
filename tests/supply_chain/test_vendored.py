"""Scripts that are vendored for the page stand in the SBOM, unchanged and with their licence."""

from __future__ import annotations

import hashlib
import json

from artscraper_gateway.tests.gateway_process import REPOSITORY

VENDOR = REPOSITORY / "artscraper_gateway" / "web" / "static" / "vendor"
SBOM = REPOSITORY / "supply_chain" / "vendored.cdx.json"


def test_vendored_scripts_are_listed_with_hash_and_licence() -> None:
    listed = set()
    for component in json.loads(SBOM.read_text())["components"]:
        (place,) = (row["value"] for row in component["properties"])
        path = REPOSITORY / place
        (stated,) = component["hashes"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == stated["content"], place
        assert component["licenses"][0]["license"]["id"] in ("MIT", "Apache-2.0")
        assert (path.parent / "LICENSE").is_file()
        listed.add(path.parent)
    assert listed == {path for path in VENDOR.iterdir() if path.is_dir()}
