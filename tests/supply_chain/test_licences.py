"""No GPL in the default install; the check sees it where it is."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytest.importorskip("license_expression", reason="NOT TESTED: pip install '.[checks]'")

from supply_chain.licences import is_allowed, packages, pinned

REPOSITORY = Path(__file__).resolve().parents[2]
DEFAULT = REPOSITORY / "locks" / "default.txt"


@pytest.mark.parametrize(
    "licence",
    [
        "MIT",
        "Apache-2.0 AND MIT",
        "LGPL-3.0-only",
        "GNU Lesser General Public License v3 (LGPLv3)",
        "GPL-2.0-only OR MIT",
        "(GPL-2.0-only OR MIT) AND BSD-3-Clause",
        "GPL-3.0-or-later WITH GCC-exception-3.1 AND BSD-3-Clause",
        "Boost Software License",
        "BSD License",
        "Python Software Foundation License",
    ],
)
def test_allowed(licence: str) -> None:
    assert is_allowed(licence)


@pytest.mark.parametrize(
    "licence",
    [
        "GPL-3.0-only",
        "GPLv2+",
        "AGPL-3.0-or-later",
        "SSPL-1.0",
        "MIT AND GPL-2.0-only",
        "(MIT OR BSD-3-Clause) AND GPL-3.0-only",
        "GNU General Public License v3 (GPLv3)",
        "GNU Affero General Public License v3",
        "GPL-2.0-only OR AGPL-3.0-only",
        "UNKNOWN",
    ],
)
def test_refused(licence: str) -> None:
    assert not is_allowed(licence)


def test_the_default_install_brings_nothing_that_is_refused() -> None:
    found = packages(DEFAULT)
    assert {"torch", "dbos", "pillow", "dlib-bin"} <= {package.name for package in found}
    known = [package for package in found if package.licence is not None]
    assert len(known) > 50, "most of the default install is to be there to be looked at"
    assert not [package for package in found if package.is_refused]


def test_the_command_fails_where_a_licence_is_refused(tmp_path: Path) -> None:
    """A package with this licence is put on the path, as if it were installed."""
    folder = tmp_path / "copyleft-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: copyleft\nVersion: 1.0\nLicense-Expression: GPL-3.0-only\n"
    )
    lock = tmp_path / "lock.txt"
    lock.write_text("copyleft==1.0 \\\n    --hash=sha256:00\nanyio==4.0\n")
    done = subprocess.run(
        [sys.executable, "-m", "supply_chain.licences", str(lock)],
        env={"PYTHONPATH": f"{REPOSITORY}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 1 and "NOT ALLOWED: copyleft: GPL-3.0-only" in done.stderr
    assert "anyio 4.0\tMIT" in done.stdout


def test_every_dependency_of_the_project_is_pinned_within_its_bounds() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    pins = pinned(DEFAULT)
    for line in (*project["dependencies"], *extras["c2pa"], *extras["faces"]):
        needed = Requirement(line)
        assert pins[canonicalize_name(needed.name)] in needed.specifier, line
