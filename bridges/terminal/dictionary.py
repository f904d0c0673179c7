"""The events in words: `rig events` for a screen, and schemas/EVENTS.md. Pure; all of it follows from the classes."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import groupby

from bridges.terminal.show import table
from schemas import EVENTS, Event
from schemas.catalogue import address, said_by
from schemas.described import Field, fields_of, types_within
from schemas.docs import meaning, notes

__all__ = ["RENEW", "everything", "markdown", "one"]

RENEW = "rig events --markdown > schemas/EVENTS.md"
_HEAD = f"""\
# The events of the rig

Made from the classes in this directory by `{RENEW}`; do not edit it.

Every event is a CloudEvents 1.0 JSON document, on the subject that it names; what follows is its `data`. Who says it
stands in the subject as `{{actor}}`. Fields with a default may be left out. Unknown fields, and unknown events, are to
be ignored. `rig events --json` has the same as JSON Schema, `rig asyncapi` as AsyncAPI.
"""


def everything(width: int) -> Iterator[str]:
    """All events: the type and who may say it, what it means, its fields; for a screen of this width."""
    types = max(len(event.wire_type()) for event in EVENTS)
    yield f"{'TYPE':<{types}}  SAID BY"
    for event in EVENTS:
        yield f"{event.wire_type():<{types}}  {_speakers(event)}"
        fields = ", ".join(map(_field, fields_of(event)))
        for words in (meaning(event), fields):
            yield from textwrap.wrap(words, max(width, 40), initial_indent="    ", subsequent_indent="      ")


def one(event: type[Event]) -> Iterator[str]:
    """The whole of one event."""
    yield from (f"{event.__name__}: {meaning(event)}", "")
    yield f"type     {event.wire_type()}"
    yield f"subject  {address(event)}"
    yield f"said by  {_speakers(event)}"
    for cls in types_within([event]):
        if cls is not event:
            yield from ("", f"{cls.__name__}: {meaning(cls)}")
        rows = _rows(cls)
        if len(rows) > 1:
            yield from ("", *table(rows, indent="  "))


def markdown() -> Iterator[str]:
    """The document, line by line."""
    yield from _HEAD.splitlines()
    for noun, events in groupby(sorted(EVENTS, key=_noun_order), key=lambda event: event.noun):
        yield from ("", f"## {noun}")
        for event in events:
            yield from ("", f"### {event.__name__}", "", meaning(event), "")
            yield f"`{event.wire_type()}`, said by {_speakers(event)} on `{address(event)}`"
            yield from _section(_rows(event))
    yield from ("", "## Within them")
    for cls in sorted(set(types_within(EVENTS)).difference(EVENTS), key=lambda cls: cls.__name__):
        yield from ("", f"### {cls.__name__}", "", meaning(cls))
        yield from _section(_rows(cls))


def _noun_order(event: type[Event]) -> int:
    """Nouns in the order in which they first come."""
    return next(place for place, other in enumerate(EVENTS) if other.noun == event.noun)


def _rows(cls: type[object]) -> Sequence[tuple[str, ...]]:
    """A table of the fields of a struct, or of the members of an enumeration; the first row is the head."""
    if issubclass(cls, Enum):
        said, members = notes(cls), cls.__members__.values()
        return [("VALUE", "MEANING"), *((str(member.value), said.get(member.name, "")) for member in members)]
    head = ("FIELD", "TYPE", "UNIT", "DEFAULT", "MEANING")
    fields = ((f.name, f.kind, f.unit, f.default or "", f.meaning) for f in fields_of(cls))
    return _without_empty_columns([head, *fields])


def _without_empty_columns(rows: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
    kept = [place for place, column in enumerate(zip(*rows, strict=True)) if place == 0 or any(column[1:])]
    return [tuple(row[place] for place in kept) for row in rows]


def _section(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    head, *cells = rows
    if cells:
        yield ""
        yield _row(word.lower() for word in head)
        yield _row("---" for _ in head)
        yield from (_row((f"`{first}`", *map(_escaped, rest))) for first, *rest in cells)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(cell: str) -> str:
    return cell.replace("|", r"\|").replace("<", r"\<")


def _field(field: Field) -> str:
    unit = f" ({field.unit})" if field.unit else ""
    return f"{field.name}{'' if field.default is None else '?'}: {field.kind}{unit}"


def _speakers(event: type[Event]) -> str:
    return ", ".join(said_by(event))
