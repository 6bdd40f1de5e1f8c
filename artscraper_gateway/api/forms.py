"""Read what a submission holds: a form with pictures, or JSON that names them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from artscraper_gateway.api.problems import invalid_request
from artscraper_gateway.errors import InvalidRequest, UnsupportedRequestBody
from artscraper_gateway.intake.download import download
from artscraper_gateway.intake.local_path import copy_local
from artscraper_gateway.intake.upload import UploadedPicture, bounded_request, uploaded_form
from artscraper_gateway.jobs.options import MAX_BATCH, BatchByReference, JobByReference, JobOptions
from artscraper_gateway.jobs.request import address_rules
from artscraper_gateway.jobs.submission import IncomingPicture
from artscraper_gateway.settings.model import GatewayConfig

_MAX_JSON_BYTES = 64 * 1024
_MAX_BATCH_JSON_BYTES = 1024 * 1024
# Fields that may hold a picture of the caller's own; nightshade's also a concept's name.
_TARGETS = ("nightshade_target", "fawkes_target")
_PICTURES = 1 + len(_TARGETS)  # of a job's form


@asynccontextmanager
async def parse_submission(
    request: Request, config: GatewayConfig
) -> AsyncIterator[IncomingPicture]:
    """Yields the picture of a request for one job; a form's files go when the block ends.

    Raises:
        GatewayError: the body is neither form nor JSON, too large, or not valid.
    """
    limit = config.max_upload_bytes
    if _is_form(request):
        async with uploaded_form(request, max_bytes=_PICTURES * limit, max_files=_PICTURES) as form:
            uploads = _pictures(form)
            if len(uploads) != 1:
                found = len(uploads) or "none"
                raise InvalidRequest(f"file: expected a picture in this form field, found {found}")
            picture = UploadedPicture(uploads[0], max_bytes=limit)
            yield _uploaded(picture, _targets(form, limit), _form_options(form))
        return
    body = await bounded_request(request, _MAX_JSON_BYTES).body()
    yield _named(_validated(JobByReference.model_validate_json, body), config)


@asynccontextmanager
async def parse_batch(
    request: Request, config: GatewayConfig
) -> AsyncIterator[list[IncomingPicture]]:
    """Yields the pictures of a request for a batch, 1 to 100; as `parse_submission`."""
    if _is_form(request):
        async with uploaded_form(
            request, max_bytes=config.max_batch_bytes, max_files=MAX_BATCH + len(_TARGETS)
        ) as form:
            options = _form_options(form)
            uploads = _pictures(form)
            if not 1 <= len(uploads) <= MAX_BATCH:
                raise InvalidRequest(
                    f"file: expected 1 to {MAX_BATCH} pictures in this form field,"
                    f" found {len(uploads)}"
                )
            limit = config.max_upload_bytes
            targets = _targets(form, limit)
            pictures = [UploadedPicture(upload, max_bytes=limit) for upload in uploads]
            yield [_uploaded(picture, targets, options) for picture in pictures]
        return
    body = await bounded_request(request, _MAX_BATCH_JSON_BYTES).body()
    asked: BatchByReference = _validated(BatchByReference.model_validate_json, body)
    items = [
        _validated(JobByReference.model_validate, item, at=("items", index))
        for index, item in enumerate(asked.each())
    ]
    yield [_named(item, config) for item in items]


def _is_form(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type not in ("multipart/form-data", "application/json"):
        raise UnsupportedRequestBody("expected multipart/form-data or application/json")
    return media_type == "multipart/form-data"


def _sent(form: FormData, name: str) -> list[UploadFile | str]:
    """Returns what a field holds; nothing for one that was left empty, as browsers send it."""
    return [each for each in form.getlist(name) if not _is_empty(each)]


def _is_empty(value: UploadFile | str) -> bool:
    if isinstance(value, UploadFile):
        return not value.filename and not value.size
    return value == ""


def _pictures(form: FormData) -> list[UploadFile]:
    found = _sent(form, "file")
    uploads = [each for each in found if isinstance(each, UploadFile)]
    if len(uploads) < len(found):
        raise InvalidRequest("file: expected pictures in this form field, found text as well")
    return uploads


def _targets(form: FormData, limit: int) -> dict[str, UploadedPicture]:
    targets = {}
    for name in _TARGETS:
        sent = _sent(form, name)
        for each in sent:
            if isinstance(each, UploadFile):
                if len(sent) > 1:
                    raise InvalidRequest(f"{name}: expected one picture, found {len(sent)} values")
                targets[name] = UploadedPicture(each, max_bytes=limit)
    return targets


def _uploaded(
    picture: UploadedPicture, targets: Mapping[str, UploadedPicture], options: JobOptions
) -> IncomingPicture:
    return IncomingPicture(
        picture.save,
        options,
        targets={name: target.save for name, target in targets.items()},
        content=picture.digest,
        target_contents={name: target.digest for name, target in targets.items()},
    )


def _named(asked: JobByReference, config: GatewayConfig) -> IncomingPicture:
    limit = config.max_upload_bytes

    async def receive(destination: Path) -> int:
        if asked.image_url is not None:
            return await download(
                asked.image_url,
                destination,
                max_bytes=limit,
                timeout_s=config.request_timeout,
                rules=address_rules(config),
            )
        return await copy_local(
            asked.local_path or "",
            destination,
            roots=config.local_roots,
            cwd=Path.cwd(),
            max_bytes=limit,
        )

    name = json.dumps([asked.image_url, asked.local_path])
    return IncomingPicture(receive, asked.options(), name=name)


def _form_options(form: FormData) -> JobOptions:
    """A field that is left empty means its default."""
    fields: dict[str, Any] = {}
    for name in set(form) - {"file"}:
        values = _sent(form, name)
        if any(isinstance(value, UploadFile) for value in values):
            if name in _TARGETS:
                continue
            raise InvalidRequest(f"{name[:80]}: expected text, found a file")
        if values:
            fields[name] = ",".join(str(value) for value in values)
    options: JobOptions = _validated(JobOptions.model_validate, fields)
    return options


def _validated(validate: Any, value: Any, *, at: tuple[str | int, ...] = ()) -> Any:
    try:
        return validate(value)
    except ValidationError as error:
        raise invalid_request(error, at=at) from error
