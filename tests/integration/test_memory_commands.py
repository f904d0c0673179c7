"""`rig memory …` on real servers: said to the log, asked of the read side."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from bridges.terminal.session import person
from bus import Bus
from conductor.projector.memory import EmbeddingRow, MemoryRow
from conductor.projector.past import Past
from conductor.query import run_query
from deploy.embedded.nats import NatsServer
from machine.lifecycle import Lifecycle
from schemas import (
    Actor,
    Draft,
    FoundMemories,
    MemoriesCompacted,
    MemoryEmbedded,
    MemoryForgotten,
    MemoryKind,
    MemoryRef,
    MemorySearchRequest,
    MemoryUsed,
    MemoryWritten,
    RepositoryAdded,
)
from tests.support.memories import put
from tests.support.readside import SHOP, database
from tests.support.terminal import Terminal
from tests.support.waiting import until

Connect = Callable[..., Awaitable[Bus]]

ADD = ("memory", "add", "rig", "--kind", "gotcha", "--title", "CI is slow on Mondays")


@pytest.fixture
async def cli(connect: Connect) -> Bus:
    return await connect(Actor.CLI)


@pytest.fixture
async def rig(nats: NatsServer, cli: Bus) -> Terminal:
    await cli.log.publish(Draft(about=SHOP, data=RepositoryAdded(clone_url="/srv", check="true", by="ann")), "added")
    return Terminal(nats)


@pytest.fixture
async def answering(connect: Connect, postgres_url: str) -> AsyncIterator[None]:
    """The query service."""
    life = Lifecycle()
    life.running = True
    work = asyncio.create_task(run_query(await connect(Actor.CONDUCTOR, "query"), life, postgres_url))
    await until(lambda: life.is_ready)
    yield
    life.stop.set()
    await work


async def project(bus: Bus, url: str) -> None:
    """What the projector makes of all that was said of memories."""
    past = Past()
    past.fold(await bus.log.history(["rig.memory.>"]))
    rows = [row for table in ("memories", "embeddings") for row in past.tables.rows[table].values()]
    async with database(url) as db:
        await db.execute("truncate rig.memories, rig.embeddings")
        await put(db, [row for row in rows if isinstance(row, MemoryRow | EmbeddingRow)])


async def written(cli: Bus) -> list[tuple[str, MemoryWritten]]:
    found = await cli.log.history(["rig.memory.*.cli.written"])
    return [(str(said.event.about), said.event.data) for said in found if isinstance(said.event.data, MemoryWritten)]


async def test_a_memory_is_said_with_everything_that_was_typed(rig: Terminal, cli: Bus) -> None:
    said = await rig(
        *("memory", "add", "demo/shop", "--kind", "error", "--title", "T", "--name", "n", "--text", "-"),
        *("--tag", "a", "--tag", "b, c", "--tag", "a", "--importance", "4", "--expires", "30d", "--about", "shop#7"),
        stdin="All of it.\nÄ second line.".encode(),
    )
    assert (said.code, said.err) == (0, "")
    assert said.out == "repo:demo/shop: error n: T (position 2)\n"
    ((about, data),) = await written(cli)
    assert about == "repo:demo/shop"
    assert (data.memory, data.kind, data.title, data.text) == ("n", MemoryKind.ERROR, "T", "All of it.\nÄ second line.")
    assert (data.tags, data.importance, str(data.about)) == (("a", "b, c"), 4, "demo/shop#7")
    assert data.expires_at is not None
    assert timedelta(days=29) < data.expires_at - datetime.now(UTC) <= timedelta(days=30)


async def test_the_same_memory_is_said_once_and_another_in_its_place(rig: Terminal, cli: Bus) -> None:
    for _ in range(2):
        said = (await rig(*ADD, "--expires", "8w", "--json")).json()
    assert (said["about"], said["type"], said["position"], said["already"]) == ("rig", "rig.memory.written.v1", 2, True)
    again = (await rig(*ADD, "--text", "Since the move.", "--json")).json()
    assert (again["position"], again.get("already")) == (3, None)
    ((_, first), (_, second)) = await written(cli)
    assert first.memory == second.memory == "CI is slow on Mondays"


async def test_what_is_forgotten_was_there_and_is_forgotten_once(rig: Terminal, cli: Bus) -> None:
    await rig(*ADD)
    gone = await rig("memory", "forget", "rig", "CI is slow on Tuesdays")
    assert (gone.code, gone.out) == (1, "")
    assert gone.err == (
        "rig: there is no memory 'CI is slow on Tuesdays' in rig; `rig memory list --scope rig` lists those there are\n"
    )
    for _ in range(2):
        said = (await rig("memory", "forget", "rig", "CI is slow on Mondays", "--json")).json()["forgotten"]
    assert [(one["position"], one["already"]) for one in said] == [(3, True)]
    (forgotten,) = await cli.log.history(["rig.memory.*.*.forgotten"])
    assert forgotten.event.data == MemoryForgotten(memory="CI is slow on Mondays", by=person())
    again = await rig(*ADD, "--json")
    assert (again.json()["position"], again.json().get("already")) == (4, None), "it may be learnt anew"


async def test_all_of_a_scope_is_forgotten_and_nothing_else(rig: Terminal, cli: Bus, connect: Connect) -> None:
    agent = await connect(Actor.DEV_E)
    ann = MemoryRef("user:ann")
    for number, data in enumerate(
        [
            *(MemoryWritten(memory=name, kind=MemoryKind.FACT, title=name, text="") for name in ("a", "b", "c", "d")),
            MemoryForgotten(memory="a", by="ann"),
            MemoriesCompacted(into="d", replaced=("b", "d")),
        ]
    ):
        await agent.log.publish(Draft(about=ann, data=data), f"said-{number}")
    await rig(*ADD)
    said = await rig("memory", "forget", "user:ann", "--all")
    assert (said.code, said.err) == (0, "")
    assert (
        said.out
        == f"""user:ann: c forgotten, says {person()} (position 9)
user:ann: d forgotten, says {person()} (position 10)
"""
    )
    assert (await rig("memory", "forget", "user:ann", "--all")).out == "nothing is remembered in user:ann\n"


async def test_memories_are_listed_and_found_with_who_wrote_them(
    rig: Terminal, cli: Bus, connect: Connect, postgres_url: str, answering: None
) -> None:
    agent = await connect(Actor.DEV_E, "dev-e/dev-e-1")
    learnt = MemoryWritten(
        memory="m1", kind=MemoryKind.LEARNING, title="Tests need \x9b a key", text="See\nthe wiki.", tags=("ci",)
    )
    await agent.log.publish(Draft(about=MemoryRef("repo:demo/shop"), data=learnt), "learnt")
    await agent.log.publish(Draft(about=MemoryRef("repo:demo/shop"), data=MemoryUsed(memory="m1")), "used")
    await rig(*ADD)
    assert (await rig("memory", "list")).out == "no memories\n", "nobody has projected them yet"
    await project(cli, postgres_url)

    listed = await rig("memory", "list", "--json")
    assert [(line["memory"], line["source"], line["position"]) for line in listed.json()["memories"]] == [
        ("CI is slow on Mondays", f"cli/{person()}", 4),
        ("m1", "dev-e/dev-e-1", 2),
    ]
    table = (await rig("memory", "list", "--scope", "demo/shop", "--limit", "1")).out.splitlines()
    assert [line.split()[:3] for line in table] == [["SCOPE", "NAME", "KIND"], ["repo:demo/shop", "m1", "learning"]]
    assert (await rig("memory", "list", "--limit", "1")).out.splitlines()[-1] == "… and more: --after 4"

    found = await rig("memory", "search", "which", "key", "do", "the", "tests", "need?", "--tag", "ci")
    assert (found.code, found.err) == (0, "")
    first, facts, text = found.out.splitlines()
    assert first.split()[1:] == ["repo:demo/shop", "learning", "Tests", "need", "a", "key"]
    assert facts.strip().startswith("'m1' by dev-e/dev-e-1, 20")
    assert "; tags ci; used 1 time, last 20" in facts
    assert text.strip() == "See the wiki."
    (one,) = (await rig("memory", "search", "monday", "--json")).json()["found"]
    assert (one["memory"]["memory"], one["text"], one["similarity"]) == ("CI is slow on Mondays", 1, None)
    assert (await rig("memory", "search", "monday", "--kind", "fact")).out == "nothing found\n"

    await agent.log.publish(
        Draft(about=MemoryRef("rig"), data=MemoryEmbedded(memory=ADD[-1], model="m", dimensions=2, vector=(1, 0))), "e"
    )
    await project(cli, postgres_url)
    meant = MemorySearchRequest(model="m", vector=(1.0, 1.0))
    answer = await cli.services.ask("query", "search_memories", meant, FoundMemories)
    assert [(hit.memory.memory, round(hit.similarity or 0, 2)) for hit in answer.found] == [(ADD[-1], 0.71)]
    await rig("memory", "forget", "rig", ADD[-1])
    await project(cli, postgres_url)
    assert (await rig("memory", "search", "monday")).out == "nothing found\n"


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (("search", "x"), 1, "rig: the query service does not answer"),
        (("list",), 1, "rig: the query service does not answer"),
        (("add", "demo/site", "--kind", "fact", "--title", "x"), 2, "rig: demo/site is not under this rig"),
        (("add", "rig", "--kind", "fact", "--title", "x", "--about", "site#1"), 2, "rig: no repository 'site'"),
        (("forget", "user:bob", "x"), 1, "rig: there is no memory 'x' in user:bob"),
    ],
)
async def test_what_does_not_work_is_said(
    rig: Terminal, cli: Bus, typed: tuple[str, ...], code: int, said: str
) -> None:
    refused = await rig("memory", *typed)
    assert (refused.code, refused.out) == (code, "")
    assert refused.err.startswith(said)
    assert await cli.log.history(["rig.memory.>"]) == []
