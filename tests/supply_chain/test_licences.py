"""No GPL in the default install; the check sees it where it is."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytest.importorskip("license_expression", reason="NOT TESTED: pip install '.[checks]'")

from supply_chain.known_licences import KNOWN
from supply_chain.licences import is_allowed, packages, pinned

pytestmark = pytest.mark.system

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
        "LicenseRef-NVIDIA-Proprietary",
        "NVIDIA Proprietary Software",
    ],
)
def test_allowed_licences_pass(licence: str) -> None:
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
def test_refused_licences_fail(licence: str) -> None:
    assert not is_allowed(licence)


def test_default_install_has_only_allowed_licences() -> None:
    found = packages(DEFAULT)
    assert {"onnxruntime", "dbos", "pillow", "dlib-bin"} <= {package.name for package in found}
    installed = [package for package in found if package.is_installed]
    assert len(installed) > 50, "most of the default install is to be there to be looked at"
    assert not [package for package in found if package.is_refused]


def test_licences_of_other_platforms_are_listed() -> None:
    cuda = DEFAULT.with_name("server-cuda.txt")
    locked, of_image = (
        set(re.findall(r"^([a-z0-9-]+)==", lock.read_text(), re.MULTILINE))
        for lock in (DEFAULT, cuda)
    )
    assert KNOWN.keys() <= locked | of_image, "the table has what the locks have no more"
    of_cuda = {name for name in of_image if name.startswith(("nvidia-", "onnxruntime-gpu"))}
    of_other_systems = locked - pinned(DEFAULT).keys()
    assert len(of_cuda) >= 8 and of_cuda | of_other_systems <= KNOWN.keys()
    assert all(is_allowed(licence) for licence in KNOWN.values())


def test_command_fails_for_refused_licence(tmp_path: Path) -> None:
    """A package with this licence is put on the path, as if it were installed."""
    installed(tmp_path, "copyleft", "License-Expression: GPL-3.0-only\n")
    done = licences(tmp_path, "copyleft==1.0 \\\n    --hash=sha256:00\nanyio==4.0\n")
    assert done.returncode == 1 and "NOT ALLOWED: copyleft: GPL-3.0-only" in done.stderr
    assert "anyio 4.0\tMIT\n" in done.stdout


def test_command_fails_for_unknown_licence(tmp_path: Path) -> None:
    """Not installed, or saying nothing: only what is in the table may be either."""
    for name in ("silent", "nvidia-cublas"):
        installed(tmp_path, name, "")
    done = licences(
        tmp_path, "absent==1.0\nnvidia-cublas==1.0\nnvidia-nccl-cu99==1.0\nsilent==1.0\n"
    )
    assert done.returncode == 1
    refused = ("absent", "nvidia-nccl-cu99", "silent")
    assert done.stderr.splitlines() == [f"NOT ALLOWED: {name}: UNKNOWN" for name in refused]
    assert "nvidia-cublas 1.0\tLicenseRef-NVIDIA-Proprietary\n" in done.stdout
    assert "absent 1.0\tUNKNOWN\t(not installed here)\n" in done.stdout


def installed(folder: Path, name: str, licence: str) -> None:
    """Put the metadata of a package below `folder`, which then is on the path."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{licence}")


def licences(folder: Path, locked: str) -> subprocess.CompletedProcess[str]:
    """Run the command over a lock file with these lines."""
    lock = folder / "lock.txt"
    lock.write_text(locked)
    return subprocess.run(
        [sys.executable, "-m", "supply_chain.licences", str(lock)],
        env={"PYTHONPATH": f"{REPOSITORY}:{folder}"},
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )


def test_dependencies_are_pinned_within_bounds() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    pins = pinned(DEFAULT)
    for line in (*project["dependencies"], *extras["c2pa"], *extras["faces"]):
        needed = Requirement(line)
        assert pins[canonicalize_name(needed.name)] in needed.specifier, line
