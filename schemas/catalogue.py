"""Every event there is, as data: what it means, who may say it, where, and the JSON Schemas of what is said.

All of it follows from the registry, the actor table and the classes themselves; nothing is listed here. The schemas
are for writers in other languages: they say what this version of the rig writes and takes, unknown fields aside.
Pure, and the same in every run.
"""

import re
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec import Struct

from schemas.actors import MAY_SAY, Actor
from schemas.decision import IssueAssigned
from schemas.described import fields_of, sentences, types_within
from schemas.docs import meaning, notes
from schemas.envelope import Envelope
from schemas.event import Event
from schemas.registry import EVENTS
from schemas.subjects import ref_of

__all__ = ["DRAFT", "Json", "address", "data_schemas", "json_schema", "said_by", "schemas_of"]

Json: TypeAlias = dict[str, Any]
"""An object of a JSON document that is written and never read."""

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
ENVELOPE: Final = "CloudEvent"
"""The name of the schema that all documents share."""
_WORD: Final = r"(?:[A-Za-z0-9_-]|%[0-9A-F]{2})+"
_NUMBER: Final = "[1-9][0-9]{0,8}"


def said_by(event: type[Event]) -> tuple[Actor, ...]:
    """Who may say it, in the order of the actors."""
    return tuple(actor for actor in Actor if event in MAY_SAY[actor])


def address(event: type[Event]) -> str:
    """The event's subject with a {parameter} for each token that is not its own."""
    about = "".join(f".{{{field}}}" for field in ref_of(event.noun).__struct_fields__)
    role = ".{role}" if event is IssueAssigned else ""
    return f"rig.{event.noun}{about}.{{actor}}.{event.name()}{role}"


def json_schema(events: Sequence[type[Event]] = EVENTS) -> Json:
    """One JSON Schema: a document is one of these events. Documents by wire type, and data by class, are in `$defs`."""
    template = "#/$defs/{name}"
    schemas = schemas_of(events, template)
    documents = [{"$ref": template.format(name=event.wire_type())} for event in events]
    return {"$schema": DRAFT, "title": "What can be said in the rig", "oneOf": documents, "$defs": schemas}


def schemas_of(events: Sequence[type[Event]], template: str) -> dict[str, Json]:
    """Name → schema: the document of each event by wire type, what all share, and the data by class."""
    documents = {event.wire_type(): _document(event, template) for event in events}
    return {ENVELOPE: _envelope(), **documents, **data_schemas(events, template)}


def data_schemas(events: Sequence[type[Struct]], template: str) -> dict[str, Json]:
    """Class name → the schema of its data, of the events and of every type within them."""
    _, components = msgspec.json.schema_components(events, ref_template=template)
    classes = {cls.__name__: cls for cls in types_within(events)}
    return {name: _explained(schema, classes[schema["title"]]) for name, schema in components.items()}


def _document(event: type[Event], template: str) -> Json:
    """The schema of the whole document: what all have in common, and what is this event's alone."""
    return {
        "title": event.__name__,
        "description": meaning(event),
        "type": "object",
        "allOf": [{"$ref": template.format(name=ENVELOPE)}],
        "properties": {
            "type": {"const": event.wire_type()},
            "subject": {"type": "string", "pattern": _pattern(event)},
            "data": {"$ref": template.format(name=event.__name__)},
        },
        "required": ["type", "subject", "data"],
    }


def _envelope() -> Json:
    _, components = msgspec.json.schema_components([Envelope])
    schema = _explained(components["Envelope"], Envelope)
    properties = {name: said for name, said in schema["properties"].items() if name != "data"}
    required = [name for name in schema["required"] if name != "data"]
    return {**schema, "title": ENVELOPE, "properties": properties, "required": required}


def _pattern(event: type[Event]) -> str:
    """What the subject of an event looks like, as an ECMA expression."""
    tokens = {field.name: _NUMBER if field.kind == "integer" else _WORD for field in fields_of(ref_of(event.noun))}
    actors = "|".join(said_by(event))
    parts = re.split(r"\{(\w+)\}", address(event))
    known = {**tokens, "actor": f"(?:{actors})", "role": _WORD}
    return "^" + "".join(known[part] if odd % 2 else re.escape(part) for odd, part in enumerate(parts)) + "$"


def _explained(schema: Json, cls: type) -> Json:
    """msgspec's schema of a class with what the source says of its fields or members."""
    said = notes(cls)
    schema = {**cast("Json", _ported(schema)), "description": meaning(cls)}
    if issubclass(cls, Enum):
        schema["enum"] = [member.value for member in cls]
        members = [f"{member.value}: {said[member.name]}" for member in cls if member.name in said]
        schema["description"] = "\n\n".join((schema["description"], *members))
    elif issubclass(cls, Struct):
        names = dict(zip(cls.__struct_encode_fields__, cls.__struct_fields__, strict=True))
        schema["properties"] = {
            name: _noted(field, said.get(names[name])) for name, field in schema["properties"].items()
        }
    return schema


def _noted(field: Json, note: str | None) -> Json:
    if note is None:
        return field
    if "$ref" in field:  # what stands beside a $ref counts for nothing in the older drafts
        return {"description": note, "allOf": [field]}
    return {**field, "description": sentences(note, field.get("description", ""))}


def _ported(schema: object) -> object:
    """The same with expressions as ECMA writes them: it has no \\A and no \\Z, and ^ and $ mean just that."""
    match schema:
        case dict():
            return {
                key: value.replace(r"\A", "^").replace(r"\Z", "$")
                if key == "pattern" and isinstance(value, str)
                else _ported(value)
                for key, value in cast("Json", schema).items()
            }
        case list():
            return [_ported(item) for item in cast("list[object]", schema)]
        case _:
            return schema
