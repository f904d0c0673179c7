"""How far the read side is behind while two hundred issues are worked on at once.

A projector as the rig runs it, a process of its own, behind a real nats-server with fsync and a real PostgreSQL. The
log (see _projector_log) is said again as the roles would: each with its own key, the conductor's rounds each as one
atomic batch, and what is said between two rounds all at once, except that words about one thing keep their order. It
is said as fast as the bus takes it: more than fifty times as fast as so many agents
work, who say ten to twenty events a second.

The lag of an event is the time from when the log stored it until the read side has said that it holds it, by a
notification after the commit, heard here. Warm-up is what is said before the first round: a policy, repositories,
replicas, 500 approvals. Every event counts that was said while at least 200 issues were between
their first assignment and their end.
"""

import asyncio
import os
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bus import Bus, Expect
from bus.replay import replay
from conductor.postgres import connect
from conductor.projector.verify import verify
from conductor.shell import DECIDED_SUBJECT
from deploy.embedded.nats import embedded_nats
from deploy.embedded.postgres import embedded_postgres
from deploy.supervisor import RoleSpec, Supervisor
from schemas import Actor, Decided, Draft, IssueAssigned, IssueDone, Recorded
from tests.bench._projector_log import a_log, events
from tests.bench._projector_oracle import differences, expected
from tests.bench._report import Row
from tests.support.readside import database
from tests.support.servers import connected, reaching

ISSUES: Final = 500
REPLICAS: Final = 300
AT_ONCE: Final = 200
SPOKEN: Final = (8, 16, 32)
"""Between two rounds."""
SPEAKERS: Final = (Actor.CONDUCTOR, Actor.DEV_E, Actor.LOCAL, Actor.CLI)
PATIENCE_SECONDS: Final = 100


async def measure(directory: Path) -> list[Row]:
    log = events(a_log(ISSUES, REPLICAS, at_first=ISSUES, spoken=SPOKEN))
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(embedded_postgres(directory / "postgres"))
        server = await stack.enter_async_context(embedded_nats(directory / "nats"))
        buses = {actor: await stack.enter_async_context(await connected(server, actor)) for actor in SPEAKERS}
        environment = {**os.environ, **reaching(server, "projector"), "RIG_POSTGRES_URL": postgres.url}
        projector = RoleSpec("projector", (sys.executable, "-m", "deploy.roles", "projector"), environment)
        supervisor = await stack.enter_async_context(Supervisor([projector], directory))
        await supervisor.wait_ready(20)
        db = await stack.enter_async_context(database(postgres.url))
        heard: list[tuple[float, int]] = []
        news = asyncio.Event()

        def moved(*said: object) -> None:
            heard.append((time.time(), int(str(said[-1]))))
            news.set()

        async def reached(position: int) -> None:
            while not heard or heard[-1][1] < position:
                news.clear()
                await news.wait()

        await db.add_listener("rig_position", moved)
        warm_up = next(place for place, said in enumerate(log) if isinstance(said.event.data, Decided))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await tell(log[:warm_up], buses)
            await reached(warm_up)
            began = time.monotonic()
            await tell(log[warm_up:], buses)
            seconds = time.monotonic() - began
            await reached(len(log))
        stored = [item async for batch in replay(buses[Actor.CLI].connection, ("rig.>",)) for item in batch]
        lags = lags_of([message.stored_at.timestamp() for message in stored], heard)
        wrong = await differences(postgres.url, expected(events(stored)))
        session = await connect(postgres.url, name="bench")
        differs = (await verify(buses[Actor.CLI], session, lambda *_: None)).differs
        await session.close()
    print(*wrong[:10], sep="\n", end="\n" if wrong else "")
    counted = sorted(lag for lag, issues in zip(lags, at_work(events(stored)), strict=True) if issues >= AT_ONCE)
    return [
        Row("lag_p99_seconds", counted[int(len(counted) * 0.99)], "s", bar=1),
        Row("lag_p50_seconds", counted[len(counted) // 2], "s"),
        Row("lag_max_seconds", counted[-1], "s"),
        Row("lag_events_counted", len(counted), "", bar=len(log) / 3, at_least=True),
        Row("lag_events_said_per_second", (len(log) - warm_up) / seconds, "/s"),
        Row("lag_rows_that_differ_from_the_oracle", len(wrong), "", bar=0),
        Row("lag_tables_that_differ_from_the_log", len(differs), "", bar=0),
    ]


async def tell(log: Sequence[Recorded], buses: Mapping[Actor, Bus]) -> None:
    """Says it again. In what was said before there is no round."""
    between: dict[str, list[Recorded]] = defaultdict(list)
    decided = place = 0

    async def one_by_one(words: Sequence[Recorded]) -> None:
        for said in words:
            event = said.event
            draft = Draft(about=event.about, data=event.data, cause=event.causationid, correlation=event.correlationid)
            await buses[Actor(event.actor)].log.publish(draft, event.id)

    async def all_at_once() -> None:
        await asyncio.gather(*map(one_by_one, between.values()))
        between.clear()

    while place < len(log):
        event = log[place].event
        if isinstance(event.data, Decided):
            await all_at_once()
            batch = [said.event for said in log[place : place + 1 + event.data.count]]
            decided = await buses[Actor.CONDUCTOR].log.append(batch, expect=Expect(DECIDED_SUBJECT, decided))
            place += len(batch)
        else:
            between[str(event.about)].append(log[place])
            place += 1
    await all_at_once()


def lags_of(stored_at: Sequence[float], heard: Sequence[tuple[float, int]]) -> list[float]:
    """Seconds, by position: until it was heard that the read side is there."""
    lags: list[float] = []
    for at, position in heard:
        lags += [at - stored for stored in stored_at[len(lags) : position]]
    return lags


def at_work(log: Sequence[Recorded]) -> list[int]:
    """By position: the issues that have been assigned and are not done."""
    working: set[str] = set()
    counts: list[int] = []
    for said in log:
        match said.event.data:
            case IssueAssigned():
                working.add(str(said.event.about))
            case IssueDone():
                working.discard(str(said.event.about))
            case _:
                pass
        counts.append(len(working))
    return counts
