"""summary.json's `projects`: which published works this run used, and which it did not, and why."""

from __future__ import annotations

from artscraper_runner.analysis.processors import load_processor, processor_names
from artscraper_runner.stages import load_stage, stage_names
from artscraper_runner.types import Json, Project

# Works that readers may expect, and that no stage or processor of this version uses.
_NOT_APPLIED = (
    Project(
        "Tree-Ring",
        "marks the noise that a diffusion model generates a picture from, so it cannot be applied"
        " to a picture that exists; fourier-ring marks such pictures in another way",
    ),
)


def project_rows(layers: list[Json], analysis: Json | None) -> list[Json]:
    """Return one row a work: `name`, `applied`, `notes`, and `layer_path` or `evidence`."""
    by_stage = {layer["stage"]: layer for layer in layers}
    by_processor = {row["name"]: row for row in (analysis or {}).get("processors", [])}
    rows = [_processor_row(name, by_processor.get(name)) for name in processor_names()]
    rows += [_stage_row(name, by_stage.get(name)) for name in stage_names()]
    rows += [_row(project, applied=False) for project in _NOT_APPLIED]
    return rows


def _processor_row(name: str, result: Json | None) -> Json:
    project = load_processor(name).PROJECT
    if result is None:
        return _row(project, applied=False, notes=f"{project.notes}; not requested")
    if not result["ok"]:
        return _row(project, applied=False, notes=f"failed: {result['error']}")
    return _row(project, applied=True, evidence=f"analysis.json: {name}")


def _stage_row(name: str, layer: Json | None) -> Json:
    project = load_stage(name).project
    if layer is None:
        return _row(project, applied=False, notes=f"{project.notes}; not requested")
    notes = project.notes if layer["applied"] else f"{project.notes}; {layer['reason']}"
    return _row(project, applied=layer["applied"], notes=notes, layer_path=layer["path"])


def _row(project: Project, *, applied: bool, notes: str | None = None, **where: str) -> Json:
    return {"name": project.name, "applied": applied, "notes": notes or project.notes, **where}
