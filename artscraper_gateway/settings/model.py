"""Every setting of the gateway: a constructor argument, a CLI option, an environment variable, a
line of `.env` or of a TOML file; see `sources.py` for their order.

Lists are comma-separated but for TOML, which has its own. docs/configuration.md is made from here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from artscraper_gateway.settings.child_environment import environment_of
from artscraper_gateway.settings.database_url import checked_database_url
from artscraper_gateway.settings.names import ENVIRONMENT_PREFIX
from artscraper_gateway.settings.sources import file_sources
from artscraper_runner import TINEYE_URL, PictureLimits


class GatewayConfig(BaseSettings):
    """Settings of one gateway. Relative folders are taken from the working directory, once.

    Raises:
        pydantic.ValidationError: a value is out of its range, or a name is unknown.
        SettingsFileUnusable: the TOML file is not there, or is no TOML.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        populate_by_name=True,
        hide_input_in_errors=True,  # what launchers print of them; addresses may hold passwords
    )

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8765, ge=0, le=65_535, description="port to listen on; 0 = any free one")
    root_path: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="path that a proxy serves the gateway under and takes off, such as /studio",
    )
    max_header_bytes: int = Field(
        32_768, ge=1024, le=1024**2, description="bytes of a request's line and headers"
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
    base_dir: Path = Field(
        Path("gateway_jobs"), description="uploads and the job database; jobs that wait live here"
    )
    database_url: SecretStr | None = Field(
        None, description="postgresql://... for a fleet; none = SQLite in base_dir"
    )
    output_parent: Path | str = Field(
        Path("outputs"), description="each job's results go in a folder here, or s3://bucket/prefix"
    )
    worker_concurrency: int = Field(
        1, ge=0, le=64, description="worker processes; 0 = none here, others work the queue"
    )
    queues: Annotated[tuple[str, ...], NoDecode] = Field(
        ("cpu",), description="kinds of jobs that workers started here take: cpu, gpu or both"
    )
    gpu_queue: bool = Field(
        False, description="leave jobs whose stages use an encoder to workers that take gpu"
    )
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
    keep_names: bool | None = Field(
        None,
        description="keep the file names of uploads for lists and downloads; none = where the"
        " gateway listens on loopback only",
    )
    show_paths: bool = Field(True, description="show the server's paths in results, beside URLs")
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
    max_upload_bytes: int = Field(50 * 1024**2, ge=1, description="bytes of a picture")
    max_pixels: int = Field(50_000_000, ge=1, description="pixels of a picture, over all frames")
    max_side: int = Field(16_384, ge=1, le=65_535, description="px of a picture's longer side")
    max_frames: int = Field(2_000, ge=1, description="frames of an animated picture")
    max_wait: float = Field(
        60.0, ge=0, le=600, description="seconds that ?wait=N and Prefer: wait=N may hold a request"
    )
    max_queued: int = Field(10_000, ge=1, description="jobs that may wait; more are a 429")
    max_batch_bytes: int = Field(512 * 1024**2, ge=1, description="bytes of a batch's upload")
    job_ttl: float | None = Field(
        None, gt=0, description="seconds after its end that a job is deleted; none = never"
    )
    max_disk: int | None = Field(
        None, ge=1, description="bytes of all jobs, beyond which the oldest finished ones go"
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
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65_535,
        description="port on which `worker` answers /metrics, for machines without a gateway;"
        " none = it does not",
    )
    max_stage_attempts: int = Field(
        3, ge=1, le=20, description="worker deaths in one stage after which the job ends in error"
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
    accelerator: str = Field(
        "auto",
        pattern="^(auto|cpu|openvino|cuda|coreml|directml)$",
        description="what computes the attacks; one that is not usable is replaced by the CPU",
    )
    mist_model: Path | None = Field(
        None, description="folder of a diffusion model for mist's fused mode; none = textural"
    )
    c2pa_certificate: Path | None = Field(
        None, description="PEM chain that stage c2pa signs with; none = a private CA in base_dir"
    )
    c2pa_key: Path | None = Field(None, description="PEM private key of c2pa_certificate")
    tineye_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices(
            "tineye_api_key", f"{ENVIRONMENT_PREFIX}TINEYE_API_KEY", "TINEYE_API_KEY"
        ),
        description="key for TinEye's reverse image search; TINEYE_API_KEY works too",
    )
    tineye_url: str = Field(TINEYE_URL, description="base of TinEye's API")
    min_free_disk: int = Field(
        256 * 1024**2, ge=0, description="free bytes below which /readyz answers disk-full"
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
    log_format: str = Field("text", pattern="^(text|json)$", description="one line an event")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="log level")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, the first to decide first."""
        return init_settings, env_settings, *file_sources(settings_cls)

    @field_validator(
        "local_roots",
        "allowed_hosts",
        "trusted_hosts",
        "cors_origins",
        "queues",
        "stages",
        mode="before",
    )
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("trusted_hosts")
    @classmethod
    def _host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name != "*" and not re.fullmatch(
                r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*|[0-9a-fA-F:.]+", name
            ):
                raise ValueError("expected host names without scheme and port, such as example.org")
        return tuple(name.lower() for name in value)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+", origin):
                raise ValueError("expected origins such as https://app.example.org, or *")
        return tuple(origin.lower() for origin in value)

    @field_validator("queues")
    @classmethod
    def _known_queues(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not set(value) <= {"cpu", "gpu"}:
            raise ValueError("expected cpu, gpu or both, separated by a comma")
        return value

    @field_validator("stages")
    @classmethod
    def _known_stages(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from artscraper_runner import InvalidOption, chosen_stages  # `--help` answers without them

        try:
            return chosen_stages(value)
        except InvalidOption as error:
            raise ValueError(str(error)) from error

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, value: str) -> str:
        from artscraper_runner import (
            InvalidOption,
            MissingDependency,
            ProtectionOptions,
            check_options,
        )

        try:
            check_options(ProtectionOptions(encoder=value))
        except (InvalidOption, MissingDependency) as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        return checked_database_url(value)

    @field_validator("output_parent", "tineye_url", mode="before")
    @classmethod
    def _no_password(cls, value: Any) -> Any:
        """These addresses are shown: by `check`, and in the answers for results."""
        if isinstance(value, str) and re.match(r"[\w+.-]+://[^/?#@]*:[^/?#]*@", value):
            raise ValueError(
                "expected an address without a password; for storage by fsspec it belongs into its"
                " own settings, such as FSSPEC_SFTP_PASSWORD"
            )
        return value

    @field_validator("output_parent", mode="before")
    @classmethod
    def _folder_or_url(cls, value: Any) -> Any:
        if isinstance(value, str) and "://" in value:
            return value.rstrip("/")
        return Path(value).absolute()

    @field_validator("base_dir", "models_dir", "mist_model", "c2pa_certificate", "c2pa_key")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.absolute()

    @field_validator("local_roots")
    @classmethod
    def _all_absolute(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.absolute() for path in value)

    @property
    def is_loopback(self) -> bool:
        """Return whether only this machine can connect."""
        return self.host in ("127.0.0.1", "::1", "localhost")

    @property
    def keeps_names(self) -> bool:
        """Return whether file names of uploads are stored with their jobs."""
        return self.is_loopback if self.keep_names is None else self.keep_names

    @property
    def output_folder(self) -> Path:
        """The folder of results on this machine; with object storage a cache of them."""
        if isinstance(self.output_parent, Path):
            return self.output_parent
        return self.base_dir / "results"

    @property
    def database_path(self) -> Path:
        """The SQLite file that holds jobs and queue."""
        return self.base_dir / "gateway.sqlite3"

    @property
    def picture_limits(self) -> PictureLimits:
        """The limits on pictures, as the runner takes them."""
        return PictureLimits(
            max_bytes=self.max_upload_bytes,
            max_pixels=self.max_pixels,
            max_side=self.max_side,
            max_frames=self.max_frames,
        )

    def environment(self) -> dict[str, str]:
        """Return the variables that make another process build this same configuration.

        The process reads no files, whose values would take the place of those that are none.
        """
        return environment_of(self)
