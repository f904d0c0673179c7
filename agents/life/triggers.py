"""Waking by what happens: which events, and which messages of people, an agent wakes for. Pure.

What is said in an event is compared, never run: a filter holds where every field that it names has the value there.
"""

import re
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct, field

from schemas import ChatRef, Event, MessageReceived, Recorded, SchemaError
from schemas.described import fields_of
from schemas.fields import Line, Text
from schemas.refs import NAME
from schemas.registry import by_name

__all__ = ["FRESH", "MESSAGES", "Messaging", "Trigger", "addressed", "fits", "problems", "spoken_to", "subjects"]

FRESH: Final = timedelta(hours=24)
"""Nobody is woken for what is older: a trigger that is new has not missed a year."""
MESSAGES: Final = f"rig.chat.*.*.*.{MessageReceived.name()}"
"""Under which all messages of people stand in the log."""
Value: TypeAlias = str | int | float | bool | None


class Trigger(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Events for which an agent wakes."""

    event: Line
    """Its name, as `rig events` lists it: IncidentOpened, or fleet.incident_opened."""
    where: dict[str, Value] = field(default_factory=dict[str, Value])
    """Fields of the event and what they must be; none: each such event."""
    text: Text = ""
    """What it is told to do; the event itself is told to it, too."""


class Messaging(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Which messages of people are an agent's to answer, besides those that are said to it alone, as by `rig chat`."""

    conversations: tuple[Annotated[str, Meta(min_length=3, max_length=201, pattern=r"\A[^/]+/.+\Z")], ...] = ()
    """PLATFORM/CONVERSATION, like discord/1234; a * stands for any ending or part."""
    mention: bool = True
    """Whether a message must name it, as @name; in a conversation of its own it need not."""
    roles: tuple[Line, ...] = ()
    """Only from somebody with one of these roles there; none: from whoever may write to the rig."""
    reports: (
        Annotated[
            str,
            Meta(
                pattern=rf"\A{NAME.pattern}/[^\x00-\x1f\x7f*]{{1,100}}\Z",
                description="one conversation, as PLATFORM/CONVERSATION, like discord/1234",
            ),
        ]
        | None
    ) = None
    """Where it says what came of waking by the clock, by an event or by a webhook; none: it rests with it."""

    @property
    def reports_to(self) -> ChatRef | None:
        """The same."""
        platform, _, conversation = (self.reports or "").partition("/")
        return ChatRef(platform, conversation) if platform else None


def _event(trigger: Trigger) -> type[Event]:
    """The class of its events. Raises UnknownType."""
    return by_name(trigger.event)


def problems(trigger: Trigger) -> list[str]:
    """What is wrong with it, besides what its types say."""
    try:
        event = _event(trigger)
    except SchemaError as error:
        return [f"event: {error}"]
    known = [each.name for each in fields_of(event)]
    return [
        f"where: {event.__name__} has no field {name!r} (it has {', '.join(known)})"
        for name in trigger.where
        if name not in known
    ]


def fits(trigger: Trigger, event: Event) -> bool:
    """Whether it wakes for this event."""
    if not isinstance(event, _event(trigger)):
        return False
    said: dict[str, object] = msgspec.to_builtins(event)
    return all(name in said and said[name] == value for name, value in trigger.where.items())


def subjects(triggers: tuple[Trigger, ...]) -> list[str]:
    """Filters of the log under which all stands that may wake it, but for its own wakes."""
    events = {_event(trigger) for trigger in triggers}
    found = [f"rig.{event.noun}.{_ABOUT[event.noun]}*.{event.name()}" for event in events]
    return [*sorted(found), MESSAGES]


_ABOUT: Final = {"issue": "*.*.*.", "repo": "*.*.", "agent": "*.", "chat": "*.*.", "memory": "*.", "fleet": ""}


def spoken_to(name: str, event: Event) -> bool:
    """Whether it is a message to this agent by its name, and not to whoever answers there."""
    return isinstance(event, MessageReceived) and event.to == name


def addressed(name: str, messaging: Messaging, recorded: Recorded) -> bool:
    """Whether a message is this agent's to answer."""
    about, said = recorded.event.about, recorded.event.data
    if not isinstance(about, ChatRef) or not isinstance(said, MessageReceived):
        return False
    if said.to is not None:
        return said.to == name
    place = f"{about.platform}/{about.conversation}"
    if not any(fnmatchcase(place, pattern) for pattern in messaging.conversations):
        return False
    if messaging.roles and not set(messaging.roles) & set(said.roles):
        return False
    return not messaging.mention or re.search(rf"@{re.escape(name)}(?![\w-])", said.text, re.IGNORECASE) is not None
