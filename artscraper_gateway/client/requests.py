"""Every request to the gateway as a value: its content, and how the response is parsed.

A request is repeatable if sending it twice has the same effect as sending it once: reads, cancels,
deletes, and submissions, which carry an idempotency key. Pictures are uploaded as multipart forms,
or named in JSON.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Generic, Literal, TypeAlias, TypedDict, TypeVar
from urllib.parse import quote

import httpx

from . import models

T = TypeVar("T")


@dataclass(frozen=True)
class ServerPath:
    """A picture on the gateway's machine, inside one of its `local_roots`."""

    path: str


File: TypeAlias = str | PathLike[str] | bytes
# A file's path, its content, a URL (http:// or https://), or a path on the gateway's machine.
Picture: TypeAlias = File | ServerPath


class JobOptions(TypedDict, total=False):
    """The options of a job; the gateway's defaults apply to the rest.

    A `nightshade_target` of type str names a concept; a Path or bytes is a picture. Target
    pictures require that the picture itself is uploaded.
    """

    processors: Sequence[str] | None
    include_hash_analysis: bool
    include_protection: bool
    enable_tineye: bool
    stages: Sequence[str] | None
    strength: Literal["low", "medium", "high"] | None
    encoder: str | None
    preset: Literal["default", "published"] | None
    seed: int | None
    nightshade_target: str | PathLike[str] | bytes | None
    fawkes_target: File | None
    watermark_text: str | None
    watermark_method: Literal["tiled", "dwtDctSvd"] | None
    keep_watermark: bool
    copyright_notice: str | None
    usage_terms: str | None
    allow_search_engines: bool
    priority: int
    callback_url: str | None


@dataclass(frozen=True)
class Body:
    """The body of a request; files are opened again for each attempt."""

    json: dict[str, Any] | None = None
    fields: dict[str, str] = field(default_factory=dict)
    files: tuple[tuple[str, File], ...] = ()

    def opened(self, stack: ExitStack) -> dict[str, Any]:
        """Return the arguments for httpx; files stay open until `stack` closes. No name is sent."""
        if self.json is not None:
            return {"json": self.json}
        if not self.files:
            return {}
        files = [(name, ("picture", _content(file, stack))) for name, file in self.files]
        return {"data": self.fields, "files": files}


def _content(file: File, stack: ExitStack) -> bytes | BinaryIO:
    if isinstance(file, bytes):
        return file
    return stack.enter_context(Path(file).open("rb"))


def body_of(picture: Picture, options: JobOptions) -> Body:
    """Return the body of a submission.

    Raises:
        ValueError: a target is a picture while the picture itself is only named, or a list of
            names is empty.
    """
    _check_names(options)
    named = _named(picture)
    if named is None:
        return _form([picture], options)
    return Body(json={**named, **_json_options(options)})


def batch_body_of(pictures: Sequence[Picture], options: JobOptions) -> Body:
    """Return the body of a batch with the same options for all pictures.

    Raises:
        ValueError: no picture, a mix of uploads and named pictures, or an empty list of names.
    """
    _check_names(options)
    named = [each for each in map(_named, pictures) if each is not None]
    if len(named) not in (0, len(pictures)) or not pictures:
        raise ValueError("expected pictures that are all files, or all URLs and ServerPath paths")
    if not named:
        return _form(pictures, options)
    return Body(json={"items": named, **_json_options(options)})


def _check_names(options: JobOptions) -> None:
    """Refuse empty lists: a form cannot express them, and the gateway would use its defaults."""
    for name in ("stages", "processors"):
        if options.get(name) is not None and not options[name]:
            raise ValueError(
                f"{name}: expected at least one name, found none; omit it for the gateway's"
                " default, or set include_protection or include_hash_analysis to False"
            )


def _named(picture: Picture) -> dict[str, str] | None:
    if isinstance(picture, ServerPath):
        return {"local_path": picture.path}
    if isinstance(picture, str) and picture.lower().startswith(("http://", "https://")):
        return {"image_url": picture}
    return None


def _form(pictures: Sequence[Any], options: JobOptions) -> Body:
    files: list[tuple[str, File]] = [("file", each) for each in pictures]
    fields = {}
    for name, value in options.items():
        if _is_target_picture(name, value):
            files.append((name, value))  # type: ignore[arg-type]
        elif value is not None:
            fields[name] = _text(value)
    return Body(fields=fields, files=tuple(files))


def _json_options(options: JobOptions) -> dict[str, Any]:
    for name, value in options.items():
        if _is_target_picture(name, value):
            raise ValueError(f"{name}: a target picture requires an uploaded picture, not a name")
    return {
        name: list(value) if isinstance(value, list | tuple) else value
        for name, value in options.items()
        if value is not None
    }


def _is_target_picture(name: str, value: object) -> bool:
    if name == "fawkes_target":
        return value is not None
    return name == "nightshade_target" and isinstance(value, bytes | PathLike)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


@dataclass(frozen=True)
class Request(Generic[T]):
    """One request to the gateway.

    `server_wait_s` is how long the gateway may hold the response back on purpose. With `deletes`,
    404 to a repeated request means success: the response to the first one was lost.
    """

    method: str
    path: str
    parse: Callable[[httpx.Response], T]
    params: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=Body)
    repeatable: bool = True
    deletes: bool = False
    server_wait_s: float = 0.0


def get(path: str, kind: type[T], **rest: Any) -> Request[T]:
    """Return a GET request whose response is a `kind`."""
    return Request("GET", path, partial(models.parse_response, kind), **rest)


def post(path: str, kind: type[T], **rest: Any) -> Request[T]:
    """Return a POST request whose response is a `kind`."""
    return Request("POST", path, partial(models.parse_response, kind), **rest)


def delete(path: str) -> Request[None]:
    """Return a DELETE request."""
    return Request("DELETE", path, lambda _response: None, deletes=True)


def job_path(job_id: str, *rest: str) -> str:
    """Return the path of a job, or of a resource below it."""
    return "/".join(["/v1/jobs", *(quote(part, safe="") for part in (job_id, *rest))])


def batch_path(batch_id: str, *rest: str) -> str:
    """Return the path of a batch, or of a resource below it."""
    return "/".join(["/v1/batches", *(quote(part, safe="") for part in (batch_id, *rest))])


def submission(
    picture: Picture, options: JobOptions, key: str | None, wait_s: float
) -> Request[models.Job]:
    """POST /v1/jobs, repeatable through an idempotency key, which is random by default."""
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    if wait_s > 0:
        headers["Prefer"] = f"wait={wait_s:.0f}"
    body = body_of(picture, options)
    return post("/v1/jobs", models.Job, headers=headers, body=body, server_wait_s=wait_s)


def batch_submission(
    pictures: Sequence[Picture], options: JobOptions, key: str | None
) -> Request[models.Batch]:
    """POST /v1/batches; as `submission`."""
    headers = {"Idempotency-Key": key or uuid.uuid4().hex}
    return post("/v1/batches", models.Batch, headers=headers, body=batch_body_of(pictures, options))
