"""Which trace an event belongs to (W3C Trace Context), and what is said because of it: text alone, no spans.

An event carries a `traceparent`. Who publishes because of an event hands its trace on in `Draft.traceparent`, whether
this process makes spans or not (see tracing.py). A traceparent that is not one is no traceparent: anybody may write.
"""

import re
from collections import OrderedDict
from functools import lru_cache
from typing import Final

from msgspec import Struct, structs

from schemas import Draft, Envelope, Event, Ref

_TRACEPARENT: Final = re.compile(r"(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(-|\Z)")
_THINGS: Final = 10_000
_EVENTS_OF_EACH: Final = 16


def trace_of(event: Envelope) -> str | None:
    """The traceparent that an event carries, if it is one; of a newer version, what this one understands."""
    if event.traceparent is None:
        return None
    match = _TRACEPARENT.match(event.traceparent)
    if match is None or (match[1] == "00" and match[3]):
        return None
    return f"00-{match[2]}"


@lru_cache(maxsize=256)
def destination(event: type[Event]) -> str:
    """What a kind of event is called where few names are wanted: `rig.issue.approved`."""
    return event.wire_type().rpartition(".")[0]


class Cause(Struct, frozen=True):
    """What something is done because of, as far as it is known."""

    id: str
    destination: str | None = None
    traceparent: str | None = None


class Causes:
    """The traces of what was heard lately. Bounded: of the things that were spoken of last, the last events."""

    def __init__(self) -> None:
        self._of: OrderedDict[Ref, OrderedDict[str, Cause]] = OrderedDict()

    def hear(self, event: Envelope) -> None:
        """An event was read."""
        traceparent = trace_of(event)
        if traceparent is None:
            return
        heard = self._of.setdefault(event.about, OrderedDict())
        self._of.move_to_end(event.about)
        heard[event.id] = Cause(event.id, destination(type(event.data)), traceparent)
        if len(heard) > _EVENTS_OF_EACH:
            heard.popitem(last=False)
        if len(self._of) > _THINGS:
            self._of.popitem(last=False)

    def find(self, about: Ref, cause: str) -> Cause:
        """The event of that id; when it is not known, the trace of the last one about the same."""
        heard = self._of.get(about)
        if not heard:
            return Cause(cause)
        return heard.get(cause) or Cause(cause, traceparent=next(reversed(heard.values())).traceparent)

    def followed(self, draft: Draft) -> Draft:
        """The draft, in the trace of its cause."""
        if draft.cause is None or not self._of:
            return draft
        return structs.replace(draft, traceparent=self.find(draft.about, draft.cause).traceparent)
