"""A PostgreSQL that has no room left: named as that, nothing acknowledged is lost, and it goes on when there is room.

A real server, of which no file may grow beyond some megabytes: as on a full disk, the operating system refuses to let a
table grow, until somebody makes room in it.
"""

import resource
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bus import Bus
from conductor.postgres import NoRoom
from conductor.postgres import connect as open_session
from conductor.projector.verify import verify
from deploy.embedded.postgres import embedded_postgres
from schemas import Actor, IssueApproved, Issues, IssuesRequest, Status, StatusRequest, Stopped
from tests.support.readside import answering, database, projecting, reached, rows, say
from tests.support.waiting import until

Connect = Callable[..., Awaitable[Bus]]


def unheard(_: int, __: int) -> None:
    """Of the progress."""


APPROVED = IssueApproved(title="Fix total", author="ann")
LARGEST = 16 * 1024 * 1024 + 4096
"""A file of the server's own journal is as large; whatever would be larger belongs to a table."""
FILL = """
insert into rig.events (position, subject, stored_at, skipped)
select - nextval('filling'), string_agg(md5(random()::text), ''), now(), 'no event'
from generate_series(1, $1) as row, generate_series(1, 55) group by row
"""


@contextmanager
def small_files() -> Generator[None]:
    """What is started here can make none that are larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@asynccontextmanager
async def small_server(directory: Path) -> AsyncGenerator[str]:
    """Its URL."""
    server = embedded_postgres(directory)
    with small_files():
        await server.__aenter__()
    try:
        yield server.url
        await server.kill()  # its data is thrown away: no need to wait until it is on disk
    finally:
        await server.__aexit__(None, None, None)


async def fill(url: str) -> None:
    """Until not one row more has room in the table of the events."""
    async with database(url) as db:
        await db.execute("create sequence filling")
        for rows_at_once in (1_000, 100, 10, 1):
            while await _has_room(db, rows_at_once):
                pass


async def _has_room(db: Any, rows_at_once: int) -> bool:
    try:
        await db.execute(FILL, rows_at_once)
    except asyncpg.PostgresError as error:
        assert "could not extend file" in str(error)  # noqa: PT017 - which of the two it is, is what is asked
        return False
    return True


async def make_room(url: str) -> None:
    async with database(url) as db:
        await db.execute("set session_replication_role = replica; delete from rig.events where position < 0")
        await db.execute("vacuum rig.events")


async def test_a_full_disk_is_named_and_everything_is_written_when_there_is_room(
    connect: Connect, tmp_path: Path
) -> None:
    forge, person = await connect(Actor.GITHUB), await connect(Actor.CLI)
    projector, query = await connect(Actor.PROJECTOR), await connect(Actor.CONDUCTOR, "query")
    async with small_server(tmp_path / "postgres") as url, projecting(projector, url) as life, answering(query, url):
        await reached(url, await say(forge, APPROVED))
        await fill(url)
        last = 1
        while life.checks["postgres"].ok:
            last = await say(forge, Stopped(by="ann", note=secrets.token_hex(500)), id=f"stop-{last}")
        named = life.checks["postgres"].detail
        assert named.startswith("PostgreSQL has no room: ")
        assert "could not extend file" in named
        status = await person.services.ask("query", "status", StatusRequest(), Status)
        assert (status.writing, status.behind > 0) == (named, True)
        assert len((await person.services.ask("query", "issues", IssuesRequest(), Issues)).issues) == 1
        await make_room(url)
        await reached(url, last)
        await until(lambda: life.checks["postgres"].ok)
        assert await rows(url, "select count(*), max(position) from rig.events") == [(last, last)]
        assert await rows(url, "select position from rig.poison") == []
        assert await rows(url, "select state from rig.issues") == [("stopped",)]
        session = await open_session(url, name="test")
        assert (await verify(person, session, unheard)).differs == {}
        await session.close()
        status = await person.services.ask("query", "status", StatusRequest(wait_for=last), Status)
        assert (status.writing, status.behind) == (None, 0)


async def test_a_server_that_has_no_connection_left_is_named_as_that(postgres_url: str) -> None:
    async with database(postgres_url) as db:
        await db.execute("create role ann login password 'x' connection limit 0")
    url = postgres_url.replace("rig:", "ann:", 1)
    secret = url.split("ann:")[1].split("@")[0]
    with pytest.raises(NoRoom, match="TooManyConnectionsError"):
        await open_session(url.replace(secret, "x"), name="test")
