"""`rig rebuild`, `rig verify`, `rig migrate`: the read side, looked after by who runs the rig.

They need the URL of PostgreSQL, and so run where the rig does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from bridges.terminal import BadInput
from bus import Bus
from conductor.migrations import Migrated
from conductor.postgres import PostgresAway, Session, Unfit, connect, open_session
from conductor.projector.letters import TABLE as LETTERS
from conductor.projector.projection import Poisoned, Projection
from conductor.projector.store import stored_position
from conductor.projector.versions import outdated
from deploy.failures import DeployFailed
from deploy.home import Home
from deploy.settings import Settings
from machine.lifecycle import Misconfigured

T = TypeVar("T")


class ReadSideFailed(DeployFailed):
    """PostgreSQL is away, or did not do it; the message says which."""


def postgres_url(environ: Mapping[str, str]) -> str:
    """RIG_POSTGRES_URL, else that of the rig that runs on the data directory. Raises Invalid, or ReadSideFailed."""
    given = Settings.read(environ).postgres_url
    running = Home.find(environ).running()
    if given is None and running is None:
        raise ReadSideFailed("no rig runs here, and RIG_POSTGRES_URL is not set: start it with `rig up`, or set that")
    return given if given is not None else running.postgres_url if running is not None else ""


async def session_on(url: str, work: Callable[[Session], Awaitable[T]]) -> T:
    """Does it on a migrated database, with as much time as it takes. Raises ReadSideFailed."""
    try:
        session = await connect(url, name="rig", statement_seconds=3_600)
        try:
            return await work(session)
        finally:
            await asyncio.shield(session.close())
    except (PostgresAway, Unfit, Poisoned, Misconfigured) as error:
        raise ReadSideFailed(str(error)) from error


async def migrated(url: str, *, check: bool) -> Migrated:
    """What this version needs before it runs; `check`: it is only said what there is to do. Raises ReadSideFailed."""
    try:
        session = await open_session(url, name="rig migrate", statement_seconds=3_600)
        try:
            return await (session.migrations_due() if check else session.migrate())
        finally:
            await asyncio.shield(session.close())
    except (PostgresAway, Unfit, Misconfigured) as error:
        raise ReadSideFailed(str(error)) from error


async def finish(bus: Bus, session: Session) -> Migrated:
    """Also what waits until the read side has caught up. Raises ReadSideFailed while it has not, or PostgresAway."""
    last, position = await bus.log.last(), await stored_position(session)
    end = 0 if last is None else last.position
    if position < end or await outdated(session):
        raise ReadSideFailed(
            f"the read side is at position {position} and the log at {end}: what is left for later is done once this"
            " version has caught up with the log; the projector sees to it"
        )
    return await session.migrate(post=True)


def chosen(tables: Sequence[str]) -> list[str]:
    """Read models by name; none: all. Raises BadInput."""
    known = Projection().tables
    if LETTERS in tables:
        raise BadInput(f"{LETTERS} is of RIG_DEAD and not of the log: the projector makes it anew each time it starts")
    unknown = [table for table in tables if table not in known]
    if unknown:
        raise BadInput(f"{', '.join(unknown)}: no read model; there are {', '.join(known)}")
    return list(dict.fromkeys(tables)) or known
