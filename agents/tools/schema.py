"""JSON Schema, as far as tools need it: whether one is sound, and whether what a model wrote is as it wants.

Two ways of checking. `complaints` follows a whole schema: for one that the operator wrote. `plain_complaints` follows
what cannot take long, whatever somebody else's server has written: no references (a few hundred bytes of them are a
lifetime of checking), no patterns, nothing about uniqueness. The server itself may want more, and says so.

Nothing is ever fetched: a reference leads elsewhere within its own schema, or the schema is wrong.
"""

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from agents.llm.messages import Schema

if TYPE_CHECKING:  # and imported late: it takes a while, and only who calls tools needs it
    from jsonschema.protocols import Validator

__all__ = ["MAX_BYTES", "complaints", "plain", "plain_complaints", "wrong_schema"]

MAX_BYTES: Final = 64 * 1024
"""Of one schema."""
_DEPTH: Final = 40
_TOLD: Final = 5
_SHORT: Final = 300
_PLAIN: Final = frozenset(
    {
        *("type", "enum", "const", "required", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"),
        *("properties", "items", "additionalProperties", "anyOf", "allOf", "oneOf"),
    }
)
_REFERENCES: Final = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


def wrong_schema(schema: object) -> str | None:
    """Why this is no schema that can be used; None: it can."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    if not isinstance(schema, Mapping):
        return "not an object"
    try:
        if len(msgspec.json.encode(schema)) > MAX_BYTES:
            return f"longer than {MAX_BYTES} bytes"
        if (odd := _odd(cast("Mapping[str, object]", schema), 0)) is not None:
            return odd
        Draft202012Validator.check_schema(cast("dict[str, Any]", schema))
    except SchemaError as error:
        return error.message[:_SHORT]
    except (RecursionError, TypeError, ValueError, msgspec.MsgspecError) as error:
        return f"cannot be read: {error}"[:_SHORT]
    return None


def complaints(schema: Schema, value: object) -> list[str]:
    """What is wrong with a value, by a sound schema; empty: nothing."""
    return _said(_validator(schema), value)


def plain_complaints(schema: Schema, value: object) -> list[str]:
    """The same, by that of the schema that surely takes no time."""
    return _said(_validator(cast("Schema", plain(schema))), value)


def plain(schema: object) -> object:
    """The schema without what may take long to follow. What it lets pass is more; `oneOf` becomes `anyOf`."""
    if not isinstance(schema, Mapping):
        return schema if isinstance(schema, bool) else True
    kept: dict[str, object] = {}
    for key, value in cast("Mapping[str, object]", schema).items():
        if key not in _PLAIN:
            continue
        match key, value:
            case "properties", dict():
                kept[key] = {name: plain(one) for name, one in cast("dict[str, object]", value).items()}
            case "anyOf" | "oneOf" | "allOf", list():
                # both may stand there: what has them all is one of each
                some = {"allOf" if key == "allOf" else "anyOf": [plain(one) for one in cast("list[object]", value)]}
                kept.setdefault("allOf", [])
                cast("list[object]", kept["allOf"]).append(some)
            case "items" | "additionalProperties", _:
                # beside patternProperties, which is not followed, nobody knows what is additional
                if key == "items" or "patternProperties" not in schema:
                    kept[key] = plain(value)
            case _:
                kept[key] = value
    return kept


def _validator(schema: Schema) -> "Validator":
    from jsonschema import Draft202012Validator
    from referencing import Registry

    nothing: Registry[Any] = Registry()  # the default one would fetch
    return Draft202012Validator(cast("dict[str, Any]", schema), registry=nothing)


def _said(validator: "Validator", value: object) -> list[str]:
    from jsonschema.exceptions import UnknownType, ValidationError
    from referencing.exceptions import Unresolvable

    try:
        found: list[object] = list(islice(cast("Any", validator).iter_errors(value), _TOLD))
    except (RecursionError, Unresolvable, UnknownType, TypeError, ValueError) as error:
        return [f"it cannot be checked: {type(error).__name__}"]
    return [_line(cast("Any", error)) for error in found if isinstance(error, ValidationError)]


def _line(error: Any) -> str:
    path = ".".join(str(part) for part in error.absolute_path)
    return f"{path}: {error.message}"[:_SHORT] if path else str(error.message)[:_SHORT]


def _odd(schema: object, depth: int) -> str | None:
    """What a metaschema does not forbid."""
    if depth > _DEPTH:
        return f"nested more than {_DEPTH} deep"
    if isinstance(schema, Mapping):
        for key, value in cast("Mapping[str, object]", schema).items():
            if key in _REFERENCES and isinstance(value, str) and not value.startswith("#"):
                return f"refers to {value[:80]!r}, which is elsewhere"
            if (odd := _odd(value, depth + 1)) is not None:
                return odd
    elif isinstance(schema, list):
        for one in cast("list[object]", schema):
            if (odd := _odd(one, depth + 1)) is not None:
                return odd
    return None
