"""Parse a submission: a form with pictures, or JSON that names them."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path, PurePath
from typing import Annotated, Any, TypeVar, get_args

from anyio.to_thread import run_sync
from fastapi import Request
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from starlette.datastructures import FormData, UploadFile

from artscraper_gateway.api.validation import invalid_request
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
    JobOptions,
    NameList,
    Strength,
    address_rules,
)
from artscraper_gateway.jobs.submission import IncomingPicture
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.paths import READING_PREFIX

_MAX_JSON_BYTES = 64 * 1024
_MAX_BATCH_JSON_BYTES = 1024 * 1024
_FORM = "multipart/form-data"
_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
BINARY: dict[str, Any] = {"type": "string", "format": "binary"}


def _check_picture(value: object) -> UploadFile:
    if not isinstance(value, UploadFile):
        raise ValueError("expected a picture, found text")
    return value


def _accept_picture(value: object, validate_text: ValidatorFunctionWrapHandler) -> object:
    return value if isinstance(value, UploadFile) else validate_text(value)


Picture = Annotated[UploadFile, PlainValidator(_check_picture), WithJsonSchema(BINARY)]
TextOrPicture = Annotated[str, Field(max_length=200), WrapValidator(_accept_picture)]


class _OptionsForm(JobOptions):
    """Options of a job, two of which may be uploaded pictures."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    nightshade_target: TextOrPicture | None = Field(
        None,
        description="concept that nightshade moves towards, or a picture; if none, the gateway's",
    )
    fawkes_target: Picture | None = Field(
        None, description="picture of another person that cloaked faces should resemble"
    )

    def targets(self) -> dict[str, UploadFile]:
        """Return the caller's own target pictures, by option."""
        values = {name: getattr(self, name) for name in TARGETS}
        return {name: value for name, value in values.items() if isinstance(value, UploadFile)}

    def options(self) -> JobOptions:
        """Return the options without pictures."""
        chosen = self.model_fields_set - {"file"} - self.targets().keys()
        return JobOptions.model_validate(self.model_dump(include=chosen))


class JobForm(_OptionsForm):
    """A form with a picture and options."""

    file: Picture = Field(description="the picture")


class BatchForm(_OptionsForm):
    """A form with 1 to 100 pictures and the options of all of them."""

    file: list[Picture] = Field(min_length=1, max_length=MAX_BATCH, description="the pictures")


class PictureForm(BaseModel):
    """A form with a picture."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="ignore")

    file: Picture = Field(description="the picture")


class PartForm(PictureForm):
    """A form with a part of a picture, the size of the whole, and what is done to it."""

    model_config = ConfigDict(extra="forbid")

    file: Picture = Field(description="the part: at most 512 px a side")
    width: int = Field(ge=1, le=65_535, description="px of the whole picture")
    height: int = Field(ge=1, le=65_535, description="px of the whole picture")
    strength: Strength = Field(description="what may be seen of the change")
    stages: NameList = Field(max_length=32, description="stages, in their order")

    @model_validator(mode="before")
    @classmethod
    def _without_stages(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Accept a form without stages: the route names those that are valid."""
        return {"stages": (), **values}


TARGETS = ("nightshade_target", "fawkes_target")
_PICTURES = ("file", *TARGETS)
# Options that are lists of names: separated by commas in a form, or sent several times.
NAME_LISTS = tuple(
    name
    for name, field in JobOptions.model_fields.items()
    if tuple[str, ...] in get_args(field.annotation)
)
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
    limit, most = config.max_upload_bytes, len(_PICTURES)
    query = _query_options(request) if with_query else {}
    if _is_form(request):
        async with uploaded_form(
            request, spool=config.base_dir, max_bytes=most * limit, max_files=most
        ) as form:
            values = _merged(query, form_values(form))
            sent = _validated(JobForm, {**values, "file": _only_picture(values)})
            yield _uploaded(sent, [sent.file], limit)[0]
        return
    body = await bounded_request(request, _MAX_JSON_BYTES).body()
    named = _validated(JobByReference, body)
    if query:
        named = _validated(JobByReference, _merged(query, named.model_dump(exclude_unset=True)))
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
            sent = _validated(BatchForm, values)
            yield _uploaded(sent, sent.file, config.max_upload_bytes)
        return
    body = await bounded_request(request, _MAX_BATCH_JSON_BYTES).body()
    batch = _validated(BatchByReference, body)
    items = [
        _validated(JobByReference, item, at=("items", index))
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
            sent = _validated(model, {**values, "file": _only_picture(values)})
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
    if header is None:
        return None
    if _IDEMPOTENCY_KEY.fullmatch(header.strip()) is None:
        raise InvalidRequest("Idempotency-Key: expected 1 to 255 visible ASCII characters")
    return header.strip()


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
    model: type[_Model], value: dict[str, Any] | bytes, *, at: tuple[str | int, ...] = ()
) -> _Model:
    """Return form fields or JSON as `model`; `at` is their place in the body."""
    try:
        if isinstance(value, bytes):
            return model.model_validate_json(value)
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid_request(error, tuple(model.model_fields), at=at) from error


def form_values(form: FormData) -> dict[str, Any]:
    """Return the values of a form by field, without fields left empty, as browsers send them.

    Raises:
        InvalidRequest: a field of one value was sent twice; a file where text is expected, or the
            reverse.
    """
    values: dict[str, Any] = {}
    for name in form:
        sent = [each for each in form.getlist(name) if not _is_empty(each)]
        if not sent:
            continue
        if name not in _PICTURES and any(isinstance(each, UploadFile) for each in sent):
            raise InvalidRequest(f"{name[:80]}: expected text, found a file")
        if name == "file" and not all(isinstance(each, UploadFile) for each in sent):
            raise InvalidRequest("file: expected a picture in this form field, found text")
        if name == "file":
            values[name] = sent
        elif name in NAME_LISTS:
            values[name] = ",".join(str(each) for each in sent)
        elif len(sent) > 1:
            kind = "picture" if name in TARGETS else "value"
            raise InvalidRequest(f"{name[:80]}: expected one {kind}, found {len(sent)} values")
        else:
            values[name] = sent[0]
    return values


def _is_empty(value: UploadFile | str) -> bool:
    if isinstance(value, UploadFile):
        return not value.filename and not value.size
    return value == ""
