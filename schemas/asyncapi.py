"""The AsyncAPI 3.0 document of the rig: a channel per event, its message, and an operation for each who may say it.

The document tells a whole system and not one application: `send` is what an actor does, everybody may receive. There
are no bindings: those of NATS know of nothing but queue groups, and the log is read through JetStream.
Source: AsyncAPI 3.0.0, §"Schema"; NATS bindings 0.1.0.
"""

from schemas.actors import Actor
from schemas.catalogue import Json, address, said_by, schemas_of
from schemas.described import Field, fields_of
from schemas.docs import meaning
from schemas.event import Event
from schemas.registry import EVENTS
from schemas.subjects import ref_of

__all__ = ["asyncapi"]

_SCHEMAS = "#/components/schemas/{name}"
_ABOUT = """\
A team of software agents that turns approved issues into merged changes. Nothing calls anything: every part reads facts
from one log, a NATS JetStream stream, and writes its own facts back.

Every message is a CloudEvents 1.0 JSON document in structured mode, published on the subject that it names; its `id` is
the `Nats-Msg-Id`. The actor in the subject is the role whose key wrote it. Unknown types and fields are to be ignored.
"""
_ACTOR = "The role that says it. The server lets each role's key publish under its own name alone."
_ESCAPED = "Bytes other than A-Z, a-z, 0-9, - and _ are written %XX."


def asyncapi(version: str) -> Json:
    """The whole document, of the rig of this version."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Rig", "version": version, "description": _ABOUT, "license": {"name": "MIT"}},
        "defaultContentType": "application/cloudevents+json",
        "servers": {
            "rig": {
                "host": "{host}",
                "protocol": "nats",
                "description": "A NATS server with JetStream; the stream RIG holds rig.>",
                "variables": {"host": {"default": "127.0.0.1:4222", "description": "Its address."}},
            }
        },
        "channels": {event.__name__: _channel(event) for event in EVENTS},
        "operations": {f"{actor}.{event.__name__}": _send(actor, event) for actor in Actor for event in _says(actor)},
        "components": {
            "messages": {event.__name__: _message(event) for event in EVENTS},
            "schemas": schemas_of(EVENTS, _SCHEMAS),
        },
    }


def _says(actor: Actor) -> list[type[Event]]:
    return [event for event in EVENTS if actor in said_by(event)]


def _channel(event: type[Event]) -> Json:
    return {
        "address": address(event),
        "title": event.__name__,
        "description": meaning(event),
        "messages": {event.__name__: {"$ref": f"#/components/messages/{event.__name__}"}},
        "parameters": _parameters(event),
        "tags": [{"name": event.noun}],
    }


def _parameters(event: type[Event]) -> Json:
    parameters: Json = {field.name: {"description": _token(field)} for field in fields_of(ref_of(event.noun))}
    parameters["actor"] = {"description": _ACTOR, "enum": [actor.value for actor in said_by(event)]}
    if address(event).endswith("{role}"):
        parameters["role"] = {"description": "Whom it is for, as data.role says."}
    return parameters


def _token(field: Field) -> str:
    return field.meaning if field.kind == "integer" else f"{field.meaning} {_ESCAPED}".lstrip()


def _message(event: type[Event]) -> Json:
    return {
        "name": event.wire_type(),
        "title": event.__name__,
        "summary": meaning(event),
        "correlationId": {
            "description": "The id of the event that began all this.",
            "location": "$message.payload#/correlationid",
        },
        "payload": {"$ref": _SCHEMAS.format(name=event.wire_type())},
        "tags": [{"name": event.noun}],
    }


def _send(actor: Actor, event: type[Event]) -> Json:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{event.__name__}"},
        "title": f"{actor} says {event.__name__}",
        "description": f"On {address(event).replace('{actor}', actor)}",
        "messages": [{"$ref": f"#/channels/{event.__name__}/messages/{event.__name__}"}],
        "tags": [{"name": actor.value}],
    }
