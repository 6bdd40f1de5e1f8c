"""Copyright notice, usage terms and the statement, read back by exiftool."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from artscraper_runner import ProtectionOptions, RightsStatement, protect_picture
from artscraper_runner.options import SigningSettings
from artscraper_runner.protection_pipeline import WorkflowConfig

from ..watermarks.pictures import painting

pytestmark = pytest.mark.system
pytest.importorskip("c2pa", reason="needs the extra c2pa")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_rights_are_readable_by_exiftool(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"a.{suffix}"
    Image.fromarray(painting(300, 400)).save(source)
    rights = RightsStatement("© 2026 Ada <ada@example.org> & Co", "No use by models", True)
    config = WorkflowConfig(
        ("c2pa",), ProtectionOptions(rights=rights), signing=SigningSettings(tmp_path / "keys")
    )
    summary = protect_picture(source, tmp_path / "out", config=config, include_hash_analysis=False)
    path = summary["layers"][-1]["path"]
    assert summary["layers"][-1]["metrics"]["validation_state"] == "Valid"
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed (apt: libimage-exiftool-perl)")
    command = ["exiftool", "-json", "-n", "-XMP-dc:Rights", "-XMP-xmpRights:UsageTerms"]
    command += ["-XMP-plus:DataMining", path]
    read = subprocess.run(command, capture_output=True, text=True, check=True)
    (found,) = json.loads(read.stdout)
    assert found["Rights"] == rights.copyright_notice
    assert found["UsageTerms"] == rights.usage_terms
    assert "EXCEPTSEARCHENGINEINDEXING" in found["DataMining"].upper()
