"""What the read side costs: all models, in batches, against a transaction for each event; and made anew, against COPY.

The log is written by the store itself, and read from a real stream to rebuild, into tables that were emptied before.
Rebuilding and COPY take turns, each for about as long as the other, and the fastest turn of each counts: what else the
machine does slows down both, but not alike. After each turn what stands in the tables is compared with what the
benchmark itself has counted in the log.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from bus import Bus, Stored
from conductor.postgres import Session, connect
from conductor.projector.projection import Projection
from conductor.projector.rebuild import rebuild
from conductor.projector.store import store
from conductor.projector.verify import verify
from deploy.embedded.postgres import embedded_postgres
from machine import garbage
from schemas import Actor, Recorded
from tests.bench._projector_log import a_log, events, fill
from tests.bench._projector_oracle import differences, expected
from tests.bench._report import Row
from tests.bench._server import bare_client
from tests.support.readside import database
from tests.support.servers import connected, nats_with_root

ISSUES: Final = 1_000
REPLICAS: Final = 30
BATCH: Final = 500
ONE_BY_ONE: Final = 1_000
"""Events of a turn in which each has a transaction of its own."""
TURNS: Final = 3
TURNS_ANEW: Final = 5
COPIES: Final = 4
"""Of one turn: they take as long as a rebuild."""


async def measure(directory: Path) -> list[Row]:
    log = a_log(ISSUES, REPLICAS, at_first=ISSUES // 10, spoken=(1, 2, 4))
    facts, beginning = expected(events(log)), expected(events(log[:ONE_BY_ONE]))
    garbage.settle()  # as `rig rebuild` and a role do
    wrong: list[str] = []
    live: list[float] = []
    single: list[float] = []
    copied: list[float] = []
    anew: list[float] = []
    async with (
        embedded_postgres(directory / "postgres") as postgres,
        nats_with_root(directory / "nats") as server,
        await connected(server, Actor.CLI) as bus,
    ):
        for _ in range(TURNS):
            single.append(await written(postgres.url, log[:ONE_BY_ONE], 1))
            wrong += await differences(postgres.url, beginning)
            live.append(await written(postgres.url, log, BATCH))
            wrong += await differences(postgres.url, facts)
        await fill(await bare_client(server), log)
        session = await connect(postgres.url, name="bench", statement_seconds=600)
        for _ in range(TURNS_ANEW):
            copied.append(await copy(postgres.url, log))
            anew.append(await made_anew(bus, session, postgres.url, log))
            wrong += await differences(postgres.url, facts)
        differs = (await verify(bus, session, lambda *_: None)).differs
        await session.close()
    print(*wrong[:10], sep="\n", end="\n" if wrong else "")
    vs_one_by_one = median(mine / theirs for mine, theirs in zip(live, single, strict=True))
    return [
        Row("live_vs_per_event", vs_one_by_one, "×", bar=8, at_least=True),
        Row("live_events_per_second", median(live), "/s"),
        Row("rebuild_vs_copy", max(anew) / max(copied), "×", bar=0.15, at_least=True),
        Row("rebuild_events_per_second", max(anew), "/s"),
        Row("copy_events_per_second", max(copied), "/s"),
        Row("rows_that_differ_from_the_oracle", len(wrong), "", bar=0),
        Row("tables_that_differ_from_the_log", len(differs), "", bar=0),
        Row("projected_events", len(log), ""),
    ]


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
    taken = 0.0
    async with database(url) as db:
        for _ in range(COPIES):
            await db.execute("drop table if exists rig.copied; create table rig.copied (like rig.events including all)")
            began = time.perf_counter()
            await db.copy_records_to_table("copied", schema_name="rig", columns=columns, records=rows)
            taken += time.perf_counter() - began
    return COPIES * len(log) / taken


async def made_anew(bus: Bus, session: Session, url: str, log: Sequence[Stored]) -> float:
    """Events a second: all models, from nothing."""
    projection = Projection()
    tables = [of.table for of in (*projection.models, *projection.overviews)]
    async with database(url) as db:
        await db.execute(f"truncate {', '.join(f'rig.{table}' for table in tables)}")
    began = time.perf_counter()
    made = await rebuild(bus, session, tables, lambda *_: None)
    taken = time.perf_counter() - began
    assert made.position == len(log)
    return len(log) / taken
