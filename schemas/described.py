"""What the fields of a class hold, in words: for tables that people read, and for what a schema cannot say."""

from collections.abc import Iterable
from enum import Enum
from typing import Final, cast

import msgspec
from msgspec import NODEFAULT, Struct, inspect

from schemas.docs import notes

__all__ = ["Field", "described", "fields_of", "sentences", "types_within"]

_UNITS: Final = {
    "ms": "milliseconds",
    "seconds": "seconds",
    "minutes": "minutes",
    "hours": "hours",
    "days": "days",
    "usd": "US dollars",
    "percent": "percent",
    "bytes": "bytes",
}
"""By the last word of a field's name."""


class Field(Struct, frozen=True):
    """One field, in words."""

    name: str
    kind: str
    """Its type: `string`, `time`, `IssueRef[]`, `integer or null`."""
    unit: str
    """Empty where it has none."""
    default: str | None
    """As JSON, or `absent`. None: the field is required."""
    meaning: str
    """Sentences, or nothing."""


def fields_of(cls: type) -> tuple[Field, ...]:
    """The fields of a struct, in its order."""
    info = cast("inspect.StructType", inspect.type_info(cls))
    said = notes(cls)
    return tuple(
        Field(
            field.encode_name,
            kind(field.type),
            _UNITS.get(field.name.rpartition("_")[2], ""),
            None if field.required else _default(field),
            sentences(said.get(field.name, ""), described(field.type)),
        )
        for field in info.fields
    )


def types_within(classes: Iterable[type]) -> tuple[type, ...]:
    """The structs and enumerations that these structs consist of, themselves included, each once."""
    found: dict[type, None] = {}

    def find(info: inspect.Type) -> None:
        match info:
            case inspect.StructType(cls=cls) | inspect.EnumType(cls=cls) if cls in found:
                return
            case inspect.StructType(cls=cls, fields=fields):
                found[cls] = None
                for field in fields:
                    find(field.type)
            case inspect.EnumType(cls=cls):
                found[cls] = None
            case _:
                for part in _parts(info):
                    find(part)

    for cls in classes:
        find(inspect.type_info(cls))
    return tuple(found)


def kind(info: inspect.Type) -> str:
    """A type in a word or two, as JSON has it."""
    match info:
        case inspect.Metadata():
            return kind(info.type)
        case inspect.StructType(cls=cls) | inspect.EnumType(cls=cls):
            return cls.__name__
        case inspect.UnionType():
            return " or ".join(map(kind, info.types))
        case inspect.DictType():
            return f"{kind(info.value_type)} by {kind(info.key_type)}"
        case inspect.VarTupleType() | inspect.ListType() | inspect.SetType() | inspect.FrozenSetType():
            item = kind(info.item_type)
            return f"({item})[]" if " " in item else f"{item}[]"
        case inspect.LiteralType():
            return " or ".join(msgspec.json.encode(value).decode() for value in info.values)
        case _:
            return _KINDS.get(type(info), "anything")


_KINDS: Final[dict[type[inspect.Type], str]] = {
    inspect.StrType: "string",
    inspect.BoolType: "boolean",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.DateTimeType: "time",
    inspect.NoneType: "null",
}


def described(info: inspect.Type) -> str:
    """What holds of every value of a type beyond its kind: its own description, or its bounds."""
    match info:
        case inspect.Metadata():
            extra = cast("dict[str, str] | None", info.extra_json_schema)  # pyright: ignore[reportUnknownMemberType]
            return (extra or {}).get("description") or described(info.type)
        case inspect.IntType() | inspect.FloatType():
            bounds = {"more than ": info.gt, "at least ": info.ge, "less than ": info.lt, "at most ": info.le}
            return ", ".join(f"{words}{bound:,}" for words, bound in bounds.items() if bound is not None)
        case inspect.StructType() | inspect.EnumType():
            return ""
        case inspect.UnionType():
            return next((words for part in info.types if (words := described(part))), "")
        case _:
            item = next((words for part in _parts(info) if (words := described(part))), "")
            return f"each: {item}" if item else ""


def sentences(*words: str) -> str:
    """The words that there are as sentences, one behind the other."""
    return " ".join(f"{said[:1].upper()}{said[1:].rstrip('.')}." for said in words if said)


def _parts(info: inspect.Type) -> tuple[inspect.Type, ...]:
    match info:
        case inspect.Metadata():
            return (info.type,)
        case inspect.UnionType():
            return info.types
        case inspect.DictType():
            return (info.key_type, info.value_type)
        case inspect.VarTupleType() | inspect.ListType() | inspect.SetType() | inspect.FrozenSetType():
            return (info.item_type,)
        case inspect.TupleType():
            return info.item_types
        case _:
            return ()


def _default(field: inspect.Field) -> str:
    if field.default_factory is not NODEFAULT:
        return msgspec.json.encode(field.default_factory()).decode()
    if field.default is NODEFAULT:  # UNSET
        return "absent"
    value: object = field.default
    return msgspec.json.encode(value.value if isinstance(value, Enum) else value).decode()
