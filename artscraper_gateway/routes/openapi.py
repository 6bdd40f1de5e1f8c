"""What FastAPI cannot read off the routes: the two request bodies, and the problems."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from artscraper_gateway.schemas import JobByReference, JobOptions, ProblemDetails


class _Problems(dict[Any, Any]):
    """`PROBLEMS[404, 409]`: the `responses` of a route that may answer with these."""

    def __missing__(self, statuses: tuple[int, ...]) -> dict[int | str, dict[str, Any]]:
        schema = {"$ref": "#/components/schemas/ProblemDetails"}
        return {
            status: {
                "description": HTTPStatus(status).phrase,
                "content": {"application/problem+json": {"schema": schema}},
            }
            for status in statuses
        }


PROBLEMS = _Problems()


def _form_schema() -> dict[str, Any]:
    schema = JobOptions.model_json_schema()
    properties: dict[str, Any] = {
        "file": {"type": "string", "format": "binary", "description": "the picture"},
        **schema["properties"],
    }
    properties["processors"] = {
        "type": "string",
        "description": "analysis processors to run, separated by commas; none = all",
    }
    properties["stages"] = {
        "type": "string",
        "description": "protection stages in this order, separated by commas; none = all",
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


SUBMIT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _form_schema()},
            "application/json": {"schema": JobByReference.model_json_schema()},
        },
    }
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
                }
            }
        },
    }
}

LAYER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The layer's picture, in the format that it is stored in.",
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}

PROBLEM_SCHEMA = ProblemDetails.model_json_schema()
