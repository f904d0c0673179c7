"""The read side as the log's second witness: what the log has lost of what was read, position by position.

A log is cut, made anew, or an older copy of it comes back and goes on. Whatever it was is named here, and refused by
who reads; `restore.py` puts it back.
"""

import asyncio
from collections.abc import Iterator

from msgspec import Struct

from bus import LogChanged
from bus.connection import Connection
from bus.extent import extent, positions
from bus.look import PAUSES
from bus.reseed import Kept
from bus.stored import Stored, get
from bus.topology import LOG
from conductor.postgres import Session
from conductor.projector.store import clean

MEND = (
    "stop the rig and run `rig restore`, which puts them back; or, where this log is the right one, drop the read side"
    " (drop schema rig cascade; where `rig up` runs PostgreSQL, delete the directory postgres of the data directory),"
    " and it is written again"
)
Ranges = tuple[tuple[int, int], ...]
"""The first and the last position of each."""


class _Count(Struct):
    count: int


class Loss(Struct, frozen=True, kw_only=True):
    """What the log does not hold."""

    end: int
    """Of the log."""
    read: int
    """As far as the read side has it."""
    missing: Ranges = ()
    """Which the read side has."""
    unknown: Ranges = ()
    """Which nobody has."""
    replaced: Ranges = ()
    """Where the log holds other messages than were read: none, or one range up to the last that both have."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.unknown or self.replaced)

    def lines(self) -> Iterator[str]:
        """In words; nothing, where nothing is lost."""
        if self.missing:
            yield f"the log lacks {positions(self.missing)}: it ends at {self.end}, and was read up to {self.read}"
        if self.unknown:
            yield f"the log lacks {positions(self.unknown)}, which the read side has not read either"
        for first, last in self.replaced:
            how = f"an older copy, up to {first - 1}, came back and went on" if first > 1 else "it is another log"
            yield f"the log holds at {positions([(first, last)])} other messages than were read there: {how}"


class LogLost(LogChanged):
    """The log lacks what was read of it, and no other try helps: the message says which positions, and what does."""


async def check(connection: Connection, session: Session) -> None:
    """Raises LogLost for a log that has lost something, with what; or BusError, PostgresAway."""
    loss = await compare(connection, session)
    if loss:
        raise LogLost("; ".join((*loss.lines(), MEND)))


async def compare(connection: Connection, session: Session) -> Loss:
    """What the log does not hold of what the read side has. Raises BusError or PostgresAway.

    What both hold is compared at the last position; where that differs, at as many as it takes to find the first.
    """
    read = await position(session)  # first: another projector may be reading on, and a log only grows
    there = await extent(connection)
    for pause in PAUSES if there.replicated else ():
        if there.end >= read:
            break
        await asyncio.sleep(pause)  # a leader that was elected this moment may not have applied everything yet
        there = await extent(connection)
    missing = [(first, min(last, read)) for first, last in there.missing if first <= read]
    if there.end < read:
        missing.append((there.end + 1, read))
    unknown = tuple((max(first, read + 1), last) for first, last in there.missing if last > read)
    both = min(there.end, read)
    low, high = 0, both  # up to `low` both say the same
    probe = both
    while low < high:
        if await _same(connection, session, probe):
            low = probe
        else:
            high = probe - 1
        probe = (low + high + 1) // 2
    replaced = ((low + 1, both),) if low < both else ()
    return Loss(end=there.end, read=read, missing=tuple(missing), unknown=unknown, replaced=replaced)


async def position(session: Session) -> int:
    """How far the read side has the log, with what a restore that was interrupted has kept of it."""
    found = await session.row("witnessed", _Count)
    return 0 if found is None else found.count


async def _same(connection: Connection, session: Session, at: int) -> bool:
    """Also where the log lacks the position: that is named by itself."""
    found, kept = await get(connection, LOG, {"seq": at}), await session.row("kept_between", Kept, at, at)
    return found is None or (kept is not None and says(found, kept))


def says(found: Stored, kept: Kept) -> bool:
    """Whether the log holds what was read there."""
    return (clean(found.subject), found.body) == (kept.subject, kept.body)
