"""The projector: writes the log into Postgres, where people and screens read it. Nothing on the work path reads it.

The log is the truth: with Postgres away nothing is lost, and what is written can be dropped and written again. A log
that is not the one that was read before is refused by name, never papered over.

    model       what a table is              projection  all tables as one fold of the log
    issues, roster, runs, merges, judgements, talk, overviews    the tables
    store       one batch, one transaction      letters     what is left out, and every dead letter
    keeping     forgets and compacts memories on a schedule: all that the projector ever says in the log
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from bus import Bus, LogChanged, NotPermitted, Reader, Stored, Unavailable
from conductor.postgres import NoRoom, PostgresAway, Session, Unfit, keep_session
from conductor.projector.keeping import Keeper
from conductor.projector.letters import Letters
from conductor.projector.projection import Poisoned, Projection
from conductor.projector.rebuild import rebuild
from conductor.projector.store import add_poison, check_contiguous, poisoned, standing, store
from conductor.projector.versions import outdated, record, write_again
from conductor.projector.witness import check
from machine.lifecycle import Lifecycle
from schemas import Recorded, Writing, WritingRequest

__all__ = ["run_projector"]

log = logging.getLogger(__name__)

SERVICE: Final = "projector"
BATCH = 500
"""Events of one transaction, at most."""
ROOM_SECONDS = (0.2, 10.0)
"""Before it is tried again whether PostgreSQL has room: at first, and at most; doubled in between."""
PAUSE_SECONDS = 0.5
"""Before the log is opened again after the server did not answer."""


async def run_projector(bus: Bus, lifecycle: Lifecycle, postgres_url: str, keeper: Keeper | None = None) -> None:
    """Follows the log until asked to stop. Raises LogChanged for a log with a gap, or another one than was read.

    Beside it, `keeper` looks after the memories; its own unless given.
    """
    looking_after = keeper or Keeper(bus, postgres_url)

    letters = Letters(bus, postgres_url)

    async def project(session: Session) -> None:
        lifecycle.check("postgres", ok=True)
        projector = _Projector(bus, session, lifecycle, letters, looking_after)
        while True:
            try:
                await projector.project()
            except Unavailable as error:
                log.warning("cannot read the log yet: %s", error)
                await asyncio.sleep(PAUSE_SECONDS)
            except LogChanged:
                await check(bus.connection, session)  # raises it with all that is lost
                raise

    await _tell(bus, lifecycle)
    async with letters.kept():
        await keep_session(postgres_url, lifecycle, project, name="rig projector")


async def _tell(bus: Bus, lifecycle: Lifecycle) -> None:
    """Answers how the writing goes, since what cannot be written cannot be read either."""

    async def writing(_: WritingRequest) -> Writing:
        troubles = [one.detail for one in lifecycle.checks.values() if not one.ok]
        return Writing(trouble="; ".join(troubles) or None)

    try:
        await bus.services.serve(SERVICE, "writing", WritingRequest, writing)
    except NotPermitted as error:  # keys of an earlier release: no reason not to write
        log.warning("nobody can ask how the writing goes: %s", error)


class _Projector:
    """One session's work: a fold beside the tables."""

    def __init__(self, bus: Bus, session: Session, lifecycle: Lifecycle, letters: Letters, keeper: Keeper) -> None:
        self._keeper = keeper
        self._bus = bus
        self._letters = letters
        self._session = session
        self._lifecycle = lifecycle
        self._alone_until = 0
        """Up to here each event has a transaction of its own: no table takes one of them."""
        self._pause = ROOM_SECONDS[0]
        self._cleared = False

    async def project(self) -> None:
        """From where the tables stand, until they are put back behind that, or an event proves to be poison."""
        await check(self._bus.connection, self._session)
        try:
            await self._make_anew()
        except Poisoned as error:
            await self._leave_out(error)
            return
        began = await standing(self._session)
        reached: int | None = began.position
        poison = await poisoned(self._session)
        projection = await self._fold_to(reached or 0, poison)
        async with self._bus.log.follow(after=reached or 0) as reader, self._keeper.at_work():
            self._lifecycle.ready()
            while reached is not None:
                if reader.caught_up and not self._cleared:
                    await self._clear()
                batch = await self._read(reader)
                check_contiguous(reached, batch)
                try:
                    reached = await store(self._session, projection, batch, poison, began.changes)
                except Poisoned as error:
                    await self._leave_out(error)
                    return
                except NoRoom as error:
                    await self._until_room(error)
                    return
                except Unfit as error:
                    if len(batch) == 1:
                        await self._leave_out(Poisoned(batch[0].position, str(error)))
                    self._alone_until = batch[-1].position
                    return
                self._pause = ROOM_SECONDS[0]
                self._lifecycle.check("postgres", ok=True)

    async def _make_anew(self) -> None:
        """Tables that an older version has made are made by this one. It is not ready before."""
        stale, at = await outdated(self._session), (await standing(self._session)).position
        if not stale:
            if "models" in self._lifecycle.checks:  # another projector has done it
                self._lifecycle.check("models", ok=True)
            return
        if not at:
            async with self._session.transaction():
                await record(self._session, stale)
            return

        def tell(reached: int, until: int) -> None:
            said = f"{', '.join(stale)}: made anew for this version of Rig, {reached} of {until} events read"
            self._lifecycle.check("models", ok=False, detail=said)

        tell(0, at)
        self._lifecycle.ready()  # the start is over, however long this takes
        try:
            await rebuild(self._bus, self._session, stale, tell)
        except Unfit as error:  # of which event, shows when they are written one by one
            log.error("what this version makes of the log is refused, and it is all written again: %s", error)
            await write_again(self._session)
        self._lifecycle.check("models", ok=True)

    async def _clear(self) -> None:
        """What only an older version needed can go, once the read side has caught up under this one."""
        self._cleared = True
        try:
            await self._session.migrate(post=True)
        except (PostgresAway, Unfit) as error:
            await standing(self._session)  # raises where it is not the migration that failed, but the session
            log.error("the read side goes on without a migration: %s; `rig migrate --post` tries it again", error)

    async def _fold_to(self, position: int, poison: Mapping[int, str]) -> Projection:
        """The fold as the tables have it, from the log: what follows needs more than they hold."""
        projection = Projection()
        if position:
            async for item in self._bus.log.replay(until=position):
                said = item if isinstance(item, Recorded) and item.position not in poison else None
                projection.catch_up(said, item.position)
            projection.caught_up()
        return projection

    async def _leave_out(self, found: Poisoned) -> None:
        log.error("the read side goes on without an event of the log that it cannot take: %s", found)
        await add_poison(self._session, found)
        self._letters.news.set()

    async def _until_room(self, error: NoRoom) -> None:
        """Returns once there seems to be room again. To find out costs less than to fold the log in vain."""
        while True:
            self._lifecycle.check("postgres", ok=False, detail=str(error))
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, ROOM_SECONDS[1])
            try:
                async with self._session.transaction():
                    await self._session.run("take_room")
                    await self._session.run("give_room_back")
            except NoRoom as still:
                error = still
            else:
                return

    async def _read(self, reader: Reader) -> list[Stored]:
        """What is there now, at least one event."""
        batch = [await reader.next()]
        while batch[-1].position > self._alone_until and not reader.caught_up and len(batch) < BATCH:
            batch.append(await reader.next())
        return batch
