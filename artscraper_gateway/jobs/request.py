"""What a caller chose, completed by the settings and checked before anything is accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artscraper_gateway.errors import InvalidRequest
from artscraper_gateway.jobs.options import JobOptions
from artscraper_gateway.net.address_guard import AddressRules
from artscraper_gateway.net.pinned_transport import parse_target
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_runner import (
    InvalidOption,
    ProtectionOptions,
    check_options,
    chosen_stages,
    encoder_names,
)

_PROTECTION_FIELDS = (
    "strength",
    "encoder",
    "preset",
    "seed",
    "nightshade_target",
    "watermark_text",
    "watermark_method",
)
# Where the caller names none.
_OF_THE_SETTINGS = ("strength", "encoder", "preset", "seed", "nightshade_target")
_OF_THE_JOB = {"priority", "callback_url"}  # kept in the job's row, not with what it runs on


def address_rules(config: GatewayConfig) -> AddressRules:
    """Returns where the gateway may connect to when a caller chooses the URL."""
    return AddressRules(config.allow_private_addresses, config.allowed_hosts)


@dataclass(frozen=True)
class Choices:
    """Turns requests into what the job's row keeps, and that into what the runner takes."""

    config: GatewayConfig

    def request(self, options: JobOptions) -> dict[str, Any]:
        """Returns the request with every default filled in, as JSON.

        Raises:
            InvalidRequest: a stage, encoder, concept or text that cannot be used; lists the valid.
            ForbiddenAddress: the callback is no URL, or one that may not be called.
        """
        if options.callback_url is not None:
            parse_target(options.callback_url, address_rules(self.config))
        request = options.model_dump(exclude=_OF_THE_JOB)
        asked = {name: request.pop(name) for name in _PROTECTION_FIELDS}
        given = {name: value for name, value in asked.items() if value is not None}
        defaults = {name: getattr(self.config, name) for name in _OF_THE_SETTINGS}
        request["protection"] = {**defaults, **given}
        try:
            self._check_encoder(request["protection"]["encoder"])
            check_options(self.protection(request))
            named = self.config.stages or None if options.stages is None else options.stages
            stages = chosen_stages(None if named is None else tuple(named))
        except InvalidOption as error:
            raise InvalidRequest(str(error)) from error
        request["stages"] = list(stages) if options.include_protection else []
        request["insists"] = options.stages is not None
        # Drawn here, so that a job that is taken up again after a crash writes the same number.
        chosen = self.protection(request).with_payload()
        request["protection"]["watermark_payload"] = chosen.watermark_payload
        return request

    def protection(
        self, request: dict[str, Any], *, targets: Mapping[str, Path] | None = None
    ) -> ProtectionOptions:
        """Returns the runner's options; `targets` are the caller's own pictures, by field."""
        options = {**request["protection"], **(targets or {})}
        return ProtectionOptions(
            **options,
            models_dir=self.config.models_dir,
            allow_downloads=self.config.allow_downloads,
            mist_model=self.config.mist_model,
        )

    def _check_encoder(self, name: str) -> None:
        """A caller may not make the gateway open a path or load a hub's repository by its name."""
        members = name.removeprefix("ensemble:").split("+")
        if name != self.config.encoder and not set(members) <= set(encoder_names()):
            valid = ", ".join((*encoder_names(), "ensemble:<name>+<name>"))
            raise InvalidRequest(f"unknown encoder {name[:80]!r}; valid: {valid}")
