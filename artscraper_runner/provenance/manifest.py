"""Sign a picture file with a C2PA manifest that reserves it from AI training and data mining."""

from __future__ import annotations

import json
from pathlib import Path

from artscraper_runner import __version__
from artscraper_runner.errors import MissingDependency, SigningFailed
from artscraper_runner.provenance.credentials import INSTALL, Credentials
from artscraper_runner.types import Json

MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".avif": "image/avif",
}
USES = (
    "cawg.ai_generative_training",
    "cawg.ai_inference",
    "cawg.ai_training",
    "cawg.data_mining",
)
_SETTINGS: Json = {"builder": {"thumbnail": {"enabled": False}}}


def sign_file(source: Path, target: Path, credentials: Credentials) -> None:
    """Writes the picture at `source` to `target` with a manifest; no network is used.

    Raises:
        SigningFailed: a format that C2PA does not cover, or the library refused.
        MissingDependency: c2pa-python is not installed.
    """
    try:
        import c2pa
    except ImportError as error:
        raise MissingDependency("c2pa-python", "signing pictures", INSTALL) from error
    media_type = MEDIA_TYPES.get(target.suffix)
    if media_type is None:
        raise SigningFailed(f"expected one of {', '.join(MEDIA_TYPES)}, found {target.suffix}")
    try:
        _sign(source, target, media_type, credentials)
    except c2pa.C2paError as error:
        raise SigningFailed(f"the picture could not be signed: {error}") from error


def _sign(source: Path, target: Path, media_type: str, credentials: Credentials) -> None:
    import c2pa

    signing = c2pa.C2paSignerInfo(
        alg=c2pa.C2paSigningAlg.ES256,
        sign_cert=credentials.chain,
        private_key=credentials.key,
        ta_url=None,
    )
    with (
        c2pa.Signer.from_info(signing) as signer,
        c2pa.Context(c2pa.Settings().update(_SETTINGS)) as context,
        c2pa.Builder(json.dumps(_manifest()), context) as builder,
        source.open("rb") as original,
        target.open("w+b") as signed,
    ):
        builder.set_intent(c2pa.C2paBuilderIntent.EDIT)  # it changes a picture that was there
        builder.sign(signer, media_type, original, signed)


def _manifest() -> Json:
    """The training-mining assertion of CAWG 1.1, https://cawg.io/training-and-data-mining/1.1/."""
    return {
        "claim_generator_info": [{"name": "artscraper-gateway", "version": __version__}],
        "assertions": [
            {
                "label": "cawg.training-mining",
                "data": {"entries": {use: {"use": "notAllowed"} for use in USES}},
            },
        ],
    }
