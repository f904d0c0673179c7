"""Makes read models anew from the log, beside the live ones, and puts them in their place at once.

Readers see the rows of before until the moment at which they see all of the new ones; meanwhile the projector goes on,
and waits only while rows are put in place.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

from bus import Bus, LogChanged, Stored
from bus.extent import positions
from bus.replay import replay
from conductor.postgres import Session
from conductor.projector import versions
from conductor.projector.past import Past
from conductor.projector.projection import Changes
from conductor.projector.store import as_json, clean, lock, poisoned, standing, take_up, write

STEP: Final = 4_000
"""Rows that are written at once."""
Progress = Callable[[int, int], None]
"""Takes the position that was reached, and the one that is to be reached."""


class Rebuilt(Struct, frozen=True):
    """What was put in place."""

    position: int
    rows: Mapping[str, int]
    """By table."""


async def rebuild(
    bus: Bus, session: Session, tables: Sequence[str], progress: Progress, *, once_more: int | None = None
) -> Rebuilt:
    """Makes these tables anew. Raises PostgresAway, BusError, or Poisoned for an event that no projector has met.

    `once_more`: the position of an event that was left out, and is taken with all tables now. Raises Unfit where
    PostgreSQL still refuses what follows from it, and everything is as before.
    """
    async with _alone(session):
        while (rebuilt := await _rebuild(bus, session, tables, progress, once_more)) is None:
            pass
    return rebuilt


async def _rebuild(
    bus: Bus, session: Session, tables: Sequence[str], progress: Progress, once_more: int | None
) -> Rebuilt | None:
    """None: meanwhile it was changed what is left out, and it must be done again."""
    began, poison = await standing(session), await poisoned(session)
    await versions.outdated(session)  # raises where a newer version has made any
    if once_more is not None and once_more not in poison:
        return Rebuilt(began.position, {})  # somebody has done it
    past = Past(poison.keys() - {once_more})
    await fold(bus, past, began.position, progress)
    async with session.transaction():
        for table in tables:
            await session.run("make_shadow", table=table)
            rows = list(past.tables.rows.get(table, {}).items())
            for first in range(0, len(rows), STEP):
                part = [(clean(key), as_json(row)) for key, row in rows[first : first + STEP]]
                await session.copy(f"{table}_next", ("key", "row"), part)
    async with session.transaction():
        locked = await lock(session)
        if locked.changes != began.changes or locked.position < past.position:
            return None
        changed = await fold(bus, past, locked.position, progress)
        for table in tables:
            await write(session, {f"{table}_next": changed.get(table, {})})
            await session.run("take_shadow", table=table)
        await versions.record(session, tables)
        if once_more is not None:
            await take_up(session, await _at(bus, once_more))
    return Rebuilt(locked.position, {table: len(past.tables.rows.get(table, {})) for table in tables})


async def _at(bus: Bus, position: int) -> Stored:
    async for batch in replay(bus.connection, ("rig.>",), after=position - 1, until=position):
        return batch[0]
    raise LogChanged(f"the log has nothing at {position} any more")


async def fold(bus: Bus, past: Past, until: int, progress: Progress) -> Changes:
    """Folds the log on, up to a position; what changed. Raises LogChanged for a log that ends before."""
    if past.position < until:
        async for batch in replay(bus.connection, ("rig.>",), after=past.position, until=until):
            past.read(message.decoded() for message in batch)
            progress(past.position, until)
        check_whole(past, until)
    return past.changes()


def check_whole(past: Past, until: int) -> None:
    """Raises LogChanged unless the log has been read as far as it was read before."""
    if past.position < until:
        gone = positions([(past.position + 1, until)])
        raise LogChanged(f"the log ends at {past.position} and was read up to {until}: it lacks {gone}")


@asynccontextmanager
async def _alone(session: Session) -> AsyncGenerator[None]:
    """One rebuild at a time: a second one waits."""
    await session.run("lock_rebuild")
    try:
        yield
    finally:
        await session.run("unlock_rebuild")
