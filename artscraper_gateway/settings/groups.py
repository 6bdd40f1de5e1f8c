"""Settings by group, as docs/configuration.md and tables of the TOML file have them.

A group orders settings, it is no part of their names: `[limits] max_side` is `max_side`. Lists are
comma-separated except in TOML, which has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import NoDecode

from artscraper_runner import TINEYE_URL

ENVIRONMENT_PREFIX = "ARTSCRAPER_GATEWAY_"


class ServerSettings(BaseModel):
    """Settings of the server: connections, names, links."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8765, ge=0, le=65_535, description="port to listen on; 0 selects a free one")
    root_path: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="path prefix that a proxy strips, such as /studio",
    )
    trusted_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="host names that requests may use (.example.org allows all below, * any);"
        " if none, loopback names, the bound address, numeric addresses and names without a dot,"
        " and any name if API keys exist",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="origins of web pages that may call the gateway, such as"
        " https://app.example.org; * allows any",
    )
    link_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="secret that signs links to layers; if none, generated in base_dir; the same"
        " for"
        " all web processes of a fleet",
    )
    max_header_bytes: int = Field(
        32_768, ge=1024, le=1024**2, description="bytes of a request's line and headers"
    )
    max_pipelined_bytes: int = Field(
        1024**2,
        ge=1024,
        description="bytes that a client may send behind a request that is being answered",
    )
    max_connections: int | None = Field(
        None,
        ge=1,
        description="open connections; if none, as many as the limit on open files (ulimit -n)"
        " allows",
    )
    max_connections_per_address: int | None = Field(
        None,
        ge=1,
        description="open connections of one address (of one /64 with IPv6); behind a proxy all"
        " come from its address; if none, three quarters of max_connections",
    )
    header_timeout: float = Field(
        15.0, gt=0, le=3600, description="seconds in which a request's head has to arrive"
    )
    body_timeout: float = Field(
        900.0,
        gt=0,
        le=86_400,
        description="seconds in which a request's body has to arrive",
    )
    body_idle_timeout: float = Field(
        30.0, gt=0, le=3600, description="seconds between two pieces of a request's body"
    )
    response_stall_timeout: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="seconds in which a client has to read the next 48 KiB of a response",
    )
    keep_alive_timeout: int = Field(
        5, ge=1, le=3600, description="seconds that a connection stays open between two requests"
    )
    max_wait: float = Field(
        60.0, ge=0, le=600, description="seconds that ?wait=N and Prefer: wait=N may hold a request"
    )
    drain_notice: float = Field(
        0.0,
        ge=0,
        le=600,
        description="seconds after SIGTERM during which requests are served and /readyz is"
        " draining",
    )
    open_metrics: bool = Field(
        False, description="serve /metrics without an API key even if keys exist"
    )
    keep_names: bool | None = Field(
        None,
        description="keep the file names of uploads for lists and downloads; if none, only when the"
        " gateway listens on loopback only",
    )
    show_paths: bool = Field(True, description="show the server's paths in results, beside URLs")


class LimitsSettings(BaseModel):
    """Limits on requests and on the files that they name."""

    max_upload_bytes: int = Field(50 * 1024**2, ge=1, description="bytes of a picture")
    max_batch_bytes: int = Field(512 * 1024**2, ge=1, description="bytes of a batch's upload")
    max_pixels: int = Field(50_000_000, ge=1, description="pixels of a picture, over all frames")
    max_side: int = Field(16_384, ge=1, le=65_535, description="px of a picture's longer side")
    max_frames: int = Field(2_000, ge=1, description="frames of an animated picture")
    max_queued: int = Field(
        10_000, ge=1, description="limit of queued jobs; more are refused with 429"
    )
    request_timeout: float = Field(
        30.0, gt=0, le=3600, description="seconds that a download of image_url may take in all"
    )
    local_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (Path("input"),), description="folders that local_path may refer to"
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="hosts that image_url may name (.example.org allows all below); if none, all",
    )
    allow_private_addresses: bool = Field(
        False, description="allow image_url to reach private addresses (closed installations only)"
    )


class StorageSettings(BaseModel):
    """Settings of the database and of stored jobs."""

    base_dir: Path = Field(
        Path("gateway_jobs"), description="uploads and the job database, which holds queued jobs"
    )
    database_url: SecretStr | None = Field(
        None, description="postgresql://... for a fleet; if none, SQLite in base_dir"
    )
    output_parent: Path | str = Field(
        Path("outputs"), description="each job's results go in a folder here, or s3://bucket/prefix"
    )
    job_ttl: float | None = Field(
        None, gt=0, description="seconds from a job's end to its deletion; if none, never"
    )
    max_disk: int | None = Field(
        None,
        ge=1,
        description="bytes of all jobs, beyond which the oldest finished ones are deleted",
    )
    min_free_disk: int = Field(
        256 * 1024**2, ge=0, description="free bytes below which /readyz reports disk-full"
    )
    max_cache_bytes: int = Field(
        2 * 1024**3,
        ge=1,
        description="bytes of results kept here from object storage, and of uploads",
    )
    storage_retry_for: float = Field(
        3600.0,
        ge=0,
        le=30 * 86_400,
        description="seconds that a job waits out an outage of the disk or object storage",
    )


class WorkersSettings(BaseModel):
    """Settings of workers."""

    worker_concurrency: int = Field(
        1, ge=0, le=64, description="worker processes; 0 if workers elsewhere process the queue"
    )
    queues: Annotated[tuple[str, ...], NoDecode] = Field(
        ("cpu",), description="kinds of jobs that workers started here take: cpu, gpu or both"
    )
    gpu_queue: bool = Field(
        False, description="reserve jobs whose stages use an encoder for workers that take gpu"
    )
    accelerator: str = Field(
        "auto",
        pattern="^(auto|cpu|openvino|cuda|coreml|directml)$",
        description="device that computes the attacks; an unusable one is replaced by the CPU",
    )
    drain_timeout: float = Field(
        30.0, ge=0, le=600, description="seconds that running jobs get to finish at shutdown"
    )
    poll_interval: float = Field(
        0.1, ge=0.01, le=10, description="seconds between a worker's polls of the queue"
    )
    worker_timeout: float = Field(
        8.0,
        ge=2,
        le=3600,
        description="seconds without a heartbeat after which a worker's jobs are released",
    )
    max_stage_attempts: int = Field(
        3, ge=1, le=20, description="worker crashes in one stage after which the job fails"
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65_535,
        description="port on which `worker` serves /metrics, for machines without a gateway;"
        " if none, it is not served",
    )


class ProtectionSettings(BaseModel):
    """Defaults of jobs, and settings of stages and processors."""

    strength: str = Field(
        "medium", pattern="^(low|medium|high)$", description="default strength of jobs"
    )
    stages: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="default stages of jobs, in order; if none, all but optional ones"
    )
    encoder: str = Field("bundled", description="default encoder of jobs")
    preset: str = Field(
        "default", pattern="^(default|published)$", description="default preset of jobs"
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="default seed of jobs")
    nightshade_target: str = Field(
        "forest",
        pattern="^(forest|city|flower)$",
        description="default concept that nightshade moves towards",
    )
    models_dir: Path | None = Field(None, description="folder of encoders' weights")
    allow_downloads: bool = Field(
        False, description="fetch missing weights of published encoders from their hub"
    )
    mist_model: Path | None = Field(
        None,
        description="folder of a diffusion model for mist's fused mode; if none, textural mode",
    )
    recogniser: str = Field(
        "dlib",
        description="face recogniser that fawkes cloaks against: dlib, torch:<file.pt2>,"
        " onnx:<file.onnx>, or several, such as ensemble:dlib+torch:/models/other.pt2",
    )
    c2pa_certificate: Path | None = Field(
        None, description="PEM chain that stage c2pa signs with; if none, a private CA in base_dir"
    )
    c2pa_key: Path | None = Field(None, description="PEM private key of c2pa_certificate")
    copyright_notice: str | None = Field(
        None,
        description="copyright notice (dc:rights) in pictures with the stage c2pa, of jobs that"
        " name none",
    )
    usage_terms: str | None = Field(
        None,
        description="terms of use (xmpRights:UsageTerms) in pictures with the stage c2pa, of jobs"
        " that name none",
    )
    allow_search_engines: bool = Field(
        False,
        description="state in pictures with the stage c2pa that search engines may index them,"
        " unless a job decides",
    )
    opt_out: bool = Field(
        False,
        description="send headers that reserve every picture from text and data mining and AI"
        " training, not only those with a c2pa statement",
    )
    tdm_policy: str | None = Field(
        None,
        pattern=r"^https?://[!-~]+$",
        max_length=1000,
        description="URL of a licence policy, sent as tdm-policy with the opt-out headers",
    )
    tineye_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices(
            "tineye_api_key", f"{ENVIRONMENT_PREFIX}TINEYE_API_KEY", "TINEYE_API_KEY"
        ),
        description="key for TinEye's reverse image search; TINEYE_API_KEY works too",
    )
    tineye_url: str = Field(TINEYE_URL, description="base of TinEye's API")


class LoggingSettings(BaseModel):
    """Settings of the log."""

    log_format: str = Field("text", pattern="^(text|json)$", description="format of log lines")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="log level")


_CLASSES: tuple[type[BaseModel], ...] = (
    ServerSettings,
    LimitsSettings,
    StorageSettings,
    WorkersSettings,
    ProtectionSettings,
    LoggingSettings,
)
GROUPS: dict[str, tuple[str, ...]] = {
    each.__name__.removesuffix("Settings").lower(): tuple(each.model_fields) for each in _CLASSES
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


def variables_of(name: str, field: FieldInfo) -> list[str]:
    """Return the environment variables of a setting, the first one first."""
    alias = field.validation_alias
    others = [str(each) for each in getattr(alias, "choices", ()) if str(each).isupper()]
    return list(dict.fromkeys([f"{ENVIRONMENT_PREFIX}{name.upper()}", *others]))


def is_secret(field: FieldInfo) -> bool:
    """Return whether the setting's value is never to be shown."""
    return "SecretStr" in str(field.annotation)
