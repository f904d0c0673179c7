"""The projector: writes the log into Postgres, where people and screens read it. Nothing on the work path reads it.

The log is the truth: with Postgres away nothing is lost, and what is written can be dropped and written again. A log
that is not the one that was read before is refused by name, never papered over.
"""

import asyncio
import logging

from bus import Bus, Reader, Stored, Unavailable
from conductor.postgres import Session, keep_session
from conductor.projector.store import check_contiguous, confirm, store, stored_position
from machine.lifecycle import Lifecycle

__all__ = ["run_projector"]

log = logging.getLogger(__name__)

BATCH = 500
"""Events of one transaction, at most."""
PAUSE_SECONDS = 0.5
"""Before the log is opened again after the server did not answer."""


async def run_projector(bus: Bus, lifecycle: Lifecycle, postgres_url: str) -> None:
    """Follows the log until asked to stop. Raises LogChanged for a log with a gap, or another one than was read."""

    async def project(session: Session) -> None:
        lifecycle.check("postgres", ok=True)
        while True:
            try:
                await _project(bus, session, lifecycle)
            except Unavailable as error:
                log.warning("cannot read the log yet: %s", error)
                await asyncio.sleep(PAUSE_SECONDS)

    await keep_session(postgres_url, lifecycle, project, name="rig projector")


async def _project(bus: Bus, session: Session, lifecycle: Lifecycle) -> None:
    """From where the read side stands, until the read side is put back behind that."""
    reached: int | None = await stored_position(session)
    if reached:
        await confirm(session, await bus.log.at(reached), reached)
    async with bus.log.follow(after=reached) as reader:
        lifecycle.ready()
        while reached is not None:
            batch = await _batch(reader)
            check_contiguous(reached, batch)
            reached = await store(session, batch)


async def _batch(reader: Reader) -> list[Stored]:
    """What is there now, at least one event."""
    batch = [await reader.next()]
    while not reader.caught_up and len(batch) < BATCH:
        batch.append(await reader.next())
    return batch
