"""The oracle: money, attempts and merges, counted outside the stream, are what the read side says, live and rebuilt.

What a run used, the coding CLI wrote into a ledger of its own; what was merged, git says. Nothing here that is expected
comes from the log.
"""

import asyncio
import json
import os
import random
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, structs
from msgspec.json import decode

from conductor.projector.issues import IssueRow
from conductor.projector.merges import MergeRow
from conductor.projector.runs import RunRow, SpendRow, Tokens
from schemas import (
    Draft,
    IssueRef,
    IssueState,
    RepoRef,
    RetryRequested,
    Spend,
    SpendBy,
    SpendRequest,
    Stopped,
    event_id,
)
from tests.support import accountant
from tests.support.readside import database
from tests.support.rig import rig
from tests.support.shop import Shop, git, new_repository, shop
from tests.support.waiting import until, until_gone

SHOP, SITE = RepoRef("demo", "shop"), RepoRef("demo", "site")
CHECK = "! grep -q wrong *.txt"
PATIENCE_SECONDS = 30.0
"""Longer than any living replica is silent: what looked dead and was not would make tries that nobody counts."""
TRIES = {
    (SHOP, "Killed"): ("wait", "right"),
    (SHOP, "At once"): ("right",),
    (SHOP, "Second time"): ("wrong", "right"),
    (SHOP, "Third time"): ("crash", "wrong", "right"),
    (SITE, "Never"): ("wrong", "wrong", "crash"),
    (SITE, "Idle first"): ("nothing", "right"),
    (SITE, "Also at once"): ("right",),
}


class Line(Struct, frozen=True):
    """One line of the ledger."""

    at: str
    issue: str
    agent: str
    pid: int
    does: str = ""
    model: str = ""
    day: str = ""
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    micros: int | None = None


class Books:
    """What the test knows by itself."""

    def __init__(self, directory: Path, repositories: Mapping[RepoRef, Path]) -> None:
        self.path, self.plan = directory / "ledger", directory / "plan.json"
        self.path.touch()
        chance = random.Random(17)  # noqa: S311 - a test's
        self.plan.write_text(
            json.dumps({title: [_planned(does, chance) for does in tries] for (_, title), tries in TRIES.items()})
        )
        self._repositories = repositories
        self._begun = datetime.now(UTC).date()

    @property
    def coder(self) -> str:
        argv = (sys.executable, "-I", "-S", accountant.__file__, str(self.plan), str(self.path))
        return f"metered:{shlex.join(argv)}"

    def lines(self) -> list[Line]:
        whole, _, _ = self.path.read_bytes().rpartition(b"\n")
        return [decode(line, type=Line) for line in whole.splitlines()]

    def by(self) -> list[SpendBy]:
        """What can be compared: a try that ends at midnight may be told on the day after."""
        return [by for by in SpendBy if by is not SpendBy.DAY or self._begun == datetime.now(UTC).date()]

    def ended(self) -> list[Line]:
        return [line for line in self.lines() if line.at == "ended"]

    def attempts(self) -> Counter[str]:
        return Counter(line.issue for line in self.ended())

    def spent(self, of: Callable[[Line], str]) -> dict[str, tuple[int, Tokens]]:
        """By something: how many runs used how much."""
        found: dict[str, tuple[int, Tokens]] = {}
        for line in self.ended():
            runs, sums = found.get(of(line), (0, Tokens()))
            _add(sums, Tokens(cost=line.micros or 0, unpriced=1) if line.micros is None else _tokens(line))
            found[of(line)] = runs + 1, sums
        return found

    def merges(self) -> dict[str, str]:
        """The merge commits on the base branches, and the issue whose work each brought."""
        found: dict[str, str] = {}
        for path in self._repositories.values():
            for merge in git(path, "log", "--first-parent", "--merges", "--format=%H", "main").split():
                work = git(path, "log", "-1", "--format=%(trailers:key=Rig-Issue,valueonly)", f"{merge}^2")
                found[merge] = work
        return found


OF: Mapping[SpendBy, Callable[[Line], str]] = {
    SpendBy.AGENT: lambda line: line.agent,
    SpendBy.ROLE: lambda _: "dev-e",
    SpendBy.REPOSITORY: lambda line: line.issue.partition("#")[0],
    SpendBy.ISSUE: lambda line: line.issue,
    SpendBy.DAY: lambda line: line.day,
    SpendBy.MODEL: lambda line: line.model,
    SpendBy.PURPOSE: lambda _: "work",
}


def _planned(does: str, chance: random.Random) -> dict[str, Any]:
    """What a try does and uses; of one that changes nothing, nobody knows the price."""
    used = {what: chance.randrange(1, 9_000) for what in ("input", "output", "cache_read", "cache_write")}
    model, micros = chance.choice(("large-1", "vendor/small-1")), chance.randrange(1, 90_000)
    if does == "nothing":
        return {"does": does, "model": "", "micros": None}
    return {"does": does, "model": model, "micros": micros, **used}


def _tokens(line: Line) -> Tokens:
    return Tokens(
        input=line.input,
        output=line.output,
        cache_read=line.cache_read,
        cache_write=line.cache_write,
        cost=line.micros or 0,
    )


def _add(into: Tokens, more: Tokens) -> None:
    for name in Tokens.__struct_fields__:
        setattr(into, name, getattr(into, name) + getattr(more, name))


# ── what the read side says ──────────────────────────────────────────────────


class Tables(Struct, frozen=True):
    """The rows that are about it."""

    spend: Sequence[SpendRow]
    runs: Sequence[RunRow]
    issues: Sequence[IssueRow]
    merges: Sequence[MergeRow]


async def stored(url: str) -> Tables:
    """As PostgreSQL holds them."""

    async def of(db: Any, table: str, shape: type[Any]) -> list[Any]:
        return [decode(row[0], type=shape) for row in await db.fetch(f"select row::text from rig.{table}")]  # noqa: S608 - ours

    async with database(url) as db:
        return Tables(
            await of(db, "spend", SpendRow),
            await of(db, "runs", RunRow),
            await of(db, "issues", IssueRow),
            await of(db, "merges", MergeRow),
        )


def summed(spend: Sequence[SpendRow], of: Callable[[SpendRow], str]) -> dict[str, tuple[int, Tokens]]:
    found: dict[str, tuple[int, Tokens]] = {}
    for row in spend:
        runs, sums = found.get(of(row), (0, Tokens()))
        _add(sums, row.tokens)
        found[of(row)] = runs + 1, sums
    return found


ROW: Mapping[SpendBy, Callable[[SpendRow], str]] = {
    SpendBy.AGENT: lambda row: row.agent,
    SpendBy.ROLE: lambda row: row.role,
    SpendBy.REPOSITORY: lambda row: str(row.issue.repository),
    SpendBy.ISSUE: lambda row: str(row.issue),
    SpendBy.DAY: lambda row: row.day.isoformat(),
    SpendBy.MODEL: lambda row: row.model,
    SpendBy.PURPOSE: lambda row: row.purpose,
}


def compare_tables(tables: Tables, books: Books) -> None:
    for by in books.by():
        assert summed(tables.spend, ROW[by]) == books.spent(OF[by]), by
    of_issues = {name: sums.cost for name, (_, sums) in books.spent(OF[SpendBy.ISSUE]).items()}
    of_runs = Counter[str]()
    for run in tables.runs:
        of_runs[str(run.issue)] += run.tokens.cost
    assert of_runs == of_issues
    assert Counter((str(run.issue), run.agent) for run in tables.runs) == Counter(
        (line.issue, line.agent) for line in books.lines() if line.at == "began"
    )
    assert {str(row.issue): row.attempts for row in tables.issues} == books.attempts()
    standing = {str(row.issue): row.standing for row in tables.issues if row.standing is not None}
    assert {issue: round(it.spent_usd * 1_000_000) for issue, it in standing.items()} == of_issues
    merges = books.merges()
    assert {row.merge_sha: str(row.issue) for row in tables.merges} == merges
    assert {it.merge_sha: issue for issue, it in standing.items() if it.merge_sha is not None} == merges
    assert {issue for issue, it in standing.items() if it.state is IssueState.DONE} == set(merges.values())


def compare_answer(answer: Spend, by: SpendBy, books: Books) -> None:
    lines = {line.name: _of_answer(structs.asdict(line)) for line in answer.lines}
    assert lines == {name: sums for name, (_, sums) in books.spent(OF[by]).items()}, by
    _, total = books.spent(lambda _: "all")["all"]
    assert _of_answer(structs.asdict(answer.total)) == total
    merges = books.merges()
    of_merged = sum(line.micros or 0 for line in books.ended() if line.issue in merges.values())
    assert (answer.merged.changes, answer.merged.reverted) == (len(merges), 0)
    assert round(answer.merged.cost_usd * 1_000_000) == of_merged
    assert answer.merged.per_change_usd == round(of_merged / len(merges)) / 1_000_000
    assert round(answer.unmerged_usd * 1_000_000) == total.cost - of_merged


def _of_answer(sums: dict[str, Any]) -> Tokens:
    counts = {name: sums[name] for name in Tokens.__struct_fields__ if name != "cost"}
    return Tokens(cost=round(sums["cost_usd"] * 1_000_000), **counts)


# ── the test ─────────────────────────────────────────────────────────────────


async def command(home: Path, *arguments: str) -> str:
    """`rig …`, which must not fail; what it prints."""
    done: subprocess.CompletedProcess[str] = await asyncio.to_thread(rig, home, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def kill_who_waits(running: Shop, books: Books) -> None:
    """The replica whose coder is in the middle of a try: nobody will say what that used. Another one begins anew."""
    await until(lambda: any(line.does == "wait" for line in books.lines()))
    (waiting,) = [line for line in books.lines() if line.does == "wait"]
    pid = running.rig.supervisor.pid(waiting.agent)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(until_gone, pid, waiting.pid)
    issue = IssueRef.parse(waiting.issue)
    for word in (Stopped(by="ada"), RetryRequested(by="ada")):  # a person does not wait for the server to miss it
        said = await running.cli.log.publish(Draft(about=issue, data=word), event_id("cli", waiting.issue, word.name()))
        await running.see(issue, said)


@pytest.mark.full  # tests/integration/test_spend.py adds up by hand in every run
async def test_money_attempts_and_merges_are_those_that_were_counted_outside(tmp_path: Path) -> None:
    paths = {ref: tmp_path / f"{ref.repo}.git" for ref in (SHOP, SITE)}
    for ref, path in paths.items():
        checkout = new_repository(tmp_path / ref.repo, {"README": "x\n"})
        git(tmp_path, "clone", "-q", "--bare", str(checkout), str(path))
    books = Books(tmp_path, paths)
    async with shop(tmp_path, coder=books.coder, agents=2, patience_seconds=PATIENCE_SECONDS) as running:
        for ref, path in paths.items():
            await running.serve(ref, path, CHECK)
        asked: list[IssueRef] = [await running.ask(ref, title) for ref, title in TRIES]
        await kill_who_waits(running, books)
        for issue in asked:
            await running.end_of(issue)
        last = (await running.log())[-1].position
        url, home = running.rig.servers.postgres_url, running.rig.home.path

        async def compare() -> None:
            for by in books.by():
                request = SpendRequest(by=by, wait_for=last)
                compare_answer(await running.cli.services.ask("query", "spend", request, Spend), by, books)
            compare_tables(await stored(url), books)

        assert [str(issue) for issue in asked] == sorted(books.attempts(), key=[*map(str, asked)].index)
        assert len(books.lines()) == 2 * sum(map(len, TRIES.values())) - 1, "one try began and never ended"
        await compare()
        typed = decode(await command(home, "spend", "--by", "model", "--since", "1d", "--json"), type=Spend)
        compare_answer(typed, SpendBy.MODEL, books)
        rebuilt = json.loads(await command(home, "rebuild", "--json"))
        assert rebuilt["position"] >= last
        await compare()
        _, was = await asyncio.gather(command(home, "verify"), command(home, "at", str(last), "--json"))
    tables = json.loads(was)["tables"]
    rows = {table: json.dumps([*tables[table].values()]).encode() for table in ("spend", "runs", "issues", "merges")}
    compare_tables(
        Tables(
            decode(rows["spend"], type=list[SpendRow]),
            decode(rows["runs"], type=list[RunRow]),
            decode(rows["issues"], type=list[IssueRow]),
            decode(rows["merges"], type=list[MergeRow]),
        ),
        books,
    )
