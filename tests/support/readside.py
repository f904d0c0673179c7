"""The read side in tests: a projector at work, waiting until it has read, looking at its tables."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg

from bus import Bus, Expect
from conductor.decide import RULES
from conductor.projector import run_projector
from conductor.projector.keeping import Keeper
from conductor.query import run_query
from conductor.shell import DECIDED_SUBJECT
from machine.lifecycle import Lifecycle
from schemas import (
    FLEET,
    Actor,
    AgentEvent,
    AgentRef,
    Decided,
    Draft,
    Event,
    IssueRef,
    RepoEvent,
    RepoRef,
    envelope,
    event_id,
)
from tests.support.waiting import until

SHOP = RepoRef("demo", "shop")
ISSUE = IssueRef("demo", "shop", 1)


async def say(bus: Bus, event: Event, *, issue: IssueRef = ISSUE, id: str = "") -> int:  # noqa: A002 - CloudEvents' name
    """Publishes an event about the test's issue, repository or agent; its position."""
    match event:
        case RepoEvent():
            about = SHOP
        case AgentEvent():
            about = AgentRef("dev-e-1")
        case _:
            about = issue
    return await bus.log.publish(Draft(about=about, data=event), id or f"{type(event).__name__}-{issue.number}")


async def decide(conductor: Bus, *events: Event, issue: IssueRef = ISSUE) -> int:
    """Publishes a round of decisions about an issue behind the last one; the position of its last event."""
    last, before = await conductor.log.last(), await conductor.log.last(DECIDED_SUBJECT)
    through = 0 if last is None else last.position
    now = datetime(2026, 1, 1, tzinfo=UTC)
    decided = Decided(through=through, now=now, policy="", rules=RULES, count=len(events))
    drafts = [Draft(about=FLEET, data=decided), *(Draft(about=issue, data=event) for event in events)]
    batch = [
        envelope(draft, id=event_id(Actor.CONDUCTOR, through, index), actor=Actor.CONDUCTOR, source="test", time=now)
        for index, draft in enumerate(drafts)
    ]
    expect = Expect(DECIDED_SUBJECT, 0 if before is None else before.position)
    return await conductor.log.append(batch, expect=expect) + len(events)


@asynccontextmanager
async def projecting(bus: Bus, url: str, keeper: Keeper | None = None) -> AsyncGenerator[Lifecycle]:
    """A projector, until the end of the block."""
    life = Lifecycle()
    work = asyncio.create_task(run_projector(bus, life, url, keeper))
    try:
        yield life
    finally:
        life.stop.set()
        await work


@asynccontextmanager
async def answering(bus: Bus, url: str) -> AsyncGenerator[Lifecycle]:
    """A query service that is ready, until the end of the block."""
    life = Lifecycle()
    life.running = True
    work = asyncio.create_task(run_query(bus, life, url))
    try:
        await until(lambda: life.is_ready)
        yield life
    finally:
        life.stop.set()
        await work


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Any]:
    """A plain connection."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def reached(url: str, position: int) -> None:
    """Returns once the read side is there: it says so itself, by a notification."""
    async with database(url) as db:
        moved: asyncio.Queue[str] = asyncio.Queue()
        await db.add_listener("rig_position", lambda *said: moved.put_nowait(said[-1]))
        try:
            at = await db.fetchval("select position from rig.projection")
        except asyncpg.UndefinedTableError:
            at = 0
        while at < position:
            at = int(await moved.get())


async def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    """What a statement finds."""
    async with database(url) as db:
        return [tuple(row) for row in await db.fetch(sql)]
