"""Show a part of a picture at a strength before the whole picture is sent."""

from __future__ import annotations

from pathlib import Path

from anyio.to_thread import run_sync
from fastapi import Request, Response

from artscraper_gateway.api.authentication import SubmitJobs
from artscraper_gateway.api.context import StrengthPreviewService, Submissions
from artscraper_gateway.api.forms import PartForm, parse_form
from artscraper_gateway.api.openapi import PART_BODY, PNG
from artscraper_gateway.api.openapi_problems import PICTURE, problems
from artscraper_gateway.api.routes.router import ReadableRouter
from artscraper_gateway.api.schemas import StrengthPreviewChoices
from artscraper_gateway.errors import InvalidRequest, StorageFailed, TooBusy, TooLarge
from artscraper_gateway.jobs.submission import Submission
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_runner import PART_MAX_SIDE, PREVIEW_STAGES

router = ReadableRouter(prefix="/v1/strength-previews", tags=["previews"])
_PART_MAX_BYTES = 4 * PART_MAX_SIDE**2  # more than a PNG of it has


@router.get("", responses=problems())
async def prepare_strength_previews(
    jobs: SubmitJobs, previews: StrengthPreviewService
) -> StrengthPreviewChoices:
    """Return what can be previewed, and get ready: the first preview is then as quick as others."""
    stages = _stages(jobs.config)
    if stages:
        await previews.warm_up()
    return StrengthPreviewChoices(max_side=PART_MAX_SIDE, stages=list(stages))


@router.post(
    "",
    response_class=Response,
    openapi_extra=PART_BODY,
    responses={**PNG, **problems(*PICTURE, TooBusy, StorageFailed)},
)
async def preview_strength(
    request: Request, jobs: SubmitJobs, submission: Submissions, previews: StrengthPreviewService
) -> Response:
    """Return a part of a picture as it will look at a strength; nothing is kept.

    The part is changed as in the whole picture, whose size has to be named: changes of a large
    picture are coarser. Faces, hidden texts and statements are no part of a preview.
    """
    limit = min(_PART_MAX_BYTES, jobs.config.max_upload_bytes)
    async with parse_form(PartForm, request, jobs.config, max_bytes=limit) as (form, part):
        stages = _chosen(form, jobs.config)
        await run_sync(_check_part, part, submission, form)
        target = part.with_name("preview.png")
        whole = (form.height, form.width)
        await previews.make(part, target, whole=whole, stages=stages, strength=form.strength)
        content = await run_sync(target.read_bytes)
    return Response(content, media_type="image/png", headers={"Cache-Control": "no-store"})


def _stages(config: GatewayConfig) -> tuple[str, ...]:
    """Return the stages that can be previewed; none with a preset that takes minutes."""
    return PREVIEW_STAGES if config.preset == "default" else ()


def _chosen(form: PartForm, config: GatewayConfig) -> tuple[str, ...]:
    """Return the form's stages in their order; raises InvalidRequest if one has no preview."""
    known = _stages(config)
    valid = ", ".join(known) or "none with the gateway's preset"
    if not form.stages:
        raise InvalidRequest(f"stages: expected at least one, found none; valid: {valid}")
    for name in form.stages:
        if name not in known:
            raise InvalidRequest(f"stages: {name[:80]!r} has no preview; valid: {valid}")
    return tuple(dict.fromkeys(form.stages))


def _check_part(part: Path, submission: Submission, form: PartForm) -> None:
    header = submission.check_header(part)
    if max(header.width, header.height) > PART_MAX_SIDE:
        raise TooLarge(
            f"expected a part of at most {PART_MAX_SIDE} px a side,"
            f" found {header.width}x{header.height}"
        )
    if header.width > form.width or header.height > form.height:
        raise InvalidRequest(
            f"expected a part of {form.width}x{form.height} px, found {header.width}x"
            f"{header.height}: width and height are those of the whole picture"
        )
