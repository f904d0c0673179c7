"""Whether what was ever written can still be read: the released shape of each event's data against today's.

The log is for ever, so a change may only widen what is taken: new events, optional fields, values of an enumeration,
looser bounds. Anything else is a new version of the event, with an upcaster for the old one. Pure.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct, field, structs

from schemas.event import Event
from schemas.registry import EVENTS
from schemas.upcast import newest

__all__ = ["Released", "Shape", "incompatible", "merged", "shapes"]


class Shape(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What JSON Schema says of a value, as far as it decides which values are taken."""

    ref: str | None = field(name="$ref", default=None)
    """Of a component; `shapes` puts that in its place."""
    type: str | None = None
    enum: tuple[str | int | None, ...] = ()
    any_of: tuple["Shape", ...] = ()
    properties: dict[str, "Shape"] = {}
    required: tuple[str, ...] = ()
    items: "Shape | bool | None" = None
    prefix_items: tuple["Shape", ...] = ()
    additional_properties: "Shape | bool | None" = None
    format: str | None = None
    pattern: str | None = None
    minimum: int | float | None = None
    exclusive_minimum: int | float | None = None
    maximum: int | float | None = None
    exclusive_maximum: int | float | None = None
    multiple_of: int | float | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    min_properties: int | None = None
    max_properties: int | None = None


Released: TypeAlias = dict[str, Shape]
"""Wire type → the shape of its data."""

_LEAST: Final = float("-inf")
_MOST: Final = float("inf")


def shapes(events: Iterable[type[Event]] = EVENTS) -> Released:
    """What the classes take."""
    events = tuple(events)
    schemas = msgspec.json.schema_components(events, ref_template="{name}")
    references, components = msgspec.convert(schemas, tuple[tuple[Shape, ...], dict[str, Shape]])
    return {event.wire_type(): _resolved(shape, components) for event, shape in zip(events, references, strict=True)}


def _resolved(shape: Shape, components: Mapping[str, Shape]) -> Shape:
    def inner(part: Shape | bool | None) -> Shape | bool | None:
        return _resolved(part, components) if isinstance(part, Shape) else part

    if shape.ref is not None:
        return _resolved(components[shape.ref], components)
    return structs.replace(
        shape,
        any_of=tuple(_resolved(part, components) for part in shape.any_of),
        properties={name: _resolved(part, components) for name, part in shape.properties.items()},
        items=inner(shape.items),
        prefix_items=tuple(_resolved(part, components) for part in shape.prefix_items),
        additional_properties=inner(shape.additional_properties),
    )


def incompatible(released: Released, today: Released) -> list[str]:
    """What of the released can no longer be read, a line for each, with the event and the field. Empty: all can."""
    return [problem for wire_type in released for problem in _event(wire_type, released[wire_type], today)]


def merged(released: Released, today: Released) -> Released:
    """The released with what is new, by wire type. Only for what is compatible."""
    return dict(sorted({**released, **today}.items()))


def _event(wire_type: str, released: Shape, today: Released) -> Iterator[str]:
    if wire_type in today:
        yield from (f"{wire_type}: {problem}" for problem in _narrowed(released, today[wire_type], ""))
    elif newest(wire_type, today) is None:
        yield f"{wire_type}: gone, and no upcaster reads what was written of it"


def _narrowed(old: Shape, new: Shape, at: str) -> Iterator[str]:
    """How `new` refuses something that `old` takes."""
    was, now = _alternatives(old), _alternatives(new)
    if len(was) == len(now) == 1:
        yield from _one(old, new, at)
        return
    for one in was:
        candidates = [list(_one(one, other, at)) for other in now if other.type == one.type]
        if not candidates:
            yield f"{_at(at)}may no longer be {one.type or ' or '.join(map(str, one.enum))}"
        elif [] not in candidates:
            yield from min(candidates, key=len)


def _alternatives(shape: Shape) -> Sequence[Shape]:
    return shape.any_of or (shape,)


def _one(old: Shape, new: Shape, at: str) -> Iterator[str]:
    where = _at(at)
    if old.type != new.type or bool(old.enum) != bool(new.enum):
        yield f"{where}was {_kind(old)}, and is {_kind(new)}"
        return
    for value in old.enum:
        if value not in new.enum:
            yield f"{where}{value!r} is taken no more"
    yield from _fields(old, new, at)
    for name, was, now in (
        ("items", old.items, new.items),
        ("values", old.additional_properties, new.additional_properties),
    ):
        yield from _within(was, now, f"{at}[]" if name == "items" else f"{at}.*")
    if len(old.prefix_items) != len(new.prefix_items):
        yield f"{where}had {len(old.prefix_items)} items, and has {len(new.prefix_items)}"
    else:
        for place, (was, now) in enumerate(zip(old.prefix_items, new.prefix_items, strict=True)):
            yield from _narrowed(was, now, f"{at}[{place}]")
    for what, of in _EXACT.items():
        if of(new) is not None and of(new) != of(old):
            yield f"{where}{what} {of(new)!r} where {of(old)!r} was"
    for what, of in _LOWER.items():
        if of(new) > of(old):
            yield f"{where}{what} is tighter than it was"
    for what, of in _UPPER.items():
        if of(new) < of(old):
            yield f"{where}{what} is tighter than it was"


def _fields(old: Shape, new: Shape, at: str) -> Iterator[str]:
    for name, was in old.properties.items():
        path = f"{at}.{name}" if at else name
        if name not in new.properties:
            yield f"{path}: is gone"
            continue
        if name in new.required and name not in old.required:
            yield f"{path}: was optional, and is required"
        yield from _narrowed(was, new.properties[name], path)
    for name in new.required:
        if name not in old.properties:
            yield f"{at}.{name}: is new and required" if at else f"{name}: is new and required"


def _within(old: Shape | bool | None, new: Shape | bool | None, at: str) -> Iterator[str]:
    match old, new:
        case Shape(), Shape():
            yield from _narrowed(old, new, at)
        case (True | None, Shape()) if old != new:
            yield f"{_at(at)}was anything, and is {_kind(new)}"
        case _:
            pass


_EXACT: Final[Mapping[str, Callable[[Shape], object]]] = {
    "pattern": lambda shape: shape.pattern,
    "format": lambda shape: shape.format,
    "multiple of": lambda shape: shape.multiple_of,
}


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


_LOWER: Final[Mapping[str, Callable[[Shape], tuple[float, bool]]]] = {
    "its lower bound": lambda shape: max(
        (_or(shape.minimum, _LEAST), False), (_or(shape.exclusive_minimum, _LEAST), True)
    ),
    "its least length": lambda shape: (_or(shape.min_length, 0), False),
    "its least number of items": lambda shape: (max(_or(shape.min_items, 0), _or(shape.min_properties, 0)), False),
}
_UPPER: Final[Mapping[str, Callable[[Shape], tuple[float, bool]]]] = {
    "its upper bound": lambda shape: min(
        (_or(shape.maximum, _MOST), True), (_or(shape.exclusive_maximum, _MOST), False)
    ),
    "its greatest length": lambda shape: (_or(shape.max_length, _MOST), False),
    "its greatest number of items": lambda shape: (
        min(_or(shape.max_items, _MOST), _or(shape.max_properties, _MOST)),
        False,
    ),
}


def _kind(shape: Shape) -> str:
    return "one of a list" if shape.enum else shape.type or "anything"


def _at(path: str) -> str:
    return f"{path}: " if path else ""
