"""Turns what a person typed into an event, or says everything that is wrong with it at once.

msgspec stops at the first problem; a person at a terminal should see them all. Values may be text (from KEY=VALUE):
numbers, booleans and references are read from it.
"""

from collections.abc import Mapping
from enum import EnumType
from typing import Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct

from schemas.errors import BadReference, Invalid
from schemas.refs import IssueRef

E = TypeVar("E", bound=Struct)


def build(event: type[E], values: Mapping[str, object]) -> E:
    """Values by field name → the event. Raises Invalid with one problem per missing, extra or mistyped field."""
    fields = {field.name: field for field in msgspec.structs.fields(event)}
    problems = [
        f"{name}: {event.__name__} has no such field (it has {', '.join(fields)})"
        for name in values
        if name not in fields
    ]
    built: dict[str, object] = {}
    for name, field in fields.items():
        if name not in values:
            if field.required:
                problems.append(f"{name}: missing")
            continue
        try:
            built[name] = msgspec.convert(_read(values[name], field.type), field.type, strict=False)
        except BadReference as error:
            problems.append(f"{name}: {error}")
        except msgspec.ValidationError as error:
            problems.append(f"{name}: {_said(str(error), field.type)}, got {_short(values[name])}")
    if problems:
        raise Invalid(event.__name__, problems)
    return event(**built)


def _read(value: object, wanted: Any) -> object:
    """Text forms of compound fields: `a,b` for a tuple, `acme/web#42` for an issue."""
    item = next((arg for arg in (wanted, *get_args(wanted)) if get_origin(arg) is tuple), None)
    if item is None:
        return value
    parts: list[object]
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(",") if part.strip()]
    elif isinstance(value, list | tuple):
        parts = list(value)  # pyright: ignore[reportUnknownArgumentType] - any items; convert judges them
    else:
        return value
    if IssueRef in get_args(item):
        return [msgspec.to_builtins(IssueRef.parse(part)) if isinstance(part, str) else part for part in parts]
    return parts


def _said(message: str, wanted: Any) -> str:
    """What was expected: our own description where the bound is a pattern or a length, msgspec's words otherwise."""
    description = _description(wanted)
    if description and ("regex" in message or "length" in message or "enum" in message):
        return f"expected {description}"
    return message[:1].lower() + message[1:]


def _description(wanted: Any) -> str | None:
    candidates: tuple[Any, ...] = (wanted, *get_args(wanted))
    for candidate in candidates:
        if isinstance(candidate, EnumType):
            return f"one of {', '.join(map(str, candidate))}"
        for meta in getattr(candidate, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.description:
                return meta.description
    return None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}… ({len(text)} characters)"
