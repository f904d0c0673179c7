"""Search in what the rig remembers, on a real PostgreSQL: what is found, what is not, and how much an index misses."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from msgspec.structs import replace

from bus import Refused
from conductor import recall
from conductor.postgres import Session, connect
from conductor.projector.memory import EmbeddingRow, MemoryRow, space, unit_vector
from conductor.sql import statement
from conductor.vectors import VectorIndexes, make_vector_index
from deploy.embedded.server import Server
from schemas import REPLACES_MAX, FoundMemories, IssueRef, Memories, MemoriesRequest, MemoryKind, MemorySearchRequest
from tests.support.memories import MODEL, NOW, MadeUp, name_of, planted_word, put, put_all, scope_of
from tests.support.readside import database, rows

POSITION = 7
DAY = timedelta(days=1)


class Asker:
    """Asks as the query service does: everything about one question in one transaction."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.indexes = VectorIndexes()

    async def __call__(self, query: str = "", *, now: datetime = NOW, **wanted: Any) -> FoundMemories:
        request = MemorySearchRequest(query=query, **wanted)
        recall.check(request)
        async with self.session.transaction(snapshot=True):
            return await recall.search(self.session, POSITION, request, now, self.indexes)

    async def names(self, query: str = "", **wanted: Any) -> list[str]:
        return [one.memory.memory for one in (await self(query, **wanted)).found]

    async def like(self, vector: Sequence[float], **wanted: Any) -> list[str]:
        return await self.names(model=MODEL, vector=tuple(vector), **wanted)

    async def list(self, **wanted: Any) -> Memories:
        async with self.session.transaction(snapshot=True):
            return await recall.memories(self.session, POSITION, MemoriesRequest(**wanted), NOW)


@pytest.fixture
async def ask(postgres_url: str) -> AsyncIterator[Asker]:
    session = await connect(postgres_url, name="test")
    yield Asker(session)
    await session.close()


def memory(name: str, title: str = "", **fields: Any) -> MemoryRow:
    row = MemoryRow(
        scope="rig",
        memory=name,
        kind=MemoryKind.LEARNING,
        title=title or name,
        text="",
        tags=(),
        importance=3,
        expires_at=None,
        about=None,
        position=1,
        written=NOW,
        actor="dev-e",
        source="dev-e/dev-e-1",
    )
    return replace(row, **fields)


def embedded(name: str, *vector: float, model: str = MODEL, scope: str = "rig") -> EmbeddingRow:
    unit = unit_vector(vector)
    assert unit is not None
    return EmbeddingRow(scope=scope, memory=name, model=model, dimensions=len(vector), vector=unit, position=2)


async def remember(url: str, *rows: MemoryRow | EmbeddingRow) -> None:
    async with database(url) as db:
        await put(db, rows)


# ── few, each compared ───────────────────────────────────────────────────────


async def test_words_are_found_in_titles_texts_and_tags_whatever_their_form(ask: Asker, postgres_url: str) -> None:
    await remember(
        postgres_url,
        memory("title", "Flaky tests in the CI"),
        memory("text", text="It flakes when two tests run at once."),
        memory("tag", tags=("flaking",)),
        memory("other", "Deployments need a key"),
    )
    assert await ask.names("Why does this test flake?") == ["title", "tag", "text"]
    found = await ask("flake")
    assert (found.position, found.next) == (POSITION, None)
    assert [(one.memory.memory, one.similarity) for one in found.found] == [("tag", None), ("text", None)]
    assert found.found[0].text == 1


@pytest.mark.parametrize(
    "query", ["policy.py", "conductor", "TimeoutError", "runbook", "example.com", "acme.com", "nats", "area", "3.11"]
)
async def test_words_are_found_within_paths_addresses_and_dotted_names(
    ask: Asker, postgres_url: str, query: str
) -> None:
    text = r"conductor/policy.py: asyncio.TimeoutError with 3.11, https://example.com/runbook, C:\temp, ops@acme.com"
    await remember(postgres_url, memory("one", text=text, tags=("area/nats.py",)), memory("other", "Deploy keys"))
    assert await ask.names(query) == ["one"]


async def test_a_memory_is_found_with_all_that_is_known_of_it(ask: Asker, postgres_url: str) -> None:
    whole = memory(
        "key",
        "Deployments need a key",
        text="See the wiki.",
        tags=("ops",),
        about=IssueRef("acme", "web", 3),
        expires_at=NOW + DAY,
        position=41,
        hits=4,
        uses=2,
        last_used=NOW,
        replaces=("old",),
    )
    await remember(postgres_url, whole)
    (one,) = (await ask("deploy")).found
    assert {name: getattr(one.memory, name) for name in one.memory.__struct_fields__} == {
        name: getattr(whole, name) for name in whole.__struct_fields__
    }


async def test_of_very_many_that_became_one_the_last_are_told(ask: Asker, postgres_url: str) -> None:
    """All their names would be more than an answer holds."""
    names = tuple(f"learnt-{number}" for number in range(REPLACES_MAX + 5))
    await remember(postgres_url, memory("one", "x", replaces=names))
    assert [one.memory.replaces for one in (await ask("x")).found] == [names[5:]]
    assert [line.replaces for line in (await ask.list()).memories] == [names[5:]]


async def test_a_rare_word_counts_more_than_one_that_nearly_all_hold(ask: Asker, postgres_url: str) -> None:
    many = [memory(f"m{number:02}", "deploy deploy deploy") for number in range(30)]
    await remember(postgres_url, *many, memory("wanted", "Ship", text="about many other things too, and quokkas"))
    async with database(postgres_url) as db:
        await db.execute("analyze rig.memories")
    assert (await ask.names("deploy the quokka"))[0] == "wanted"


@pytest.mark.parametrize("known", [True, False])
async def test_among_many_what_has_every_word_is_found_however_frequent_each_is(
    ask: Asker, postgres_url: str, *, known: bool
) -> None:
    """And words that nobody has said keep nothing from being found. `known`: the server knows what is frequent."""
    words = ("payment", "gateway", "timeout", "retry", "deploy")
    many = [
        memory(f"m{number}", "note", text=" ".join(word for at, word in enumerate(words) if number >> at & 1))
        for number in range(4_000)
        if number % 32 != 31
    ]
    await remember(postgres_url, *many, memory("wanted", text=" ".join(words)))
    if known:
        async with database(postgres_url) as db:
            await db.execute("analyze rig.memories")
    assert "wanted" in await ask.names(" ".join(words), limit=40)
    assert await ask.names("payment gateway unheardof")


async def test_meaning_and_words_together(ask: Asker, postgres_url: str) -> None:
    await remember(
        postgres_url,
        memory("meant", "Unrelated words"),
        embedded("meant", 1, 0.1, 0),
        memory("said", "A flaky test"),
        embedded("said", 0, 1, 0),
        memory("both", "Flaky too"),
        embedded("both", 1, 1, 0),
        memory("new", "flaky: not embedded yet"),
    )
    assert await ask.like((1, 0, 0)) == ["meant", "both"], "without words, what has no vector is not found"
    found = (await ask("flaky", model=MODEL, vector=(1.0, 0.0, 0.0))).found
    scores = {one.memory.memory: one for one in found}
    assert scores["meant"].similarity == pytest.approx(0.995, abs=1e-3)
    assert scores["meant"].score == pytest.approx(0.65 * 0.995, abs=1e-3)
    assert scores["both"].score == pytest.approx(0.35 * scores["both"].text + 0.65 * 0.7071, abs=1e-3)
    assert scores["said"].score == pytest.approx(0.35 * scores["said"].text, abs=1e-3)
    assert scores["new"].score == scores["new"].text > 0
    assert scores["new"].similarity is None


async def test_only_vectors_of_the_askers_model_and_dimensions_are_compared(ask: Asker, postgres_url: str) -> None:
    await remember(
        postgres_url,
        *(memory(name) for name in ("two", "three", "foreign")),
        embedded("two", 1, 0),
        embedded("three", 1, 0, 0),
        embedded("foreign", 1, 0, model="another"),
    )
    assert await ask.like((1, 0)) == ["two"]
    assert await ask.like((1, 0, 0)) == ["three"]
    assert await ask.names(model="another", vector=(1.0, 0.0)) == ["foreign"]
    assert await ask.names(model="unheard of", vector=(1.0, 0.0)) == []


async def test_filters(ask: Asker, postgres_url: str) -> None:
    rows_ = [
        memory("rig", "x", tags=("a", "b"), importance=5),
        memory("shop", "x", scope="repo:demo/shop", tags=("a",), kind=MemoryKind.ERROR),
        memory("ann", "x", scope="user:ann", tags=("b",), kind=MemoryKind.FACT, importance=1),
    ]
    await remember(postgres_url, *rows_, *(embedded(row.memory, 1, 0, scope=row.scope) for row in rows_))
    for narrowed, names in [
        ({}, {"rig", "shop", "ann"}),
        ({"scopes": ("rig",)}, {"rig"}),
        ({"scopes": ("rig", "user:ann", "user:bob")}, {"rig", "ann"}),
        ({"kinds": (MemoryKind.ERROR, MemoryKind.FACT)}, {"shop", "ann"}),
        ({"tags": ("a",)}, {"rig", "shop"}),
        ({"tags": ("a", "b")}, {"rig"}),
        ({"importance": 3}, {"rig", "shop"}),
        ({"scopes": ("rig",), "kinds": (MemoryKind.FACT,)}, set[str]()),
    ]:
        assert set(await ask.names("x", **narrowed)) == names
        assert set(await ask.like((1, 0), **narrowed)) == names
        assert {line.memory for line in (await ask.list(**narrowed)).memories} == names


async def test_what_expired_is_not_found(ask: Asker, postgres_url: str) -> None:
    gone, there = memory("gone", "x", expires_at=NOW), memory("there", "x", expires_at=NOW + timedelta(seconds=1))
    await remember(postgres_url, gone, embedded("gone", 1, 0), there, embedded("there", 1, 0))
    assert await ask.names("x") == await ask.like((1, 0)) == ["there"]
    assert [line.memory for line in (await ask.list()).memories] == ["there"]


async def test_the_fresh_and_the_important_come_first(ask: Asker, postgres_url: str) -> None:
    await remember(
        postgres_url,
        memory("plain", "x"),
        memory("important", "x", importance=5),
        memory("old", "x", written=NOW - 140 * DAY),
        memory("old-but-used", "x", written=NOW - 400 * DAY, last_used=NOW - DAY),
    )
    assert await ask.names("x") == ["important", "plain", "old-but-used", "old"]
    (old,) = [one for one in (await ask("x")).found if one.memory.memory == "old"]
    assert old.score == pytest.approx(0.5)


@pytest.mark.parametrize(
    "query", ["'", "a'b", "\\", "it\\'s", "! & | ( ) <-> :*", "\0", "x\0y", "'); --", "the and of", "🦘", "x" * 65_536]
)
async def test_any_text_may_be_asked_for(ask: Asker, postgres_url: str, query: str) -> None:
    await remember(postgres_url, memory("one", "Kangaroos"))
    assert await ask.names(query or "?") == []
    assert await ask.names(f"{query[:3_000]} kangaroo") == ["one"]


async def test_words_with_odd_characters_are_found(ask: Asker, postgres_url: str) -> None:
    await remember(postgres_url, memory("path", "see http://example.com/a?x=1&y='2' and C:\\dir\\file"))
    assert await ask.names("http://example.com/a?x=1&y='2'") == ["path"]
    assert await ask.names("C:\\dir\\file") == ["path"]


async def test_results_come_in_pages_without_gaps(ask: Asker, postgres_url: str) -> None:
    names = [f"m{number:02}" for number in range(25)]
    await remember(postgres_url, *(memory(name, "x", position=100 - at) for at, name in enumerate(names)))

    async def pages(**wanted: Any) -> list[str]:
        found, after = list[str](), 0
        while True:
            page = await ask("x", after=after, limit=10, **wanted)
            found += [one.memory.memory for one in page.found]
            if page.next is None:
                return found
            after = page.next

    assert await pages() == names
    listed, after = list[str](), 0
    while True:
        page = await ask.list(after=after, limit=10)
        assert len(page.memories) <= 10
        listed += [line.memory for line in page.memories]
        if page.next is None:
            break
        after = page.next
    assert listed == names, "the newest first"


async def test_long_memories_make_short_pages(ask: Asker, postgres_url: str) -> None:
    text = "x \N{KANGAROO}" * 21_000
    await remember(postgres_url, *(memory(f"m{number}", "x", text=text, position=number) for number in range(1, 21)))
    for page in (await ask.list(limit=20), await ask("x", limit=20)):
        count = len(page.memories if isinstance(page, Memories) else page.found)
        assert 1 <= count < 20
        assert page.next is not None


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (MemorySearchRequest(query=" "), "what is looked for"),
        (MemorySearchRequest(query="x", vector=(1.0,)), "belong together"),
        (MemorySearchRequest(query="x", model=MODEL), "belong together"),
        (MemorySearchRequest(model=MODEL, vector=(0.0, 0.0)), "no direction"),
    ],
)
def test_half_a_question_is_refused(request_: MemorySearchRequest, why: str) -> None:
    with pytest.raises(Refused, match=why):
        recall.check(request_)


# ── very many ────────────────────────────────────────────────────────────────


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[2_000, pytest.param(100_000, marks=[pytest.mark.full, pytest.mark.timeout(1_200)])],
)
async def many(request: pytest.FixtureRequest, postgres_server: Server) -> tuple[MadeUp, str]:
    """Very many memories, and the index that their searches want."""
    made_up = MadeUp(request.param)
    url = f"{postgres_server.url.rpartition('/')[0]}/many_{request.param}"
    connection = await asyncpg.connect(postgres_server.url)
    await connection.execute(f"create database many_{request.param}")
    await connection.close()
    session = await connect(url, name="test")
    async with database(url) as db:
        await put_all(db, made_up)
    assert await make_vector_index(session, MODEL, made_up.dimensions)
    await session.close()
    return made_up, url


@pytest.fixture
async def asker(many: tuple[MadeUp, str]) -> AsyncIterator[Asker]:
    session = await connect(many[1], name="test")
    yield Asker(session)
    await session.close()


async def test_what_was_planted_among_many_is_found(many: tuple[MadeUp, str], asker: Asker) -> None:
    made_up, _ = many
    by_index = 0
    for number in made_up.planted:
        name, scope = name_of(number), (scope_of(number),)
        near = tuple(made_up.near(made_up.vectors[number]))
        words = f"word1 word2 {planted_word(number)} word3"
        assert (await asker.names(words))[0] == name
        assert (await asker.names(words, scopes=scope))[0] == name
        assert (await asker.names(words, model=MODEL, vector=near))[0] == name
        assert (await asker.names(words, model=MODEL, vector=near, scopes=scope))[0] == name
        assert (await asker.like(near, scopes=scope))[0] == name
        by_index += (await asker.like(near))[0] == name
    assert by_index >= 0.9 * len(made_up.planted)


async def missed(asker: Asker, made_up: MadeUp, where: list[tuple[dict[str, Any], Sequence[int]]]) -> float:
    """Of the ten memories that an exact search finds nearest, the share that is not found."""
    misses = wanted = 0
    for narrowed, numbers in where:
        query = made_up.query()
        nearest = made_up.nearest(query, numbers, 10)
        found = await asker.like(query, limit=10, **narrowed)
        misses += len(set(nearest) - set(found))
        wanted += len(nearest)
    assert wanted
    return misses / wanted


async def test_in_a_hundredth_of_all_hardly_any_neighbour_is_missed(many: tuple[MadeUp, str], asker: Asker) -> None:
    made_up, _ = many
    scopes = [({"scopes": (scope_of(n),)}, range(n, made_up.count, 100)) for n in range(40)]
    assert await missed(asker, made_up, scopes) <= 0.05


async def test_where_an_index_is_read_few_are_missed(many: tuple[MadeUp, str], asker: Asker) -> None:
    made_up, _ = many
    most = [n for n in range(made_up.count) if n % 100 < 60]
    where: list[tuple[dict[str, Any], Sequence[int]]] = [
        ({}, range(made_up.count)),
        ({"scopes": tuple(scope_of(n) for n in range(60))}, most),
    ]
    assert len(most) > recall.FEW
    times = max(1, 8_000 // made_up.count)  # each compares all of them
    assert await missed(asker, made_up, where * times) <= 0.1


async def test_what_an_index_finds_is_read_on_until_enough_pass_a_filter(many: tuple[MadeUp, str]) -> None:
    made_up, url = many
    where = (space(MODEL, made_up.dimensions), made_up.dimensions, unit_vector(made_up.query()), 60)
    async with database(url) as db, db.transaction():
        await db.execute(statement("search_settings"))
        await db.execute("set local enable_sort = off")  # of so few it would rather compare all
        found = await db.fetch(statement("memories_nearest"), None, ["fact"], None, None, NOW, *where)
    assert len(found) == 60, "of the two hundred that an index finds at once, some thirty are of a kind"


async def test_an_index_is_made_once_a_search_would_have_wanted_it(ask: Asker, postgres_url: str) -> None:
    made_up = MadeUp(1_100, dimensions=8)
    async with database(postgres_url) as db:
        await put_all(db, made_up)
    made = "select count(*) from pg_index where indrelid = 'rig.embeddings'::regclass and indisvalid"
    query = made_up.query()
    exact = made_up.nearest(query, range(1_100), 10)
    async with ask.indexes.kept(postgres_url):
        assert await ask.like(query, limit=10) == exact, "until then each is compared"
        assert await ask.like(query, limit=10, scopes=(scope_of(1),))
        while (await rows(postgres_url, made)) != [(3,)]:  # noqa: ASYNC110 - PostgreSQL does not say when
            await asyncio.sleep(0.01)
        assert len(set(await ask.like(query, limit=10)) & set(exact)) >= 8
    session = await connect(postgres_url, name="test")
    assert not await make_vector_index(session, MODEL, 8), "it is there"
    await session.close()
    assert await rows(postgres_url, made) == [(3,)], "with those of key and scope"


async def test_an_index_that_was_left_half_made_is_made_anew(ask: Asker, postgres_url: str) -> None:
    await remember(postgres_url, memory("one"), embedded("one", 1, 0))
    async with database(postgres_url) as db:
        await db.execute("""
            create index half on rig.embeddings using hnsw ((vector::halfvec(2)) halfvec_cosine_ops)
            where space = 'embed-1/2'""")
        await db.execute("update pg_index set indisvalid = false where indexrelid = 'rig.half'::regclass")
    session = await connect(postgres_url, name="test")
    assert await make_vector_index(session, MODEL, 2)
    await session.close()
    assert await rows(postgres_url, "select to_regclass('rig.half')") == [(None,)]


async def test_vectors_of_more_dimensions_than_an_index_takes_are_compared(ask: Asker, postgres_url: str) -> None:
    await remember(
        postgres_url, memory("a"), embedded("a", *[1.0] * 5_000), memory("b"), embedded("b", 1, *[0.0] * 4_999)
    )
    assert await ask.like([1.0] * 5_000) == ["a", "b"]
