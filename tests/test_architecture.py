"""Imports go one way: the gateway uses the runner's public names, files what lies below them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import artscraper_runner

REPOSITORY = Path(__file__).resolve().parents[1]
# Rank of each module or folder; a file may import from its own rank downwards.
RUNNER_RANKS = {
    "errors": 0,
    "types": 0,
    "payloads": 0,
    "timings": 0,
    "containers": 1,
    "row_bands": 0,
    "images": 1,
    "xmp": 1,
    "carried_exif": 1,
    "metrics": 1,
    "workspace": 1,
    "saving": 2,
    "previews": 3,
    "hashes": 2,
    "metadata": 2,
    "steganalysis": 2,
    "watermarks": 2,
    "perceptual_map": 2,
    "transforms": 2,
    "presets": 1,
    "encoders": 2,
    "objectives": 3,
    "engine": 3,
    "denoising_loss": 3,
    "effects": 3,
    "faces": 3,
    "target_pictures": 2,
    "working_size": 2,
    "picture_attack": 3,
    "provenance": 2,
    "processors": 4,
    "protections": 4,
    "analysis": 5,
    "availability": 5,
    "preloading": 5,
    "projects": 5,
    "picture_run": 6,
    "protection_pipeline": 7,
    "cli_options": 7,
    "cli": 8,
    "__main__": 9,
    "__init__": 9,
}
GATEWAY_RANKS = {
    "errors": 0,
    "setting_sources": 0,
    "config": 0,
    "checkpoints": 0,
    "content_tags": 0,
    "logs": 0,
    "tracing": 0,
    "archive": 0,
    "client": 0,
    "migrations": 0,
    "database": 1,
    "upserts": 1,
    "folders": 1,
    "listening": 1,
    "api_keys": 2,
    "deliveries": 2,
    "events": 2,
    "idempotency": 2,
    "figures": 2,
    "exposition": 3,
    "readiness": 3,
    "outages": 1,
    "heartbeats": 2,
    "storage": 2,
    "object_storage": 3,
    "intake": 2,
    "picture_processes": 2,
    "job_records": 2,
    "job_statements": 2,
    "store": 3,
    "previews": 3,
    "watermark_reader": 3,
    "job_observer": 4,
    "job_listing": 4,
    "job_watch": 4,
    "schemas": 4,
    "choices": 5,
    "job_queue": 5,
    "deletion": 6,
    "submission": 6,
    "job_steps": 6,
    "jobs": 7,
    "batches": 7,
    "delivery_sender": 7,
    "light_jobs": 8,
    "retention": 7,
    "worker": 9,
    "workers": 8,
    "routes": 8,
    "app": 9,
    "cli": 10,
    "server": 10,
    "key_commands": 10,
    "pictures_to_submit": 1,
    "picture_submission": 1,
    "submit_command": 10,
    "settings_reference": 1,
    "settings_check": 9,
    "check_command": 11,
    "__main__": 11,
    "__init__": 10,
}


def sources(package: str) -> list[Path]:
    folder = REPOSITORY / package
    return [path for path in sorted(folder.rglob("*.py")) if "tests" not in path.parts]


def imported(path: Path, package: str) -> list[str]:
    """The modules of `package` that a file imports when it runs, `from x import y` as x.y."""
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


def part_of(path: Path, package: str) -> str:
    return path.relative_to(REPOSITORY / package).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    ("package", "ranks"),
    [("artscraper_runner", RUNNER_RANKS), ("artscraper_gateway", GATEWAY_RANKS)],
)
def test_files_import_from_their_rank_downwards(package: str, ranks: dict[str, int]) -> None:
    for path in sources(package):
        part = part_of(path, package)
        assert part in ranks, f"give {part} a rank here"
        for name in imported(path, package):
            used = ranks.get(name.split(".")[1], 0)
            assert used <= ranks[part], f"{path.name} imports {name}, which lies above"


def test_the_runner_knows_no_server_and_no_database() -> None:
    for path in sources("artscraper_runner"):
        text = path.read_text()
        for foreign in ("artscraper_gateway", "fastapi", "starlette", "sqlalchemy", "dbos"):
            assert f"import {foreign}" not in text and f"from {foreign}" not in text, path


def test_the_gateway_calls_only_the_runners_public_names() -> None:
    public = {f"artscraper_runner.{name}" for name in [*artscraper_runner._HOME, "__version__"]}
    for path in sources("artscraper_gateway"):
        assert set(imported(path, "artscraper_runner")) <= public, path


@pytest.mark.parametrize("name", sorted(artscraper_runner._HOME))
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(artscraper_runner, name) is not None


def test_no_file_names_a_machine_or_is_too_long() -> None:
    for package in ("artscraper_runner", "artscraper_gateway", "artorize_gateway"):
        for path in sources(package):
            text = path.read_text()
            assert text.count("\n") <= 400, f"split {path}"
            assert f"/{'work'}/" not in text and "/root/" not in text, path
