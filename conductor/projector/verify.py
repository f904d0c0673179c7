"""The second witness: what the tables hold, against the log, at one position. Nothing is changed.

Every event that is stored is compared with the log byte for byte, and every row with one that is made anew.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct, field

from bus import Bus, Stored
from bus.replay import replay
from conductor.postgres import Session
from conductor.projector.letters import TABLE as LETTERS
from conductor.projector.letters import dead_position, line
from conductor.projector.past import Past, plain
from conductor.projector.projection import Projection
from conductor.projector.rebuild import Progress, check_whole
from conductor.projector.store import as_json, clean, poisoned, read, stored_position

NAMED_MAX: Final = 50
"""Differences of one table that are named; all are counted."""


class Differs(Struct, frozen=True):
    """What is not as the log says, of one table."""

    count: int
    named: tuple[str, ...]
    """Keys, or positions; the first ones."""


class Verified(Struct, kw_only=True):
    """What came of it."""

    position: int
    events: int
    rows: int
    differs: dict[str, Differs] = field(default_factory=dict[str, Differs])
    """By table; empty: nothing."""


class _Event(Struct):
    position: int
    subject: str
    body: str | None
    raw: bytes | None


class _KeyAndRow(Struct):
    key: str
    row: str


async def verify(bus: Bus, session: Session, progress: Progress) -> Verified:
    """Compares everything as of one moment of the read side. Raises PostgresAway or BusError:
    LogChanged for a log that does not go so far any more."""
    async with session.transaction(snapshot=True):
        position, poison = await stored_position(session), await poisoned(session)
        past = Past(poison)
        found = Verified(position=position, events=position, rows=0)
        events: list[str] = []
        async for batch in replay(bus.connection, ("rig.>",), until=position):
            events += await _events_that_differ(session, batch)
            past.fold(read(message, poison) for message in batch)
            progress(past.position, position)
        check_whole(past, position)
        _note(found, "events", events)
        projection = Projection()
        for table in projection.tables:
            stored = {row.key: plain(row.row) for row in await session.rows("all_rows", _KeyAndRow, table=table)}
            anew = {clean(key): plain(as_json(row)) for key, row in past.tables.rows.get(table, {}).items()}
            found.rows += len(anew)
            keys = sorted(stored.keys() | anew.keys())
            _note(found, table, [key for key in keys if stored.get(key) != anew.get(key)])
        await _dead_letters(bus, session, found)
    return found


async def _dead_letters(bus: Bus, session: Session, found: Verified) -> None:
    """Compared with RIG_DEAD, as far as it was read; what that has forgotten by its age, the table may yet hold."""
    read_to = await dead_position(session)
    if not read_to:
        return
    dead = await bus.dead.read(until=read_to)
    anew = {letter.id: plain(as_json(line(letter))) for letter in dead.letters}
    rows = await session.rows("all_rows", _KeyAndRow, table=LETTERS)
    stored = {int(row.key): plain(row.row) for row in rows if int(row.key) >= dead.first}
    found.rows += len(anew)
    _note(found, LETTERS, [str(key) for key in sorted(anew.keys() | stored.keys()) if anew.get(key) != stored.get(key)])


async def _events_that_differ(session: Session, batch: Sequence[Stored]) -> list[str]:
    rows = await session.rows("events_between", _Event, batch[0].position, batch[-1].position)
    stored = {row.position: (row.subject, row.raw if row.body is None else row.body) for row in rows}
    return [str(message.position) for message in batch if not _same(message, stored.get(message.position))]


def _same(message: Stored, stored: tuple[str, bytes | str | None] | None) -> bool:
    if stored is None or stored[0] != clean(message.subject):
        return False
    body = stored[1]
    return body == (message.body if isinstance(body, bytes) else message.body.decode(errors="replace"))


def _note(found: Verified, table: str, keys: Sequence[str]) -> None:
    if keys:
        found.differs[table] = Differs(len(keys), tuple(keys[:NAMED_MAX]))


def as_lines(found: Verified) -> list[str]:
    """What came of it, for people."""
    lines = [f"position {found.position}: {found.events} events and {found.rows} rows compared with the log"]
    for table, differs in found.differs.items():
        more = f" and {differs.count - len(differs.named)} more" if differs.count > len(differs.named) else ""
        lines.append(f"{table}: {differs.count} not as the log says: {', '.join(differs.named)}{more}")
    return lines if found.differs else [*lines, "nothing differs"]
