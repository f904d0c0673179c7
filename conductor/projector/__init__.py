"""The projector: writes the log into Postgres, where people and screens read it. Nothing on the work path reads it.

The log is the truth: with Postgres away nothing is lost, and what is written can be dropped and written again. A log
that is not the one that was read before is refused by name, never papered over.

    model       what a table is              projection  all tables as one fold of the log
    issues, roster, runs, merges, judgements, talk, overviews    the tables
    store       one batch, one transaction
    keeping     forgets and compacts memories on a schedule: all that the projector ever says
"""

import asyncio
import logging
from collections.abc import Mapping

from bus import Bus, LogChanged, Reader, Stored, Unavailable
from conductor.postgres import Session, Unfit, keep_session
from conductor.projector.keeping import Keeper
from conductor.projector.projection import Poisoned, Projection
from conductor.projector.store import add_poison, check_contiguous, poisoned, store, stored_position
from conductor.projector.witness import check
from machine.lifecycle import Lifecycle
from schemas import Recorded

__all__ = ["run_projector"]

log = logging.getLogger(__name__)

BATCH = 500
"""Events of one transaction, at most."""
PAUSE_SECONDS = 0.5
"""Before the log is opened again after the server did not answer."""


async def run_projector(bus: Bus, lifecycle: Lifecycle, postgres_url: str, keeper: Keeper | None = None) -> None:
    """Follows the log until asked to stop. Raises LogChanged for a log with a gap, or another one than was read.

    Beside it, `keeper` looks after the memories; its own unless given.
    """
    looking_after = keeper or Keeper(bus, postgres_url)

    async def project(session: Session) -> None:
        lifecycle.check("postgres", ok=True)
        projector = _Projector(bus, session, lifecycle, looking_after)
        while True:
            try:
                await projector.project()
            except Unavailable as error:
                log.warning("cannot read the log yet: %s", error)
                await asyncio.sleep(PAUSE_SECONDS)
            except LogChanged:
                await check(bus.connection, session)  # raises it with all that is lost
                raise

    await keep_session(postgres_url, lifecycle, project, name="rig projector")


class _Projector:
    """One session's work: a fold beside the tables."""

    def __init__(self, bus: Bus, session: Session, lifecycle: Lifecycle, keeper: Keeper) -> None:
        self._keeper = keeper
        self._bus = bus
        self._session = session
        self._lifecycle = lifecycle
        self._alone_until = 0
        """Up to here each event has a transaction of its own: no table takes one of them."""

    async def project(self) -> None:
        """From where the tables stand, until they are put back behind that, or an event proves to be poison."""
        reached: int | None = await stored_position(self._session)
        await check(self._bus.connection, self._session)
        poison = await poisoned(self._session)
        projection = await self._fold_to(reached or 0, poison)
        async with self._bus.log.follow(after=reached or 0) as reader, self._keeper.at_work():
            self._lifecycle.ready()
            while reached is not None:
                batch = await self._read(reader)
                check_contiguous(reached, batch)
                try:
                    reached = await store(self._session, projection, batch, poison)
                except Poisoned as error:
                    await self._leave_out(error)
                    return
                except Unfit as error:
                    if len(batch) == 1:
                        await self._leave_out(Poisoned(batch[0].position, str(error)))
                    self._alone_until = batch[-1].position
                    return

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

    async def _read(self, reader: Reader) -> list[Stored]:
        """What is there now, at least one event."""
        batch = [await reader.next()]
        while batch[-1].position > self._alone_until and not reader.caught_up and len(batch) < BATCH:
            batch.append(await reader.next())
        return batch
