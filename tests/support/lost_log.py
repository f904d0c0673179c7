"""A log that a test cuts, copies and puts back, on real files; and what must be so once it is whole again."""

import shutil
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bus import Bus, connected_to_log, make_streams
from bus.client import NatsConnection
from bus.permissions import ADMIN, RESTORE
from bus.replay import replay
from bus.reseed import Kept
from bus.stored import Stored
from conductor.postgres import Session, connect
from conductor.projector import run_projector
from conductor.projector.restore import restore
from conductor.projector.verify import verify
from conductor.projector.witness import LogLost, Loss, compare
from deploy.embedded.nats import NatsServer
from machine.lifecycle import Lifecycle
from schemas import Actor, Envelope, encode
from tests.support.readside import projecting, reached, rows
from tests.support.servers import as_root, connected, nats_with_root
from tests.support.story import Story

ODD = (b"no event at all", b"", b"\xff\xfe", b'{"id": "\\u0000"}')
"""What stands in a log and is none of ours."""
ODD_SUBJECTS = ("rig.fleet.cli.a\0b", "rig.fleet.cli.caf\u00e9", "rig.fleet.cli.a*b")
"""No role says these, but a key may."""
BIG = b"x" * 900_000
"""Nine of these fill a file of the log."""


def lived() -> list[Envelope]:
    """One issue merged, another begun."""
    story = Story()
    first = story.approve(1)
    story.to_merging(first)
    story.merge(first)
    story.approve(2, depends_on=(first,))
    story.rounds()
    return list(story.log)


class TheLog:
    """A server whose files a test takes away, copies and puts back."""

    def __init__(self, directory: Path) -> None:
        self.server: NatsServer = nats_with_root(directory / "nats")
        self._files = directory / "nats" / "jetstream"
        self._copy = directory / "copy"

    async def connect(self, actor: Actor = Actor.CONDUCTOR) -> Bus:
        return await connected(self.server, actor, free=True)

    async def say(self, *bodies: Envelope | bytes) -> None:
        async with await self.connect() as bus:
            for said in bodies:
                subject = "rig.fleet.cli.odd" if isinstance(said, bytes) else said.on
                await bus.connection.request(subject, said if isinstance(said, bytes) else encode(said))

    async def held(self) -> list[Stored]:
        """All that it holds, with the time of its first storing."""
        async with await self.connect() as bus:
            return [each async for batch in replay(bus.connection, ["rig.>"]) for each in batch]

    async def copied(self) -> None:
        """A copy of the files, as a backup has them."""
        await self.server.stop()
        shutil.copytree(self._files, self._copy)
        await self.server.start()

    async def rolled_back(self) -> None:
        """The copy takes the place of the files."""
        await self.server.stop()
        shutil.rmtree(self._files)
        shutil.copytree(self._copy, self._files)
        await self.server.start()

    async def without(self, *blocks: int) -> None:
        """Some of the files that hold messages are gone."""
        await self.server.stop()
        for block in blocks:
            (found,) = self._files.rglob(f"streams/RIG/msgs/{block}.blk")
            found.unlink()
        await self.server.start()

    async def deleted(self) -> None:
        root = await NatsConnection.connect(as_root(self.server), name="root")
        await root.api("$JS.API.STREAM.DELETE.RIG")
        await root.close()


async def read_up_to(log: TheLog, postgres_url: str, position: int) -> None:
    """The read side has it."""
    async with await log.connect() as bus, projecting(bus, postgres_url):
        await reached(postgres_url, position)


async def refused(log: TheLog, postgres_url: str) -> str:
    """What the projector says of the log when it starts."""
    async with await log.connect() as bus:
        with pytest.raises(LogLost) as said:
            await run_projector(bus, Lifecycle(), postgres_url)
    return str(said.value)


@asynccontextmanager
async def keeping(log: TheLog, postgres_url: str) -> AsyncGenerator[tuple[NatsConnection, Session]]:
    """With the key that puts the log back, and no other right."""
    server = log.server
    await make_streams(server.url, key=server.key(ADMIN))
    async with connected_to_log(server.url, name="restore", key=server.key(RESTORE)) as connection:
        session = await connect(postgres_url, name="test")
        try:
            assert isinstance(connection, NatsConnection)
            yield connection, session
        finally:
            await session.close()


def silent(position: int, end: int) -> None: ...


async def put_all_back(
    log: TheLog, postgres_url: str, *, replace: Callable[[Sequence[Kept]], None] | None = None
) -> tuple[int, int] | None:
    async with keeping(log, postgres_url) as (connection, session):
        done = await restore(connection, session, silent, replace=replace)
        assert not await compare(connection, session), "nothing is missing any more"
    return done


async def it_is_whole_again(log: TheLog, postgres_url: str, before: Sequence[Stored]) -> None:
    """Everything at its place, with its time; the projector goes on with what comes next, and the witnesses agree."""
    now = await log.held()
    assert [(each.position, each.subject, each.body) for each in now] == [
        (each.position, each.subject, each.body) for each in before
    ]
    assert [each.stored_at for each in now] == [each.stored_at for each in before]
    await log.say(b"and on it goes")
    async with await log.connect() as bus, projecting(bus, postgres_url):
        await reached(postgres_url, len(before) + 1)
        session = await connect(postgres_url, name="test")
        found = await verify(bus, session, silent)
        await session.close()
    assert (found.position, found.differs) == (len(before) + 1, {})
    assert await rows(postgres_url, "select count(*) from rig.kept") == [(0,)]


async def projector(url: str, server: NatsServer) -> Bus:
    """With the projector's key."""
    return await Bus.connect(url, actor=Actor.PROJECTOR, source="projector", key=server.key(Actor.PROJECTOR))


async def loss_of(log: TheLog, postgres_url: str) -> Loss:
    async with keeping(log, postgres_url) as (connection, session):
        return await compare(connection, session)
