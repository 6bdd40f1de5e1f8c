"""What FastAPI cannot read off the routes: request bodies, files, streams, examples."""

from __future__ import annotations

from typing import Any

from artscraper_gateway.api.schemas import JobState
from artscraper_gateway.jobs.options import MAX_BATCH, BatchByReference, JobByReference, JobOptions

_ART = "the bytes of a picture"


def _form_schema() -> dict[str, Any]:
    schema = JobOptions.model_json_schema()
    properties: dict[str, Any] = {
        "file": {"type": "string", "format": "binary", "description": "the picture"},
        **{name: _without_null(field) for name, field in schema["properties"].items()},
    }
    properties["processors"] = {
        "type": "string",
        "description": "analysis processors to run, separated by commas; none = all",
    }
    properties["stages"] = {
        "type": "string",
        "description": "protection stages in this order, separated by commas; none = the gateway's",
    }
    properties["nightshade_target"] = {
        "type": "string",
        "description": "concept that nightshade moves towards, or a picture as a file",
    }
    properties["fawkes_target"] = {
        "type": "string",
        "format": "binary",
        "description": "picture of another person, whom cloaked faces are to resemble",
    }
    return {**schema, "title": "JobForm", "properties": properties, "required": ["file"]}


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """A form has no null: a field is left out, or empty."""
    kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return field
    rest = {name: value for name, value in field.items() if name not in ("anyOf", "default")}
    return {**kinds[0], **rest}


SUBMIT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": _form_schema(),
                "example": {"file": _ART, "strength": "medium", "stages": "fawkes,photoguard"},
            },
            "application/json": {
                "schema": JobByReference.model_json_schema(),
                "examples": {
                    "by URL": {"value": {"image_url": "https://example.org/art.jpg"}},
                    "by path": {"value": {"local_path": "input/astronaut.jpg", "seed": 7}},
                },
            },
        },
    }
}


def _batch_form_schema() -> dict[str, Any]:
    form = _form_schema()
    several = {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_BATCH,
        "items": {"type": "string", "format": "binary"},
        "description": "the pictures; the other fields are for all of them",
    }
    return {**form, "title": "BatchForm", "properties": {**form["properties"], "file": several}}


BATCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": _batch_form_schema(),
                "example": {"file": [_ART, _ART], "strength": "low"},
            },
            "application/json": {
                "schema": BatchByReference.model_json_schema(),
                "example": {"strength": "low", "items": [{"local_path": "input/astronaut.jpg"}]},
            },
        },
    }
}

IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "what is sent again with it in the next 24 hours is accepted once",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}

_EVENT: dict[str, Any] = {
    "title": "ServerSentEvent",
    "description": "each event of the stream",
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"type": "string", "description": "what happened"},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string", "description": "to send as Last-Event-ID"},
        "retry": {"type": "integer", "description": "ms after which to connect again"},
    },
}

_STREAM = """id: 3
event: progress
data: {"job_id": "9f0c", "status": "running", "stage": "mist", "progress": 0.42}

"""

PREFER: dict[str, Any] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "respond-async for a 202; wait=N to be answered at the end, after N s at most",
    "schema": {"type": "string"},
    "example": "wait=30",
}

ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"description": "Accepted, as `Prefer: respond-async` asks for.", "model": JobState},
}

EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events.",
        "content": {"text/event-stream": {"schema": _EVENT, "example": _STREAM}},
    },
    204: {"description": "Nothing will follow the event that Last-Event-ID names."},
}

PICTURE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "required": ["file"],
                },
                "example": {"file": _ART},
            }
        },
    }
}

_PICTURE = {"image/*": {"schema": {"type": "string", "format": "binary"}}}

LAYER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The layer's picture, in the format that it is stored in, or a preview.",
        "content": _PICTURE,
        "headers": {"ETag": {"schema": {"type": "string"}, "description": "its SHA-256"}},
    },
    206: {"description": "The part that the Range header asks for.", "content": _PICTURE},
    304: {"description": "If-None-Match names what is still there."},
}

ARCHIVE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A ZIP file, streamed.",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}
