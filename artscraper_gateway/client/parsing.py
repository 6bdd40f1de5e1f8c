"""Build dataclasses from JSON, checking every field; unknown fields are ignored."""

from __future__ import annotations

import types
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from .errors import UnexpectedResponse

T = TypeVar("T")


class _Mismatch(Exception):
    """A value is not of its type; `path` leads to it."""

    def __init__(self, expected: str, value: object) -> None:
        super().__init__(f"expected {expected}, found {type(value).__name__}")
        self.path: list[str] = []


def build(kind: type[T], data: object) -> T:
    """Return `data` as the dataclass `kind`.

    Raises:
        UnexpectedResponse: a field is missing or of another type; the message names it.
    """
    try:
        return cast(T, _dataclass(kind, data))
    except _Mismatch as error:
        where = ".".join(reversed(error.path)) or "the response"
        raise UnexpectedResponse(f"{kind.__name__}: {where}: {error}") from error


def _dataclass(kind: Any, data: object) -> Any:
    if not isinstance(data, dict):
        raise _Mismatch("an object", data)
    values = {}
    for each in fields(kind):
        if each.name in data:
            values[each.name] = _at(each.name, _hints(kind)[each.name], data[each.name])
        elif each.default is MISSING and each.default_factory is MISSING:
            error = _Mismatch("a value", None)
            error.path.append(each.name)
            raise error
    return kind(**values)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _at(step: str, hint: Any, value: object) -> Any:
    try:
        return _value(hint, value)
    except _Mismatch as error:
        error.path.append(step)
        raise


def _value(hint: Any, value: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (inner,) = [each for each in arguments if each is not type(None)]  # only `X | None` is used
        return None if value is None else _value(inner, value)
    if origin is list:
        if not isinstance(value, list):
            raise _Mismatch("a list", value)
        return [_at(str(index), arguments[0], each) for index, each in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise _Mismatch("an object", value)
        return {name: _at(name, arguments[1], each) for name, each in value.items()}
    if origin is Literal:
        if value not in arguments:
            raise _Mismatch(f"one of {', '.join(map(str, arguments))}", value)
        return value
    if is_dataclass(hint):
        return _dataclass(hint, value)
    return _scalar(hint, value)


def _scalar(hint: Any, value: Any) -> Any:
    if hint is Any:
        return value
    if hint is datetime:
        return _time(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise _Mismatch(hint.__name__, value)
    return value


def _time(value: object) -> datetime:
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        time = datetime.min
    if time.tzinfo is None:
        raise _Mismatch("a time with its zone", value)
    return time
