"""Parts of the OpenAPI description that FastAPI cannot derive: bodies of two media types, files."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from artscraper_gateway.api.schemas import JobState
from artscraper_gateway.jobs.options import MAX_BATCH, BatchByReference, JobByReference, JobOptions

_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
_PICTURE_EXAMPLE = "the bytes of a picture"


class JobForm(JobOptions):
    """A form with a picture and options."""

    file: bytes = Field(description="the picture", json_schema_extra=_BINARY)
    fawkes_target: bytes | None = Field(
        None,
        description="picture of another person, whom cloaked faces are to resemble",
        json_schema_extra=_BINARY,
    )


class BatchForm(JobForm):
    """A form with 1 to 100 pictures and the options of all of them."""

    file: list[bytes] = Field(  # type: ignore[assignment]
        min_length=1, max_length=MAX_BATCH, description="the pictures"
    )


class PictureForm(BaseModel):
    """A form with a picture."""

    file: bytes = Field(description="the picture", json_schema_extra=_BINARY)


_FORMS: tuple[type[BaseModel], ...] = (JobForm, BatchForm, PictureForm)
_LISTS_IN_FORMS = ("processors", "stages")  # one field, separated by commas


def body_schemas() -> dict[str, Any]:
    """Return the schemas of request bodies, by name, for `components/schemas`."""
    models: list[type[BaseModel]] = [*_FORMS, JobByReference, BatchByReference]
    _, schema = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    definitions: dict[str, Any] = schema["$defs"]
    for model in _FORMS:
        form = definitions[model.__name__]
        form["properties"] = {
            name: _form_field(name, field) for name, field in form["properties"].items()
        }
    return definitions


def _form_field(name: str, field: dict[str, Any]) -> dict[str, Any]:
    """Describe a field as a form carries it: text or files, and no null."""
    types = [each for each in field.get("anyOf", (field,)) if each.get("type") != "null"]
    rest = {key: value for key, value in field.items() if key not in ("anyOf", "default")}
    if name in _LISTS_IN_FORMS:
        return {"type": "string", "title": field["title"], "description": field["description"]}
    if name == "file" and field.get("type") == "array":
        return {**field, "items": dict(_BINARY)}
    if len(types) != 1 or types[0] is field:
        return field
    kept = {key: value for key, value in types[0].items() if key != "contentMediaType"}
    return {**kept, **rest}


def _body(**content: Any) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content["content"]}}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


SUBMIT_BODY = _body(
    content={
        "multipart/form-data": {
            "schema": _ref(JobForm),
            "example": {
                "file": _PICTURE_EXAMPLE,
                "strength": "medium",
                "stages": "fawkes,photoguard",
            },
        },
        "application/json": {
            "schema": _ref(JobByReference),
            "examples": {
                "by URL": {"value": {"image_url": "https://example.org/art.jpg"}},
                "by path": {"value": {"local_path": "input/astronaut.jpg", "seed": 7}},
            },
        },
    }
)
BATCH_BODY = _body(
    content={
        "multipart/form-data": {
            "schema": _ref(BatchForm),
            "example": {"file": [_PICTURE_EXAMPLE, _PICTURE_EXAMPLE], "strength": "low"},
        },
        "application/json": {
            "schema": _ref(BatchByReference),
            "example": {"strength": "low", "items": [{"local_path": "input/astronaut.jpg"}]},
        },
    }
)
PICTURE_BODY = _body(
    content={
        "multipart/form-data": {
            "schema": _ref(PictureForm),
            "example": {"file": _PICTURE_EXAMPLE},
        }
    }
)


def _option_parameters() -> list[dict[str, Any]]:
    """Describe every option of a job as a query parameter."""
    properties = JobOptions.model_json_schema()["properties"]
    parameters = []
    for name, field in properties.items():
        schema = _form_field(name, field)
        description = schema.pop("description", "")
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": description,
                "schema": schema,
            }
        )
    return parameters


OPTION_PARAMETERS = _option_parameters()
IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "the same request sent again with the same key within 24 hours is accepted once",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
PREFER: dict[str, Any] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "respond-async for a 202; wait=N for an answer at the end, after N s at most",
    "schema": {"type": "string"},
    "example": "wait=30",
}

_EVENT: dict[str, Any] = {
    "title": "ServerSentEvent",
    "description": "each event of the stream",
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "description": "kind of event"},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string", "description": "to send as Last-Event-ID"},
        "retry": {"type": "integer", "description": "ms after which to connect again"},
    },
}

_STREAM = """id: 3
event: progress
data: {"job_id": "9f0c", "status": "running", "stage": "mist", "progress": 0.42}

"""
_PICTURE = {"image/*": {"schema": _BINARY}}
_ETAG = {"ETag": {"schema": {"type": "string"}, "description": "its SHA-256"}}

ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"description": "Accepted, as `Prefer: respond-async` asks for.", "model": JobState},
}
PROTECTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The protected picture: the last layer.",
        "content": _PICTURE,
        "headers": {
            **_ETAG,
            "X-Job-Id": {"schema": {"type": "string"}, "description": "the job's id"},
            "Link": {"schema": {"type": "string"}, "description": "URLs of the job"},
        },
    },
    202: {
        "description": "The job goes on: it took too long, or `Prefer: respond-async` was sent.",
        "model": JobState,
    },
}
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events.",
        "content": {"text/event-stream": {"schema": _EVENT, "example": _STREAM}},
    },
    204: {"description": "No event follows the one that Last-Event-ID names."},
}
LAYER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture, in the format that it is stored in, or a preview.",
        "content": _PICTURE,
        "headers": _ETAG,
    },
    206: {"description": "The part that the Range header asks for.", "content": _PICTURE},
    304: {"description": "The client has this version already."},
}
ARCHIVE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A ZIP file, streamed.",
        "content": {"application/zip": {"schema": _BINARY}},
    }
}
