"""List the licence of every package of a lock file, and refuse what may not be brought along.

`python -m supply_chain.licences locks/default.txt` reads what is installed beside it; what the lock
file brings to other machines, and what says nothing of its licence, has to be in `known_licences`.

What is refused: GPL, AGPL and SSPL in every version, and a package whose licence nobody knows.
What is not: LGPL, since a package of Python is loaded at run time and whoever has it can put
another in its place, and we ship none changed; GPL with the exception for GCC's runtime library,
which compiled wheels carry; a choice (OR) with one that is allowed. A package's metadata is taken
at its word: texts of libraries that it bundles are not read.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from license_expression import ExpressionError, get_spdx_licensing
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from supply_chain.known_licences import KNOWN

_SPDX = get_spdx_licensing()
_FIELDS = ("License-Expression", "License-Classifier", "License-Metadata")
_UNKNOWN = "UNKNOWN"
_REFUSED = re.compile(
    r"(?<![A-Za-z])A?GPL|SSPL|(?<!Lesser )(?<!Library )\bGeneral Public Licen[cs]e"
    r"|Affero|Server Side Public",
    re.IGNORECASE,
)
_HARMLESS_EXCEPTIONS = ("GCC-exception", "Classpath-exception", "LLVM-exception")
_SHOWN = 60  # characters of a licence; some put its whole text there


@dataclass(frozen=True)
class Package:
    """A package and its licence, as its metadata or, where that says none, our table has it."""

    name: str
    version: str
    licence: str
    is_installed: bool = True

    @property
    def is_refused(self) -> bool:
        """Whether the project may not bring it along."""
        return not is_allowed(self.licence)


def is_allowed(licence: str) -> bool:
    """Whether a licence, an SPDX expression or a name of a licence, is allowed."""
    if licence == _UNKNOWN:
        return False
    try:
        return _holds(_SPDX.parse(licence))
    except ExpressionError:  # a name in words
        return _REFUSED.search(licence) is None


def pinned(lock: Path) -> dict[str, str]:
    """Return name and version of each package that the lock file installs here."""
    found: dict[str, str] = {}
    for line in lock.read_text("utf-8").splitlines():
        if not line or line[0] in " #":
            continue
        requirement = Requirement(line.removesuffix("\\").strip())
        if requirement.marker is None or requirement.marker.evaluate():
            (specifier,) = requirement.specifier
            found[canonicalize_name(requirement.name)] = specifier.version
    return found


def packages(lock: Path) -> list[Package]:
    """Return what the lock file installs on such a machine, by name, with licences."""
    command = [sys.executable, "-m", "piplicenses", "--from=all", "--format=json", "--with-system"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    licences: dict[str, str] = {
        canonicalize_name(row["Name"]): _licence(row) for row in json.loads(told)
    }
    return [
        Package(name, version, _told_or_known(name, licences.get(name)), name in licences)
        for name, version in sorted(pinned(lock).items())
    ]


def main(lock: str) -> int:
    """Print the list; returns 1 when a licence is not allowed."""
    found = packages(Path(lock))
    for package in found:
        shown = package.licence.splitlines()[0][:_SHOWN]
        where = "" if package.is_installed else "\t(not installed here)"
        print(f"{package.name} {package.version}\t{shown}{where}")
    refused = [package for package in found if package.is_refused]
    for package in refused:
        print(f"NOT ALLOWED: {package.name}: {package.licence}", file=sys.stderr)
    return 1 if refused else 0


def _licence(row: dict[str, Any]) -> str:
    said = (row[name] for name in _FIELDS if row[name] != _UNKNOWN)
    return next(said, _UNKNOWN)


def _told_or_known(name: str, told: str | None) -> str:
    return KNOWN.get(name, _UNKNOWN) if told in (None, _UNKNOWN) else told


def _holds(node: Any) -> bool:
    if isinstance(node, _SPDX.OR):
        return any(_holds(part) for part in node.args)
    if isinstance(node, _SPDX.AND):
        return all(_holds(part) for part in node.args)
    name = str(node)
    if any(exception in name for exception in _HARMLESS_EXCEPTIONS):
        return True
    return _REFUSED.search(name) is None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
