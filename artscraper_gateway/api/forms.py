"""Parse a submission: a form with pictures, or JSON that names them."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path, PurePath
from typing import Any, TypeVar

from anyio.to_thread import run_sync
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from artscraper_gateway.api.form_models import (
    TARGETS,
    BatchForm,
    JobForm,
    PictureForm,
    form_values,
)
from artscraper_gateway.api.problems import invalid_request
from artscraper_gateway.errors import InvalidRequest, UnsupportedRequestBody
from artscraper_gateway.intake.download import download, name_of_url
from artscraper_gateway.intake.local_path import copy_local
from artscraper_gateway.intake.upload import (
    UploadedPicture,
    bounded_request,
    clean_file_name,
    uploaded_form,
)
from artscraper_gateway.jobs.request import (
    MAX_BATCH,
    BatchByReference,
    JobByReference,
    address_rules,
)
from artscraper_gateway.jobs.submission import IncomingPicture
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.paths import READING_PREFIX

_MAX_JSON_BYTES = 64 * 1024
_MAX_BATCH_JSON_BYTES = 1024 * 1024
_PICTURES = 1 + len(TARGETS)  # of a job's form
_FORM = "multipart/form-data"
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
_Model = TypeVar("_Model", bound=BaseModel)
_Form = TypeVar("_Form", bound=PictureForm)


@asynccontextmanager
async def parse_submission(
    request: Request, config: GatewayConfig, *, with_query: bool = False
) -> AsyncIterator[IncomingPicture]:
    """Yield the picture of a request for one job; a form's files are removed after the block.

    The form is read by hand and then validated: a route of FastAPI's takes a form or JSON, not
    either, and reads a form whole, whatever its size, before the route can bound it.

    With `with_query`, query parameters are options as well.

    Raises:
        GatewayError: the body is neither form nor JSON, too large, or not valid; an option is
            given twice.
    """
    limit = config.max_upload_bytes
    query = _query_options(request) if with_query else {}
    if _is_form(request):
        async with uploaded_form(
            request, spool=config.base_dir, max_bytes=_PICTURES * limit, max_files=_PICTURES
        ) as form:
            values = _merged(query, form_values(form))
            sent = _validated(JobForm.model_validate, {**values, "file": _only_picture(values)})
            yield _uploaded(sent, [sent.file], limit)[0]
        return
    body = await bounded_request(request, _MAX_JSON_BYTES).body()
    named = _validated(JobByReference.model_validate_json, body)
    if query:
        values = _merged(query, named.model_dump(exclude_unset=True))
        named = _validated(JobByReference.model_validate, values)
    yield _named(named, config)


@asynccontextmanager
async def parse_batch(
    request: Request, config: GatewayConfig
) -> AsyncIterator[list[IncomingPicture]]:
    """Yield the pictures of a request for a batch, 1 to 100; as `parse_submission`."""
    if _is_form(request):
        async with uploaded_form(
            request,
            spool=config.base_dir,
            max_bytes=config.max_batch_bytes,
            max_files=MAX_BATCH + len(TARGETS),
        ) as form:
            values = form_values(form)
            if not 1 <= (count := len(values.get("file", ()))) <= MAX_BATCH:
                raise InvalidRequest(
                    f"file: expected 1 to {MAX_BATCH} pictures in this form field, found {count}"
                )
            sent = _validated(BatchForm.model_validate, values)
            yield _uploaded(sent, sent.file, config.max_upload_bytes)
        return
    body = await bounded_request(request, _MAX_BATCH_JSON_BYTES).body()
    batch = _validated(BatchByReference.model_validate_json, body)
    items = [
        _validated(JobByReference.model_validate, item, at=("items", index))
        for index, item in enumerate(batch.each())
    ]
    yield [_named(item, config) for item in items]


@asynccontextmanager
async def parse_form(
    model: type[_Form], request: Request, config: GatewayConfig, *, max_bytes: int
) -> AsyncIterator[tuple[_Form, Path]]:
    """Yield a form with one picture, which makes no job, and the picture's file, removed later.

    Raises:
        GatewayError: as `parse_submission`.
    """
    if _media_type(request) != _FORM:
        raise UnsupportedRequestBody(f"expected {_FORM}")
    folder = Path(tempfile.mkdtemp(dir=config.base_dir, prefix=READING_PREFIX))
    try:
        async with uploaded_form(request, spool=folder, max_bytes=max_bytes, max_files=1) as form:
            values = form_values(form)
            sent = _validated(model.model_validate, {**values, "file": _only_picture(values)})
            picture = UploadedPicture(sent.file, max_bytes=max_bytes)
            await run_sync(picture.save, folder / "picture")
        yield sent, folder / "picture"
    finally:
        await run_sync(shutil.rmtree, folder, True)


def idempotency_key(request: Request) -> str | None:
    """Return the header `Idempotency-Key`, or None.

    Raises:
        InvalidRequest: not 1 to 255 visible ASCII characters.
    """
    header = request.headers.get("idempotency-key")
    if header is not None and _IDEMPOTENCY_KEY.fullmatch(header.strip()) is None:
        raise InvalidRequest("Idempotency-Key: expected 1 to 255 visible ASCII characters")
    return None if header is None else header.strip()


def _is_form(request: Request) -> bool:
    media_type = _media_type(request)
    if media_type not in (_FORM, "application/json"):
        raise UnsupportedRequestBody(f"expected {_FORM} or application/json")
    return media_type == _FORM


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def _query_options(request: Request) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in options:
            raise InvalidRequest(f"{name[:80]}: expected once in the query, found more often")
        if value:
            options[name] = value
    return options


def _merged(query: Mapping[str, str], body: dict[str, Any]) -> dict[str, Any]:
    """Merge the options of the query and the body; refuse an option that is in both."""
    for name in query:
        if name in body:
            raise InvalidRequest(f"{name[:80]}: expected in the query or in the body, found both")
    return {**body, **query}


def _only_picture(values: Mapping[str, Any]) -> Any:
    """Return the one value of the field `file`."""
    sent = values.get("file", [])
    if len(sent) != 1:
        count = len(sent) or "none"
        raise InvalidRequest(f"file: expected a picture in this form field, found {count}")
    return sent[0]


def _uploaded(
    form: JobForm | BatchForm, files: list[UploadFile], limit: int
) -> list[IncomingPicture]:
    """Return the pictures of a form, each with the form's options and target pictures."""
    options = form.options()
    targets = {
        name: UploadedPicture(upload, max_bytes=limit) for name, upload in form.targets().items()
    }
    return [
        IncomingPicture(
            picture.save,
            options,
            targets={name: target.save for name, target in targets.items()},
            content=picture.digest,
            target_contents={name: target.digest for name, target in targets.items()},
            file_name=clean_file_name(picture.file_name),
        )
        for picture in (UploadedPicture(file, max_bytes=limit) for file in files)
    ]


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


def _validated(
    validate: Callable[[Any], _Model], value: Any, *, at: tuple[str | int, ...] = ()
) -> _Model:
    try:
        return validate(value)
    except ValidationError as error:
        raise invalid_request(error, at=at) from error
