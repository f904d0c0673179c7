"""Saying what a person wishes, once: checked before it leaves, under an id that a repetition has too.

The id follows from what is said and from what its speaker knew (the `anchor`: the newest event that it answers). Who
repeats a command because no answer came says it with the same id; who means it anew knows more by then.
"""

from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct

from bridges.terminal import reading
from bridges.terminal.errors import BadInput
from schemas import Actor, Draft, Event, Invalid, Recorded, Ref, build, event_id, summary

if TYPE_CHECKING:
    from bus import Bus

E = TypeVar("E", bound=Event)


class Spoken(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event that a command said, for programs too."""

    about: str
    type: str
    position: int
    id: str
    summary: str
    already: bool = False
    """It had been said before, and holds: nothing was said now."""

    def __str__(self) -> str:
        where = f"said before, at position {self.position}" if self.already else f"position {self.position}"
        return f"{self.about}: {self.summary} ({where})"


def wish(event: type[E], **values: object) -> E:
    """The event of these values. Raises BadInput with everything that is wrong."""
    problems = reading.unspeakable(values)
    try:
        made = build(event, values)
    except Invalid as error:
        raise BadInput.of(event.__name__, [*problems, *error.problems]) from None
    if problems:
        raise BadInput.of(event.__name__, problems)
    return made


async def say(bus: "Bus", about: Ref, data: Event, anchor: str, *, cause: Recorded | None = None) -> Spoken:
    """Says it; `cause` is the event that it answers. Raises BusError: saying the same again does no harm, then."""
    from bus import trace_of

    digest = sha256(msgspec.json.encode(data) + f"{about}\n{anchor}".encode()).hexdigest()[:32]
    known_as = event_id(Actor.CLI, data.name(), digest)
    draft = Draft(about=about, data=data)
    if cause is not None:
        led = cause.event
        draft = Draft(
            about=about, data=data, cause=led.id, correlation=led.correlationid or led.id, traceparent=trace_of(led)
        )
    position = await bus.log.publish(draft, known_as)
    return _spoken(about, data, position, known_as)


def before(said: Recorded) -> Spoken:
    """What was said already."""
    found = _spoken(said.event.about, said.event.data, said.position, said.event.id)
    return msgspec.structs.replace(found, already=True)


def _spoken(about: Ref, data: Event, position: int, known_as: str) -> Spoken:
    return Spoken(about=str(about), type=data.wire_type(), position=position, id=known_as, summary=summary(data))
