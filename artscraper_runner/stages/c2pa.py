"""The stage `c2pa`: a signed statement in the file that the picture is not for training AI."""

from __future__ import annotations

from pathlib import Path

from artscraper_runner.analysis.metadata.ai_use import c2pa_statement
from artscraper_runner.errors import CredentialsError, SigningFailed
from artscraper_runner.imaging.files import atomic_path
from artscraper_runner.imaging.xmp import prohibit_training
from artscraper_runner.options import ProtectionOptions
from artscraper_runner.provenance.credentials import load_credentials
from artscraper_runner.provenance.manifest import (
    DATA_MINING,
    MEDIA_TYPES,
    USES,
    check_signing,
    sign_file,
)
from artscraper_runner.stages.stage import Stage, StageInput
from artscraper_runner.types import Json, Project, StageResult

_INTACT = ("Valid", "Trusted")


class C2pa(Stage):
    """A C2PA manifest with the CAWG training-mining assertion, and XMP plus:DataMining."""

    name = "c2pa"
    description = (
        "States in metadata, and signs, that the picture is not for AI training or mining."
    )
    project = Project("c2pa-python", "a signed cawg.training-mining assertion: not allowed")

    def apply(self, inputs: StageInput) -> StageResult:
        """Return the pixels unchanged, with the reason if the file cannot be signed."""
        if inputs.saved_as.suffix not in MEDIA_TYPES:
            known = ", ".join(suffix[1:] for suffix in MEDIA_TYPES)
            reason = f"only {known} files can be signed, this is {inputs.saved_as.suffix[1:]}"
            return StageResult(pixels=None, reason=reason)
        if inputs.signing is None:
            return StageResult(pixels=None, reason="no signing certificate is set up")
        length = len(prohibit_training(inputs.xmp, inputs.options.rights))
        most = inputs.saved_as.max_xmp_bytes
        if most is not None and length > most:
            reason = f"with the statement the XMP packet would have {length} bytes, a"
            reason += f" {inputs.saved_as.name} holds {most}"
            return StageResult(pixels=None, reason=reason)
        try:
            check_signing(load_credentials(inputs.signing))
        except CredentialsError as error:
            return StageResult(pixels=None, reason=str(error))
        return StageResult(pixels=inputs.pixels, metrics=_uses(inputs.options))

    def edit_xmp(self, xmp: bytes | None, options: ProtectionOptions) -> bytes:
        """Add the statement that readers of metadata look for."""
        return prohibit_training(xmp, options.rights)

    def finish_file(self, path: Path, inputs: StageInput) -> Json:
        """Sign the file; return the `validation_state` that is read from it afterwards.

        `ingredient`: whether the new manifest contains that of the original, None without one.
        """
        if inputs.signing is None:
            raise CredentialsError("no signing certificate is set up")
        parent = inputs.source
        if parent is not None and not c2pa_statement(parent.path)["manifest"]:
            parent = None
        with atomic_path(path) as signed:
            has_parent = sign_file(
                path,
                signed,
                load_credentials(inputs.signing),
                parent=parent,
                allow_search_engines=inputs.options.rights.allow_search_engines,
            )
            state = c2pa_statement(signed)["validation_state"]
            if state not in _INTACT:
                raise SigningFailed(f"the signed file reads as {state}, expected Valid")
        ingredient = None if parent is None else has_parent
        return {"signed": True, "validation_state": state, "ingredient": ingredient}


def _uses(options: ProtectionOptions) -> Json:
    """Return the uses by what the signed statement says of them."""
    if not options.rights.allow_search_engines:
        return {"not_allowed": list(USES)}
    others = [use for use in USES if use != DATA_MINING]
    return {"not_allowed": others, "search_engines_only": [DATA_MINING]}
