"""Forms as models: the options of a job, and the pictures beside them."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from starlette.datastructures import FormData, UploadFile

from artscraper_gateway.errors import InvalidRequest
from artscraper_gateway.jobs.request import MAX_BATCH, JobOptions, NameList, Strength

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
