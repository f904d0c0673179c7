"""From an event back through its causes to the outside fact that started it. Pure.

Every decision, and everything that is done because of one, names the id of the event that led to it. Whoever writes
may name what he likes: a cause that does not stand before its effect is none, so there is no circle.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from schemas import Recorded

LINKS_MAX: Final = 1_000


class Missing(Struct, frozen=True):
    """A cause that is not among the events that are known."""

    id: str
    before: int
    """It must stand before this position."""


class Known:
    """Events by their ids."""

    def __init__(self, events: Iterable[Recorded] = ()) -> None:
        self._by_id: dict[str, list[Recorded]] = {}
        self.add(events)

    def add(self, events: Iterable[Recorded]) -> None:
        """More events, in any order."""
        for said in events:
            self._by_id.setdefault(said.event.id, []).append(said)

    def find(self, missing: Missing) -> Recorded | None:
        """The first event of that id; an id may be taken again long after it was said."""
        found = [said for said in self._by_id.get(missing.id, []) if said.position < missing.before]
        return min(found, key=lambda said: said.position, default=None)


def chain(last: Recorded, known: Known) -> tuple[list[Recorded], Missing | None]:
    """The causes of an event, oldest first, itself at the end; and the cause of the first that is not known, if any."""
    links = [last]
    while len(links) < LINKS_MAX:
        cause = links[-1].event.causationid
        if cause is None:
            return links[::-1], None
        missing = Missing(cause, links[-1].position)
        found = known.find(missing)
        if found is None:
            return links[::-1], missing
        links.append(found)
    return links[::-1], None
