"""Makes read models anew from the log, beside the live ones, and puts them in their place at once.

Readers see the rows of before until the moment at which they see all of the new ones; meanwhile the projector goes on,
and waits only while rows are put in place.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

from bus import Bus
from bus.replay import replay
from conductor.postgres import Session
from conductor.projector.past import Past
from conductor.projector.projection import Changes
from conductor.projector.store import as_json, clean, poisoned, stored_position, write

STEP: Final = 4_000
"""Rows that are written at once."""
Progress = Callable[[int, int], None]
"""Takes the position that was reached, and the one that is to be reached."""


class _Position(Struct):
    position: int


class Rebuilt(Struct, frozen=True):
    """What was put in place."""

    position: int
    rows: Mapping[str, int]
    """By table."""


async def rebuild(bus: Bus, session: Session, tables: Sequence[str], progress: Progress) -> Rebuilt:
    """Makes these tables anew. Raises PostgresAway, BusError, or Poisoned for an event that no projector has met."""
    past = Past(await poisoned(session))
    await fold(bus, past, await stored_position(session), progress)
    async with _alone(session):
        async with session.transaction():
            for table in tables:
                await session.run("make_shadow", table=table)
                rows = list(past.tables.rows.get(table, {}).items())
                for first in range(0, len(rows), STEP):
                    part = [(clean(key), as_json(row)) for key, row in rows[first : first + STEP]]
                    await session.copy(f"{table}_next", ("key", "row"), part)
        async with session.transaction():
            locked = await session.row("lock_position", _Position)
            position = 0 if locked is None else locked.position
            changed = await fold(bus, past, position, progress)
            for table in tables:
                await write(session, {f"{table}_next": changed.get(table, {})})
                await session.run("take_shadow", table=table)
    return Rebuilt(position, {table: len(past.tables.rows.get(table, {})) for table in tables})


async def fold(bus: Bus, past: Past, until: int, progress: Progress) -> Changes:
    """Folds the log on, up to a position; what changed."""
    if past.position < until:
        async for batch in replay(bus.connection, ("rig.>",), after=past.position, until=until):
            past.read(message.decoded() for message in batch)
            progress(past.position, until)
    return past.changes()


@asynccontextmanager
async def _alone(session: Session) -> AsyncGenerator[None]:
    """One rebuild at a time: a second one waits."""
    await session.run("lock_rebuild")
    try:
        yield
    finally:
        await session.run("unlock_rebuild")
