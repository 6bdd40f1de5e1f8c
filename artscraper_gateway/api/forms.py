"""Parse a submission: a form with pictures, or JSON that names them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path, PurePath
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from artscraper_gateway.api.problems import invalid_request
from artscraper_gateway.errors import InvalidRequest, UnsupportedRequestBody
from artscraper_gateway.intake.download import download
from artscraper_gateway.intake.file_names import clean_file_name, name_of_url
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
_Model = TypeVar("_Model", bound=BaseModel)


@asynccontextmanager
async def parse_submission(
    request: Request, config: GatewayConfig, *, with_query: bool = False
) -> AsyncIterator[IncomingPicture]:
    """Yield the picture of a request for one job; a form's files are removed after the block.

    Args:
        request: with a form or JSON.
        config: the gateway's settings.
        with_query: whether query parameters are options as well.

    Raises:
        GatewayError: the body is neither form nor JSON, too large, or not valid; an option is
            given twice.
    """
    limit = config.max_upload_bytes
    extra = _query_options(request) if with_query else {}
    if _is_form(request):
        async with uploaded_form(request, max_bytes=_PICTURES * limit, max_files=_PICTURES) as form:
            uploads = _pictures(form)
            if len(uploads) != 1:
                count = len(uploads) or "none"
                raise InvalidRequest(f"file: expected a picture in this form field, found {count}")
            picture = UploadedPicture(uploads[0], max_bytes=limit)
            yield _uploaded(picture, _targets(form, limit), _form_options(form, extra))
        return
    body = await bounded_request(request, _MAX_JSON_BYTES).body()
    named = _validated(JobByReference.model_validate_json, body)
    if extra:
        _refuse_repeated(extra, named.model_fields_set)
        values = {**named.model_dump(exclude_unset=True), **extra}
        named = _validated(JobByReference.model_validate, values)
    yield _named(named, config)


@asynccontextmanager
async def parse_batch(
    request: Request, config: GatewayConfig
) -> AsyncIterator[list[IncomingPicture]]:
    """Yield the pictures of a request for a batch, 1 to 100; as `parse_submission`."""
    if _is_form(request):
        async with uploaded_form(
            request, max_bytes=config.max_batch_bytes, max_files=MAX_BATCH + len(_TARGETS)
        ) as form:
            options = _form_options(form, {})
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
    batch = _validated(BatchByReference.model_validate_json, body)
    items = [
        _validated(JobByReference.model_validate, item, at=("items", index))
        for index, item in enumerate(batch.each())
    ]
    yield [_named(item, config) for item in items]


def _is_form(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type not in ("multipart/form-data", "application/json"):
        raise UnsupportedRequestBody("expected multipart/form-data or application/json")
    return media_type == "multipart/form-data"


def _query_options(request: Request) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in options:
            raise InvalidRequest(f"{name[:80]}: expected once in the query, found more often")
        if value:
            options[name] = value
    return options


def _refuse_repeated(query: Mapping[str, str], body: set[str]) -> None:
    for name in query:
        if name in body:
            raise InvalidRequest(f"{name[:80]}: expected in the query or in the body, found both")


def _sent(form: FormData, name: str) -> list[UploadFile | str]:
    """Return what a field holds; nothing for one that was left empty, as browsers send it."""
    return [each for each in form.getlist(name) if not _is_empty(each)]


def _is_empty(value: UploadFile | str) -> bool:
    if isinstance(value, UploadFile):
        return not value.filename and not value.size
    return value == ""


def _pictures(form: FormData) -> list[UploadFile]:
    values = _sent(form, "file")
    uploads = [each for each in values if isinstance(each, UploadFile)]
    if len(uploads) < len(values):
        raise InvalidRequest("file: expected pictures in this form field, found text as well")
    return uploads


def _targets(form: FormData, limit: int) -> dict[str, UploadedPicture]:
    targets = {}
    for name in _TARGETS:
        values = _sent(form, name)
        for each in values:
            if isinstance(each, UploadFile):
                if len(values) > 1:
                    raise InvalidRequest(
                        f"{name}: expected one picture, found {len(values)} values"
                    )
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
        file_name=clean_file_name(picture.file_name),
    )


def _named(job: JobByReference, config: GatewayConfig) -> IncomingPicture:
    limit = config.max_upload_bytes

    async def receive(destination: Path) -> int:
        if job.image_url is not None:
            return await download(
                job.image_url,
                destination,
                max_bytes=limit,
                timeout_s=config.request_timeout,
                rules=address_rules(config),
            )
        return await copy_local(
            job.local_path or "",
            destination,
            roots=config.local_roots,
            cwd=Path.cwd(),
            max_bytes=limit,
        )

    if job.image_url is not None:
        file_name = name_of_url(job.image_url)
    else:
        file_name = clean_file_name(PurePath(job.local_path or "").name)
    name = json.dumps([job.image_url, job.local_path])
    return IncomingPicture(receive, job.options(), name=name, file_name=file_name)


def _form_options(form: FormData, query: Mapping[str, str]) -> JobOptions:
    """Return the options of a form and of the query; a field that is left empty has its default."""
    fields: dict[str, Any] = {}
    for name in set(form) - {"file"}:
        values = _sent(form, name)
        if any(isinstance(value, UploadFile) for value in values):
            if name in _TARGETS:
                _refuse_repeated(query, {name})
                continue
            raise InvalidRequest(f"{name[:80]}: expected text, found a file")
        if values:
            fields[name] = ",".join(str(value) for value in values)
    _refuse_repeated(query, set(fields))
    return _validated(JobOptions.model_validate, {**fields, **query})


def _validated(
    validate: Callable[[Any], _Model], value: Any, *, at: tuple[str | int, ...] = ()
) -> _Model:
    try:
        return validate(value)
    except ValidationError as error:
        raise invalid_request(error, at=at) from error
