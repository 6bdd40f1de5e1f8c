"""The settings of one gateway, validated.

Each setting of `groups.py` is a constructor argument, an option of the command line, a variable of
the environment, and a line of `.env` or of a TOML file; see `sources.py` for their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from artscraper_gateway.settings.groups import (
    ENVIRONMENT_PREFIX,
    LimitsSettings,
    LoggingSettings,
    ProtectionSettings,
    ServerSettings,
    StorageSettings,
    WorkersSettings,
    is_secret,
)
from artscraper_gateway.settings.sources import (
    FILE_VARIABLE,
    NO_FILES,
    all_variables_of,
    file_sources,
)
from artscraper_runner import InvalidOption, MissingDependency, PictureLimits


@contextmanager
def _as_value_error() -> Iterator[None]:
    """Let pydantic report what the runner refuses."""
    try:
        yield
    except (InvalidOption, MissingDependency) as error:
        raise ValueError(str(error).removeprefix("usage_terms: ")) from error


class GatewayConfig(  # pydantic lists the fields of the last base first
    LoggingSettings,
    ProtectionSettings,
    WorkersSettings,
    StorageSettings,
    LimitsSettings,
    ServerSettings,
    BaseSettings,
):
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
        from artscraper_runner import chosen_stages  # `--help` answers without it

        with _as_value_error():
            return chosen_stages(value)

    @field_validator("copyright_notice", "usage_terms")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        from artscraper_runner import RightsStatement

        with _as_value_error():
            RightsStatement(usage_terms=value)
        return value

    @field_validator("encoder", "recogniser")
    @classmethod
    def _known_name(cls, value: str, info: ValidationInfo) -> str:
        from artscraper_runner import ProtectionOptions, check_options

        named: dict[str, Any] = {str(info.field_name): value}
        with _as_value_error():
            check_options(ProtectionOptions(**named))
        return value

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        """Refuse other databases, and what is no URL; the message holds no part of the password."""
        if value is None:
            return None
        expected = "expected postgresql://user:password@host/database"
        if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError(expected)
        from sqlalchemy import make_url  # not at the top: `--help` answers without it
        from sqlalchemy.exc import ArgumentError

        try:
            make_url(value.get_secret_value())
        except (ArgumentError, ValueError):  # its text holds parts of the password
            hint = "with @ : / in a password written as %40 %3A %2F"
            raise ValueError(f"{expected}, {hint}") from None
        return value

    @field_validator("output_parent", "tineye_url", mode="before")
    @classmethod
    def _no_password(cls, value: Any) -> Any:
        """Refuse passwords: these addresses are shown by `check` and in results."""
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
        """Return the variables that make a child process build this same configuration.

        The child reads no files, which would override settings that are none; of secrets neither.
        """
        values = {FILE_VARIABLE: NO_FILES}
        for name, field in type(self).model_fields.items():
            if is_secret(field):  # its file was read already
                values |= dict.fromkeys(all_variables_of(name, field), "")
            value = getattr(self, name)
            if isinstance(value, tuple):
                value = ",".join(str(part) for part in value)
            elif isinstance(value, SecretStr):
                value = value.get_secret_value()
            if value is not None:
                values[ENVIRONMENT_PREFIX + name.upper()] = str(value)
        return values
