"""Sign a picture file with a C2PA manifest that reserves it from AI training and data mining."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from artscraper_runner.errors import CredentialsError, MissingDependency, SigningFailed
from artscraper_runner.imaging.formats.embedded import holds_picture
from artscraper_runner.provenance.credentials import INSTALL, Credentials
from artscraper_runner.types import Json, SourceFile
from artscraper_runner.version import __version__

MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".avif": "image/avif",
}
DATA_MINING = "cawg.data_mining"
USES = ("cawg.ai_generative_training", "cawg.ai_inference", "cawg.ai_training", DATA_MINING)
# Of the uses above the one that indexing for a search engine is.
_SEARCHING = {"use": "constrained", "constraint_info": "Allowed for search engine indexing only."}
_SETTINGS: Json = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}
_PARENT = json.dumps({"title": "original", "relationship": "parentOf"})
_PLACE = re.compile(rb"GPS[A-Z]|latitude|longitude|location(?:created|shown)", re.IGNORECASE)


def sign_file(
    source: Path,
    target: Path,
    credentials: Credentials,
    *,
    parent: SourceFile | None = None,
    allow_search_engines: bool = False,
) -> bool:
    """Write the picture at `source` to `target` with a manifest; no network is used.

    `allow_search_engines` constrains data mining to search engines instead of forbidding it.
    `parent` is the file that the picture was made from; its manifests become those of an
    ingredient, unless they cannot be read or hold what layers must not: pictures or places.

    Returns:
        Whether the manifests of `parent` are in the new one.

    Raises:
        SigningFailed: a format that C2PA does not cover, or the library refused.
        MissingDependency: c2pa-python is not installed.
    """
    media_type = MEDIA_TYPES.get(target.suffix)
    if media_type is None:
        raise SigningFailed(f"expected one of {', '.join(MEDIA_TYPES)}, found {target.suffix}")
    manifest = _manifest(allow_search_engines=allow_search_engines)
    if parent is not None and parent.suffix in MEDIA_TYPES:
        try:
            with source.open("rb") as original, target.open("w+b") as signed:
                store = _sign(original, signed, media_type, credentials, manifest, parent=parent)
        except SigningFailed:
            store = None
        if store is not None and not (holds_picture(store) or _PLACE.search(store)):
            return True
    with source.open("rb") as original, target.open("w+b") as signed:
        _sign(original, signed, media_type, credentials, manifest)
    return False


def check_signing(credentials: Credentials) -> None:
    """Sign a picture of one pixel in memory, to find a rejected certificate before any work.

    Raises:
        CredentialsError: the library rejects the certificate or the key; gives its reason.
        MissingDependency: c2pa-python is not installed.
    """
    picture = BytesIO()
    Image.new("RGB", (1, 1)).save(picture, "PNG")
    picture.seek(0)
    try:
        _sign(picture, BytesIO(), MEDIA_TYPES[".png"], credentials, _manifest())
    except SigningFailed as error:
        raise CredentialsError(f"C2PA rejects this certificate: {error}") from error


def _sign(
    original: BinaryIO,
    signed: BinaryIO,
    media_type: str,
    credentials: Credentials,
    manifest: Json,
    *,
    parent: SourceFile | None = None,
) -> bytes:
    """Write the signed picture and return its manifest store."""
    try:
        import c2pa
    except ImportError as error:
        raise MissingDependency("c2pa-python", "signing pictures", INSTALL) from error
    signing = c2pa.C2paSignerInfo(
        alg=c2pa.C2paSigningAlg.ES256,
        sign_cert=credentials.chain,
        private_key=credentials.key,
        ta_url=None,
    )
    try:
        with (
            c2pa.Signer.from_info(signing) as signer,
            c2pa.Context(c2pa.Settings().update(_SETTINGS)) as context,
            c2pa.Builder(json.dumps(manifest), context) as builder,
        ):
            builder.set_intent(c2pa.C2paBuilderIntent.EDIT)  # it changes a picture that was there
            if parent is not None:
                with parent.path.open("rb") as file:
                    builder.add_ingredient(_PARENT, MEDIA_TYPES[parent.suffix], file)
            return bytes(builder.sign(signer, media_type, original, signed))
    except c2pa.C2paError as error:
        raise SigningFailed(f"the picture could not be signed: {error}") from error


def _manifest(*, allow_search_engines: bool = False) -> Json:
    """Return the training-mining assertion of CAWG 1.1, cawg.io/training-and-data-mining/1.1/."""
    entries: Json = {use: {"use": "notAllowed"} for use in USES}
    if allow_search_engines:
        entries[DATA_MINING] = _SEARCHING
    return {
        "claim_generator_info": [{"name": "artscraper-gateway", "version": __version__}],
        "assertions": [{"label": "cawg.training-mining", "data": {"entries": entries}}],
    }
