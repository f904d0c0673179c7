"""Every event type there is, found by its wire type or by any name a person would use.

A new event is one class in one of the noun files; it is registered by being there.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from schemas import agent, chat, decision, delivery, fleet, forge, gate, issue, memory, money, repo, work
from schemas.errors import UnknownType
from schemas.event import Event, snake_case


def _events() -> Iterable[type[Event]]:
    for module in (issue, decision, work, forge, gate, delivery, money, repo, agent, chat, memory, fleet):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Event) and value.__module__ == module.__name__:
                yield value


EVENTS: tuple[type[Event], ...] = tuple(_events())
BY_TYPE: dict[str, type[Event]] = {event.wire_type(): event for event in EVENTS}


def _names() -> Iterable[tuple[str, type[Event]]]:
    for event in EVENTS:
        yield event.wire_type(), event
        yield f"{event.noun}.{event.name()}", event
        yield event.__name__.lower(), event
        yield snake_case(event.__name__), event  # and, in capitals, the older names: ISSUE_APPROVED


_BY_NAME = dict(_names())


def by_type(wire_type: str) -> type[Event]:
    """The class of a wire type. Raises UnknownType."""
    try:
        return BY_TYPE[wire_type]
    except KeyError:
        raise UnknownType(f"{wire_type!r} is no event type that this version knows") from None


def by_name(text: str) -> type[Event]:
    """The class a person means: `IssueApproved`, `issue.approved`, `ISSUE_APPROVED` or the wire type, in any case.

    Raises UnknownType, with the nearest names.
    """
    found = _BY_NAME.get(text.lower())
    if found is None:
        known = {event.__name__.lower(): event.__name__ for event in EVENTS}
        near = [known[name] for name in get_close_matches(text.lower().replace("_", ""), known, n=3)]
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UnknownType(f"{text[:80]!r} is no event type{hint}")
    return found
