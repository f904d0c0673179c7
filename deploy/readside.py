"""`rig rebuild`, `rig verify`, `rig migrate`: the read side, looked after by who runs the rig.

They need the URL of PostgreSQL, and so run where the rig does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from bridges.terminal import BadInput
from conductor.postgres import PostgresAway, Session, Unfit, connect
from conductor.projector.projection import Poisoned, Projection
from deploy.failures import DeployFailed
from deploy.home import Home
from deploy.settings import Settings

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
    except (PostgresAway, Unfit, Poisoned) as error:
        raise ReadSideFailed(str(error)) from error


def chosen(tables: Sequence[str]) -> list[str]:
    """Read models by name; none: all. Raises BadInput."""
    projection = Projection()
    known = [of.table for of in (*projection.models, *projection.overviews)]
    unknown = [table for table in tables if table not in known]
    if unknown:
        raise BadInput(f"{', '.join(unknown)}: no read model; there are {', '.join(known)}")
    return list(dict.fromkeys(tables)) or known
