"""Parts of the OpenAPI description that FastAPI cannot derive: bodies of two media types, files."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from artscraper_gateway.api.forms import (
    BINARY,
    NAME_LISTS,
    BatchForm,
    JobForm,
    PartForm,
    PictureForm,
)
from artscraper_gateway.api.schemas import JobState, ServerSentEvent
from artscraper_gateway.jobs.request import BatchByReference, JobByReference, JobOptions

_FORMS: tuple[type[BaseModel], ...] = (JobForm, BatchForm, PictureForm, PartForm)
_SENT: tuple[type[BaseModel], ...] = (
    *_FORMS,
    JobOptions,
    JobByReference,
    BatchByReference,
    ServerSentEvent,
)


def body_schemas() -> dict[str, Any]:
    """Return the schemas of request bodies, by name, for `components/schemas`."""
    _, schema = models_json_schema(
        [(model, "validation") for model in _SENT],
        ref_template="#/components/schemas/{model}",
    )
    definitions: dict[str, Any] = schema["$defs"]
    for model in _FORMS:
        form = definitions[model.__name__]
        fields = {"file": form["properties"].pop("file"), **form["properties"]}  # it stands first
        form["properties"] = {name: _form_field(name, field) for name, field in fields.items()}
    del definitions[JobOptions.__name__]  # its fields are query parameters
    return definitions


def _form_field(name: str, field: dict[str, Any]) -> dict[str, Any]:
    """Describe a field as a form or a query carries it: text, no null, and no default.

    A client that sends the documented default would override the gateway's setting,
    and would send the option twice, in the query and in the form.
    """
    if name in NAME_LISTS:
        text = f"{field['description']}; separated by commas"
        return {"type": "string", "title": field["title"], "description": text, "example": ""}
    kept = {key: value for key, value in field.items() if key not in ("anyOf", "default")}
    if "default" in field and field["default"] is not None:
        kept["description"] += f"; {str(field['default']).lower()} if it is not sent"
    types = [each for each in field.get("anyOf", ()) if each.get("type") != "null"]
    described = {**(types[0] if types else {}), **kept}
    if described.get("format") != "binary" and name != "file":
        # Swagger UI fills in the example, and sends it; without one, a value of its own.
        described["example"] = "" if field.get("default") is None else field["default"]
    return described


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


SUBMIT_BODY = _body(
    {
        "multipart/form-data": {"schema": _ref(JobForm)},
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
    {
        "multipart/form-data": {"schema": _ref(BatchForm)},
        "application/json": {
            "schema": _ref(BatchByReference),
            "example": {"strength": "low", "items": [{"local_path": "input/astronaut.jpg"}]},
        },
    }
)
PICTURE_BODY = _body({"multipart/form-data": {"schema": _ref(PictureForm)}})
PART_BODY = _body({"multipart/form-data": {"schema": _ref(PartForm)}})


def _option_parameters() -> list[dict[str, Any]]:
    """Describe every option of a job as a query parameter."""
    template = "#/components/schemas/{model}"
    properties = JobOptions.model_json_schema(ref_template=template)["properties"]
    fields = {name: _form_field(name, field) for name, field in properties.items()}
    return [
        _parameter(name, "query", field.pop("description", ""), field)
        for name, field in fields.items()
    ]


def _parameter(name: str, where: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    parameter = {"name": name, "in": where, "required": False}
    return {**parameter, "description": text, "schema": schema}


OPTION_PARAMETERS = _option_parameters()
IDEMPOTENCY_KEY = _parameter(
    "Idempotency-Key",
    "header",
    "the same request sent again with the same key within 24 hours is accepted once",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
)
PREFER = {
    **_parameter(
        "Prefer",
        "header",
        "respond-async for a 202; wait=N for an answer at the end, after N s at most",
        {"type": "string"},
    ),
    "example": "wait=30",
}

_STREAM = """id: 3
event: progress
data: {"job_id": "9f0c", "status": "running", "stage": "mist", "progress": 0.42}

"""
_PICTURE = {"image/*": {"schema": BINARY}}
_ETAG = {"ETag": {"schema": {"type": "string"}, "description": "its SHA-256"}}

PNG: dict[int | str, dict[str, Any]] = {
    200: {"description": "The part, protected, as PNG.", "content": _PICTURE},
}
ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"description": "Accepted, as requested by `Prefer: respond-async`.", "model": JobState},
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
        "description": "The job continues: it took too long, or `Prefer: respond-async` was sent.",
        "model": JobState,
    },
}
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events.",
        "content": {"text/event-stream": {"schema": _ref(ServerSentEvent), "example": _STREAM}},
    },
    204: {"description": "No event follows the one that Last-Event-ID names."},
}
LAYER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture, in the format that it is stored in, or a preview.",
        "content": _PICTURE,
        "headers": _ETAG,
    },
    206: {"description": "The part that the Range header requests.", "content": _PICTURE},
    304: {"description": "The client has this version already."},
}
ARCHIVE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A ZIP file, streamed.",
        "content": {"application/zip": {"schema": BINARY}},
    }
}
