"""List the licence of every package of a lock file, and refuse licences that are not allowed.

`python -m supply_chain.licences locks/default.txt` reads the metadata of installed packages; those
for other platforms, and those without licence metadata, must be in `known_licences`.

Refused: GPL, AGPL and SSPL in every version, and unknown licences. Allowed: LGPL, since a Python
package is loaded at run time, can be replaced by its user, and none is shipped modified; GPL with
the exception for GCC's runtime library, which compiled wheels contain; a choice (OR) with an
allowed licence. Metadata is trusted: licence texts of bundled libraries are not read.
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
_SHOWN = 60  # characters of a licence; some packages put the whole text there


@dataclass(frozen=True)
class Package:
    """A package and its licence, from its metadata or else from the table `KNOWN`."""

    name: str
    version: str
    licence: str
    is_installed: bool = True

    @property
    def is_refused(self) -> bool:
        """Return whether the licence is not allowed."""
        return not is_allowed(self.licence)


def is_allowed(licence: str) -> bool:
    """Return whether a licence, an SPDX expression or a name, is allowed."""
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
    """Return the packages that the lock file installs on this platform, with licences."""
    command = [sys.executable, "-m", "piplicenses", "--from=all", "--format=json", "--with-system"]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    licences: dict[str, str] = {
        canonicalize_name(row["Name"]): _licence(row) for row in json.loads(report)
    }
    return [
        Package(name, version, _declared_or_known(name, licences.get(name)), name in licences)
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
    named = (row[name] for name in _FIELDS if row[name] != _UNKNOWN)
    return next(named, _UNKNOWN)


def _declared_or_known(name: str, declared: str | None) -> str:
    return KNOWN.get(name, _UNKNOWN) if declared in (None, _UNKNOWN) else declared


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
