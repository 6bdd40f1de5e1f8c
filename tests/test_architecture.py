"""Rules of the layout that import-linter's contracts (pyproject.toml, `make lint`) cannot say."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import artscraper_runner

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("artscraper_runner", "artscraper_gateway", "artorize_gateway")
MAX_MODULES = 16  # in one folder


def sources(package: str) -> list[Path]:
    folder = REPOSITORY / package
    return [path for path in sorted(folder.rglob("*.py")) if "tests" not in path.parts]


def imported(path: Path, package: str) -> list[str]:
    """Return the modules of `package` imported at run time, `from x import y` as x.y."""
    found = []
    for node in _outside_type_checking(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if name.split(".")[0] == package]


def _outside_type_checking(tree: ast.AST) -> list[ast.AST]:
    nodes: list[ast.AST] = []
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        nodes += [child, *_outside_type_checking(child)]
    return nodes


def test_runner_imports_neither_server_nor_database() -> None:
    for path in sources("artscraper_runner"):
        text = path.read_text()
        for foreign in ("artscraper_gateway", "fastapi", "starlette", "sqlalchemy", "dbos"):
            assert f"import {foreign}" not in text and f"from {foreign}" not in text, path


def test_gateway_uses_only_public_names_of_the_runner() -> None:
    public = {f"artscraper_runner.{name}" for name in [*artscraper_runner._HOME, "__version__"]}
    for path in sources("artscraper_gateway"):
        assert set(imported(path, "artscraper_runner")) <= public, path


@pytest.mark.parametrize("name", sorted(artscraper_runner._HOME))
def test_every_public_name_exists(name: str) -> None:
    assert getattr(artscraper_runner, name) is not None


def test_files_are_short_and_name_no_machine() -> None:
    for package in PACKAGES:
        for path in sources(package):
            text = path.read_text()
            assert text.count("\n") <= 400, f"split {path}"
            assert f"/{'work'}/" not in text and "/root/" not in text, path


def test_folders_hold_few_modules() -> None:
    for package in PACKAGES:
        folders = [path.parent for path in sources(package) if path.name != "__init__.py"]
        crowded = {folder for folder in folders if folders.count(folder) > MAX_MODULES}
        assert not crowded
