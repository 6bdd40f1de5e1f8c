"""`check`: the settings in effect, the available components, errors and warnings."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from pydantic import SecretStr, ValidationError

from artscraper_gateway.cli.check_settings import Finding, check_settings, existing, unreadable
from artscraper_gateway.cli.main import config_from, settings_parser
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.settings.sources import (
    SettingsFileUnusable,
    format_value,
    origins,
    wrong_settings,
)
from artscraper_runner import Part, __version__, all_parts, device_name, uses_gpu

_MASKED = "(set, not shown)"


@dataclass(frozen=True)
class Report:
    """The content of the report. `settings` has each value as text and its source."""

    settings: dict[str, dict[str, str]]
    parts: list[Part]
    machine: dict[str, str]
    findings: list[Finding]

    @property
    def would_start(self) -> bool:
        """Whether the service would start: no finding is an error."""
        return all(finding.level != "error" for finding in self.findings)


def main(arguments: Sequence[str], *, prog: str = "python -m artscraper_gateway check") -> int:
    """Run `check`; return 0, or 1 if the service would not start."""
    options = settings_parser("check", prog.removesuffix(" check")).parse_args(arguments)
    as_json = vars(options).get("json", False)
    report = _report(options)
    if as_json:
        print(json.dumps({"would_start": report.would_start, **asdict(report)}, indent=2))
    else:
        print(_text(report))
    return 0 if report.would_start else 1


def _report(options: argparse.Namespace) -> Report:
    try:
        config = config_from(options)
        settings = _settings(config, options)
    except (SettingsFileUnusable, ValidationError) as error:
        wrong = wrong_settings(GatewayConfig, error)
        return Report({}, [], {}, [Finding("error", line) for line in wrong])
    parts = _parts(config)
    device = device_name(config.accelerator)
    findings = check_settings(config, gpu=uses_gpu(config.accelerator))
    obstacles = {part.name: part.reason for part in parts if part.kind == "encoder"}
    if obstacles.get(config.encoder):
        text = f"the default encoder {config.encoder} is unavailable: {obstacles[config.encoder]}"
        findings.append(Finding("warning", text))
    return Report(settings, parts, _machine(config, device), findings)


def _parts(config: GatewayConfig) -> list[Part]:
    """Return the components; c2pa is unavailable if its certificate or key cannot be read."""
    parts = all_parts(
        models_dir=config.models_dir,
        allow_downloads=config.allow_downloads,
        has_tineye_key=config.tineye_api_key is not None,
    )
    missing = "; ".join(unreadable(config, "c2pa_certificate", "c2pa_key"))
    return [
        replace(part, reason=part.reason or missing) if part.name == "c2pa" else part
        for part in parts
    ]


def _settings(config: GatewayConfig, options: argparse.Namespace) -> dict[str, dict[str, str]]:
    sources = origins(GatewayConfig, vars(options))
    return {
        name: {
            "value": _MASKED if isinstance(value, SecretStr) else format_value(value),
            "from": sources[name],
        }
        for name, value in config
    }


def _machine(config: GatewayConfig, device: str) -> dict[str, str]:
    places = {"base_dir": config.base_dir, "output_parent": config.output_folder}
    disks = {
        f"disk of {name}": f"{shutil.disk_usage(existing(place)).free / 1024**3:.1f} GiB free"
        for name, place in places.items()
    }
    return {
        "release": __version__,
        "python": platform.python_version(),
        "device": device,
        **disks,
    }


def _text(report: Report) -> str:
    width = max((len(name) for name in report.settings), default=0)
    lines = ["settings"] if report.settings else []
    for name, row in report.settings.items():
        lines.append(f"  {name:<{width}}  {row['value']}  [{row['from']}]")
    for kind in ("stage", "encoder", "accelerator", "processor"):
        parts = [part for part in report.parts if part.kind == kind]
        lines += ["", f"{kind}s"] if parts else []
        lines += [f"  {part.name:<20} {part.reason or 'available'}" for part in parts]
    if report.machine:
        lines += [
            "",
            "machine",
            *(f"  {name:<22} {value}" for name, value in report.machine.items()),
        ]
    lines += ["", *(f"{each.level.upper()}: {each.text}" for each in report.findings)]
    verdict = "would start" if report.would_start else "would not start"
    warnings = sum(finding.level == "warning" for finding in report.findings)
    count = f"{warnings} warning{'' if warnings == 1 else 's'}"
    return "\n".join([*lines, f"The gateway {verdict}; {count}."]).lstrip("\n")
