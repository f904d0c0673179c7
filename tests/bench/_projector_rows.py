"""What the read side costs: all models, in batches, against a transaction for each event; and made anew, against COPY.

The mix is a rig at work (see _conductor_world): per issue some thirty events, of which a third are decisions, with
failed runs, reviews, gates and merges. It is written by the store itself, and read from a real stream to rebuild. What
stands in the tables in the end is compared with the log.
"""

import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from nats.aio.client import Client

from bus import MAX_BATCH, Bus, Stored
from conductor.postgres import Session, connect
from conductor.projector.projection import Projection
from conductor.projector.rebuild import rebuild
from conductor.projector.store import store
from conductor.projector.verify import verify
from deploy.embedded.postgres import embedded_postgres
from schemas import Actor, Recorded
from tests.bench._conductor_cast import Cast
from tests.bench._conductor_world import World
from tests.bench._report import Row
from tests.bench._server import bare_client
from tests.support.readside import database
from tests.support.servers import connected, nats_with_root

ISSUES: Final = 600
REPLICAS: Final = 30
BATCH: Final = 500
ONE_BY_ONE: Final = 1_000
"""Events of a turn in which each has a transaction of its own."""
TURNS: Final = 3


async def measure(directory: Path) -> list[Row]:
    log = a_log()
    async with (
        embedded_postgres(directory / "postgres") as postgres,
        nats_with_root(directory / "nats") as server,
        await connected(server, Actor.CLI) as bus,
    ):
        live: list[float] = []
        single: list[float] = []
        for _ in range(TURNS):
            single.append(await written(postgres.url, log[:ONE_BY_ONE], 1))
            live.append(await written(postgres.url, log, BATCH))
        await fill(await bare_client(server), log)
        session = await connect(postgres.url, name="bench", statement_seconds=600)
        copied: list[float] = []
        anew: list[float] = []
        for _ in range(TURNS):
            copied.append(await copy(postgres.url, log))
            anew.append(await made_anew(bus, session, log))
        differs = (await verify(bus, session, lambda *_: None)).differs
        await session.close()
    vs_one_by_one = median(mine / theirs for mine, theirs in zip(live, single, strict=True))
    vs_copy = median(mine / theirs for mine, theirs in zip(anew, copied, strict=True))
    return [
        Row("live_vs_per_event", vs_one_by_one, "×", bar=8, at_least=True),
        Row("live_events_per_second", median(live), "/s"),
        Row("rebuild_vs_copy", vs_copy, "×", bar=0.15, at_least=True),
        Row("rebuild_events_per_second", median(anew), "/s"),
        Row("copy_events_per_second", median(copied), "/s"),
        Row("tables_that_differ_from_the_log", len(differs), "", bar=0),
        Row("projected_events", len(log), ""),
    ]


def a_log() -> Sequence[Stored]:
    world = World(replicas=REPLICAS, record=True)
    cast = Cast(world)
    world.approve(ISSUES)
    busy = True
    while busy:
        drafts = world.decide()
        world.land(drafts)
        cast.hear(drafts)
        spoke = [cast.speak() for _ in range(world.random.choice((1, 2, 4)))]
        busy = bool(drafts) or any(spoke)
    assert world.log is not None
    return world.log


async def written(url: str, log: Sequence[Stored], size: int) -> float:
    """Events a second, into an empty read side."""
    async with database(url) as db:
        await db.execute("drop schema if exists rig cascade")
    session = await connect(url, name="bench")
    projection = Projection()
    began = time.perf_counter()
    for first in range(0, len(log), size):
        await store(session, projection, log[first : first + size], {})
    taken = time.perf_counter() - began
    await session.close()
    return len(log) / taken


async def fill(client: Client, log: Sequence[Stored]) -> None:
    """The same log as a stream, in raw atomic batches."""
    for first in range(0, len(log), MAX_BATCH):
        part, batch = log[first : first + MAX_BATCH], uuid.uuid4().hex
        for index, message in enumerate(part, start=1):
            headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(index)}
            if index < len(part):
                await client.publish(message.subject, message.body, headers=headers)
            else:
                headers["Nats-Batch-Commit"] = "1"
                answer = await client.request(message.subject, message.body, headers=headers, timeout=10)
                assert b"error" not in answer.data, answer.data
    await client.close()


async def copy(url: str, log: Sequence[Stored]) -> float:
    """Events a second, by COPY alone into a table like that of the events."""
    columns = ("position", "subject", "stored_at", "about", "actor", "type", "id", "time", "body")
    rows: list[tuple[object, ...]] = []
    for message in log:
        item = message.decoded()
        assert isinstance(item, Recorded)
        event = item.event
        where = (message.position, message.subject, message.stored_at, str(event.about), event.actor)
        rows.append((*where, event.data.wire_type(), event.id, event.time, message.body.decode()))
    async with database(url) as db:
        await db.execute("drop table if exists rig.copied; create table rig.copied (like rig.events including all)")
        began = time.perf_counter()
        await db.copy_records_to_table("copied", schema_name="rig", columns=columns, records=rows)
        return len(log) / (time.perf_counter() - began)


async def made_anew(bus: Bus, session: Session, log: Sequence[Stored]) -> float:
    """Events a second: all models."""
    projection = Projection()
    tables = [of.table for of in (*projection.models, *projection.overviews)]
    began = time.perf_counter()
    made = await rebuild(bus, session, tables, lambda *_: None)
    assert made.position == len(log)
    return len(log) / (time.perf_counter() - began)
