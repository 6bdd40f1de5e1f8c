"""Settings by group, as docs/configuration.md and tables of the TOML file have them.

A group orders settings, it is no part of their names: `[limits] max_side` is `max_side`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GROUPS: dict[str, tuple[str, ...]] = {
    "server": (
        "host",
        "port",
        "root_path",
        "trusted_hosts",
        "cors_origins",
        "link_secret",
        "max_header_bytes",
        "max_connections",
        "max_connections_per_address",
        "header_timeout",
        "body_timeout",
        "body_idle_timeout",
        "response_stall_timeout",
        "keep_alive_timeout",
        "max_wait",
        "drain_notice",
        "open_metrics",
        "keep_names",
        "show_paths",
    ),
    "limits": (
        "max_upload_bytes",
        "max_batch_bytes",
        "max_pixels",
        "max_side",
        "max_frames",
        "max_queued",
        "request_timeout",
        "local_roots",
        "allowed_hosts",
        "allow_private_addresses",
    ),
    "storage": (
        "base_dir",
        "database_url",
        "output_parent",
        "job_ttl",
        "max_disk",
        "min_free_disk",
        "max_cache_bytes",
        "storage_retry_for",
    ),
    "workers": (
        "worker_concurrency",
        "queues",
        "gpu_queue",
        "accelerator",
        "drain_timeout",
        "poll_interval",
        "worker_timeout",
        "max_stage_attempts",
        "metrics_port",
    ),
    "protection": (
        "strength",
        "stages",
        "encoder",
        "preset",
        "seed",
        "nightshade_target",
        "models_dir",
        "allow_downloads",
        "mist_model",
        "c2pa_certificate",
        "c2pa_key",
        "opt_out",
        "tdm_policy",
        "tineye_api_key",
        "tineye_url",
    ),
    "logging": ("log_format", "log_level"),
}


def flatten(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a TOML file without its groups.

    Raises:
        ValueError: a setting is in another group than its own, or twice.
    """
    settings = {name: value for name, value in tables.items() if name not in GROUPS}
    for group in GROUPS:
        table = tables.get(group, {})
        if not isinstance(table, Mapping):
            raise ValueError(f"{group}: expected a table of settings, found a value")
        for name, value in table.items():
            home = next((each for each, members in GROUPS.items() if name in members), group)
            if home != group:
                raise ValueError(f"{name}: expected in [{home}] or in no table, found in [{group}]")
            if name in settings:
                raise ValueError(f"{name}: expected once, found in [{group}] and in no table")
            settings[name] = value
    return settings
