"""Settings by group, as docs/configuration.md and tables of the TOML file have them.

A group orders settings, it is no part of their names: `[limits] max_side` is `max_side`. Lists are
comma-separated except in TOML, which has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, Field, SecretStr
from pydantic_settings import NoDecode

from artscraper_gateway.settings.names import ENVIRONMENT_PREFIX
from artscraper_runner import TINEYE_URL


class ServerSettings(BaseModel):
    """Settings of the server: connections, names, links."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8765, ge=0, le=65_535, description="port to listen on; 0 = any free one")
    root_path: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="path that a proxy serves the gateway under and takes off, such as /studio",
    )
    trusted_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="host names that requests may come by (.example.org = all below, * = any);"
        " none = loopback names, the bound address, numeric addresses and names without a dot,"
        " and any name where there are API keys",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="origins of web pages that may call the gateway, such as"
        " https://app.example.org; * = any",
    )
    link_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="secret that signs links to layers; none = one drawn in base_dir; the same for"
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
        description="open connections; none = what the limit on open files (ulimit -n) leaves",
    )
    max_connections_per_address: int | None = Field(
        None,
        ge=1,
        description="open connections of one address (of one /64 with IPv6); behind a proxy all"
        " come from its address; none = three quarters of max_connections",
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
        description="seconds in which a client has to take the next 48 KiB of an answer",
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
        description="seconds after SIGTERM that serve still answers, with /readyz draining",
    )
    open_metrics: bool = Field(
        False, description="answer /metrics without an API key, where there are keys"
    )
    keep_names: bool | None = Field(
        None,
        description="keep the file names of uploads for lists and downloads; none = where the"
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
    max_queued: int = Field(10_000, ge=1, description="jobs that may wait; more are a 429")
    request_timeout: float = Field(
        30.0, gt=0, le=3600, description="seconds that a download of image_url may take in all"
    )
    local_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (Path("input"),), description="folders that local_path may name files in"
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="hosts that image_url may name (.example.org = all below); none = all"
    )
    allow_private_addresses: bool = Field(
        False, description="let image_url reach private addresses (closed installations only)"
    )


class StorageSettings(BaseModel):
    """Settings of the database and of stored jobs."""

    base_dir: Path = Field(
        Path("gateway_jobs"), description="uploads and the job database; jobs that wait live here"
    )
    database_url: SecretStr | None = Field(
        None, description="postgresql://... for a fleet; none = SQLite in base_dir"
    )
    output_parent: Path | str = Field(
        Path("outputs"), description="each job's results go in a folder here, or s3://bucket/prefix"
    )
    job_ttl: float | None = Field(
        None, gt=0, description="seconds after its end that a job is deleted; none = never"
    )
    max_disk: int | None = Field(
        None, ge=1, description="bytes of all jobs, beyond which the oldest finished ones go"
    )
    min_free_disk: int = Field(
        256 * 1024**2, ge=0, description="free bytes below which /readyz answers disk-full"
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
        description="seconds that a job waits for a disk or object storage that is away",
    )


class WorkersSettings(BaseModel):
    """Settings of workers."""

    worker_concurrency: int = Field(
        1, ge=0, le=64, description="worker processes; 0 = none here, others work the queue"
    )
    queues: Annotated[tuple[str, ...], NoDecode] = Field(
        ("cpu",), description="kinds of jobs that workers started here take: cpu, gpu or both"
    )
    gpu_queue: bool = Field(
        False, description="leave jobs whose stages use an encoder to workers that take gpu"
    )
    accelerator: str = Field(
        "auto",
        pattern="^(auto|cpu|openvino|cuda|coreml|directml)$",
        description="what computes the attacks; one that is not usable is replaced by the CPU",
    )
    drain_timeout: float = Field(
        30.0, ge=0, le=600, description="seconds that running jobs get to finish at shutdown"
    )
    poll_interval: float = Field(
        0.1, ge=0.01, le=10, description="seconds between a worker's looks at the queue"
    )
    worker_timeout: float = Field(
        8.0, ge=2, le=3600, description="seconds of silence after which others take a worker's jobs"
    )
    max_stage_attempts: int = Field(
        3, ge=1, le=20, description="worker deaths in one stage after which the job ends in error"
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65_535,
        description="port on which `worker` answers /metrics, for machines without a gateway;"
        " none = it does not",
    )


class ProtectionSettings(BaseModel):
    """Defaults of jobs, and settings of stages and processors."""

    strength: str = Field(
        "medium", pattern="^(low|medium|high)$", description="strength of jobs that name none"
    )
    stages: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="stages of jobs that name none, in this order; none = all but optional ones"
    )
    encoder: str = Field("bundled", description="encoder of jobs that name none")
    preset: str = Field(
        "default", pattern="^(default|published)$", description="preset of jobs that name none"
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of jobs that name none")
    nightshade_target: str = Field(
        "forest",
        pattern="^(forest|city|flower)$",
        description="concept that nightshade moves towards, of jobs that name none",
    )
    models_dir: Path | None = Field(None, description="folder of encoders' weights")
    allow_downloads: bool = Field(
        False, description="fetch missing weights of published encoders from their hub"
    )
    mist_model: Path | None = Field(
        None, description="folder of a diffusion model for mist's fused mode; none = textural"
    )
    c2pa_certificate: Path | None = Field(
        None, description="PEM chain that stage c2pa signs with; none = a private CA in base_dir"
    )
    c2pa_key: Path | None = Field(None, description="PEM private key of c2pa_certificate")
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

    log_format: str = Field("text", pattern="^(text|json)$", description="one line an event")
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
