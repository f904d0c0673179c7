"""What was spent, asked on real servers: every grouping against sums made by hand, in pages, from a day to a day."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from msgspec import Struct, structs

from bus import Bus, Expect, Refused
from conductor.query import run_query
from conductor.shell import DECIDED_SUBJECT
from deploy.embedded.nats import NatsServer
from machine.lifecycle import Lifecycle
from schemas import (
    Actor,
    AgentRef,
    Draft,
    Envelope,
    Event,
    IssueRef,
    Merged,
    ModelUsed,
    Ref,
    RepoRef,
    Reverted,
    Spend,
    SpendBy,
    SpendLine,
    SpendOnMerged,
    SpendRequest,
    Spent,
    TokensUsed,
    envelope,
)
from tests.conftest import Connect
from tests.support.readside import projecting, reached
from tests.support.terminal import Terminal
from tests.support.waiting import until

TODAY = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0)
ISSUES = [IssueRef("acme.inc", repo, number) for repo in ("shop", "site") for number in range(1, 6)]


class Report(Struct, frozen=True):
    """What was said once of what was used: by a run, or by who calls a model outside the runs."""

    time: datetime
    issue: IssueRef | None
    source: str
    used: TokensUsed | ModelUsed

    @property
    def repository(self) -> RepoRef | None:
        return None if self.issue is None else self.issue.repository

    @property
    def about(self) -> Ref:
        return self.issue if isinstance(self.used, TokensUsed) and self.issue else AgentRef(self.source.split("/")[1])

    @property
    def micros(self) -> int:
        return round((self.used.cost_usd or 0) * 1_000_000)


def reports() -> Sequence[Report]:
    """Ten days of work and calls of three replicas with three models, some of it of no known price."""
    chance, found = random.Random(5), list[Report]()  # noqa: S311 - a test's
    for number in range(150):
        tokens: dict[str, Any] = {
            "input": chance.randrange(9_000),
            "output": chance.randrange(900),
            "cache_read": chance.randrange(90),
            "cache_write": chance.randrange(9),
            "cost_usd": None if number % 10 == 3 else chance.randrange(1, 9_999_999) / 1_000_000,
        }
        source = ("dev-e/dev-e-1", "dev-e/dev-e-2", "review-e/review-e-1")[number // 2 % 3]
        days = timedelta(days=chance.randrange(10), hours=chance.randrange(14))
        issue = ISSUES[number // 2 % 10]
        model = ("", "large", "vendor/small")[number % 3]
        used = TokensUsed(epoch=1, run=f"r-{number // 2}", provider="any", model=model, **tokens)
        if number % 4 == 1:
            source, issue = (source, issue) if number % 8 == 1 else ("agent/monitor-e", None)
            role, purpose = source.split("/")[0], ("chat", "review / second")[number % 3 % 2]
            used = ModelUsed(
                call=f"c-{number}", role=role, purpose=purpose, provider="any/1", model="large", issue=issue, **tokens
            )
        found.append(Report(TODAY - days, issue, source, used))
    return found


REPORTS = reports()
BY: dict[SpendBy, Callable[[Report], str]] = {
    SpendBy.AGENT: lambda one: one.source.split("/")[1],
    SpendBy.ROLE: lambda one: one.source.split("/")[0],
    SpendBy.REPOSITORY: lambda one: str(one.repository or ""),
    SpendBy.ISSUE: lambda one: str(one.issue or ""),
    SpendBy.DAY: lambda one: one.time.date().isoformat(),
    SpendBy.MODEL: lambda one: one.used.model,
    SpendBy.PURPOSE: lambda one: "work" if isinstance(one.used, TokensUsed) else one.used.purpose,
}
MERGED = {ISSUES[0]: TODAY - timedelta(days=8), ISSUES[1]: TODAY - timedelta(days=2), ISSUES[5]: TODAY}


def said(about: Ref, data: Event, time: datetime, number: int, source: str = "local") -> Envelope:
    actor = source.partition("/")[0]
    return envelope(Draft(about=about, data=data), id=f"said-{number}", actor=actor, source=source, time=time)


def the_log() -> list[Envelope]:
    merges = [
        said(issue, Merged(head_sha="a" * 40, base_sha="b" * 40, merge_sha=f"{number:040x}"), time, 1_000 + number)
        for number, (issue, time) in enumerate(MERGED.items())
    ]
    reverted = Reverted(merge_sha=f"{1:040x}", revert_sha="f" * 40, by="ann")
    spent = [said(one.about, one.used, one.time, number, one.source) for number, one in enumerate(REPORTS)]
    return [
        *spent[:70],
        *merges,
        said(ISSUES[1], reverted, TODAY - timedelta(days=1, microseconds=7), 2_000),
        *spent[70:],
    ]


def summed(chosen: Sequence[Report]) -> Spent:
    return Spent(
        input=sum(one.used.input for one in chosen),
        output=sum(one.used.output for one in chosen),
        cache_read=sum(one.used.cache_read for one in chosen),
        cache_write=sum(one.used.cache_write for one in chosen),
        cost_usd=sum(one.micros for one in chosen) / 1_000_000,
        unpriced=sum(one.used.cost_usd is None for one in chosen),
    )


def by_hand(by: SpendBy, chosen: Sequence[Report]) -> list[SpendLine]:
    groups = defaultdict[str, list[Report]](list)
    for one in chosen:
        groups[BY[by](one)].append(one)
    lines = [SpendLine(name=name, **structs.asdict(summed(group))) for name, group in groups.items()]
    if by is SpendBy.DAY:
        return sorted(lines, key=lambda line: line.name, reverse=True)
    return sorted(lines, key=lambda line: (-line.cost_usd, line.name))


@pytest.fixture
async def person(connect: Connect, connect_freely: Connect, postgres_url: str) -> AsyncIterator[Bus]:
    """Who asks, of a read side that has read everything."""
    bus = await connect_freely(Actor.CONDUCTOR)
    life = Lifecycle()
    life.running = True
    serving = asyncio.create_task(run_query(await connect(Actor.CONDUCTOR, "query"), life, postgres_url))
    log = the_log()
    await bus.log.append(log, expect=Expect(DECIDED_SUBJECT, 0))
    async with projecting(bus, postgres_url):
        await reached(postgres_url, len(log))
        await until(lambda: life.is_ready)
        yield await connect(Actor.CLI)
        life.stop.set()
        await serving


async def ask(person: Bus, request: SpendRequest) -> Spend:
    return await person.services.ask("query", "spend", request, Spend)


async def test_every_sum_is_the_one_made_by_hand(person: Bus, postgres_url: str) -> None:
    everything = len(the_log())
    shop = RepoRef("acme.inc", "shop")
    for by in SpendBy:
        answer = await ask(person, SpendRequest(by=by, wait_for=everything))
        assert (answer.position, answer.next) == (everything, None)
        assert list(answer.lines) == by_hand(by, REPORTS)
        assert answer.total == summed(REPORTS)
        first, last = (TODAY - timedelta(days=6)).date(), (TODAY - timedelta(days=2)).date()
        answer = await ask(person, SpendRequest(by=by, since=first, until=last, repository=shop))
        chosen = [one for one in REPORTS if first <= one.time.date() <= last and one.repository == shop]
        assert list(answer.lines) == by_hand(by, chosen)
        assert answer.total == summed(chosen)
    nothing = await ask(person, SpendRequest(since=date(2001, 1, 1), until=date(2001, 1, 2)))
    assert (nothing.lines, nothing.total, nothing.unmerged_usd) == ((), summed([]), 0.0)
    assert nothing.merged == SpendOnMerged(changes=0, reverted=0, cost_usd=0.0, per_change_usd=None)


async def test_a_count_beyond_all_measure_keeps_no_other_from_being_added_up(
    person: Bus, connect_freely: Connect
) -> None:
    dev_e, largest = await connect_freely(Actor.DEV_E), 2**63 - 1
    before, at = await ask(person, SpendRequest()), 0
    for run in ("r-90", "r-91"):
        used = TokensUsed(epoch=1, run=run, provider="p", model="boundless", input=largest, output=1)
        at = await dev_e.log.publish(Draft(about=ISSUES[0], data=used), run)
    after = await ask(person, SpendRequest(by=SpendBy.MODEL, wait_for=at))
    assert (after.total.input, after.total.output) == (largest, before.total.output + 2)
    assert after.total.cost_usd == before.total.cost_usd
    assert [(line.input, line.output) for line in after.lines if line.name == "boundless"] == [(largest, 2)]


async def test_what_a_merged_change_cost_and_what_came_to_nothing(person: Bus) -> None:
    def cost(chosen: Sequence[Report]) -> int:
        return sum(one.micros for one in chosen)

    answer = await ask(person, SpendRequest())
    of_merged = cost([one for one in REPORTS if one.issue in MERGED])
    assert answer.merged == SpendOnMerged(
        changes=3, reverted=1, cost_usd=of_merged / 1_000_000, per_change_usd=round(of_merged / 3) / 1_000_000
    )
    assert round(answer.unmerged_usd * 1_000_000) == cost([one for one in REPORTS if one.issue]) - of_merged
    since = (TODAY - timedelta(days=1)).date()
    answer = await ask(person, SpendRequest(since=since))
    of_one = cost([one for one in REPORTS if one.issue == ISSUES[5]])
    assert (answer.merged.changes, answer.merged.cost_usd) == (1, of_one / 1_000_000), "whenever it was spent"
    lately = [one for one in REPORTS if one.time.date() >= since and one.issue and one.issue not in MERGED]
    assert answer.unmerged_usd == cost(lately) / 1_000_000


async def test_the_answer_comes_in_pages_with_the_sums_of_all(person: Bus) -> None:
    found, after = list[SpendLine](), 0
    while True:
        page = await ask(person, SpendRequest(by=SpendBy.ISSUE, after=after, limit=4))
        assert page.total == summed(REPORTS)
        assert len(page.lines) <= 4
        found += page.lines
        if page.next is None:
            break
        after = page.next
    assert found == by_hand(SpendBy.ISSUE, REPORTS)
    with pytest.raises(Refused, match=r"not a SpendRequest: .*\$\.limit"):
        await ask(person, SpendRequest(limit=1_000))


async def test_it_is_shown_to_people(person: Bus, nats: NatsServer) -> None:
    rig = Terminal(nats)
    said = (await rig("spend", "--by", "role", "--since", "20d", "--repository", "acme.inc/shop")).out.splitlines()
    assert said[0].split() == ["ROLE", "INPUT", "OUTPUT", "CACHED", "USD"]
    chosen = [one for one in REPORTS if one.repository == RepoRef("acme.inc", "shop")]
    role, total = by_hand(SpendBy.ROLE, chosen)[0], summed(chosen)
    cached = f"{role.cache_read + role.cache_write}"
    assert said[1].split() == [
        "dev-e",
        f"{role.input}",
        f"{role.output}",
        cached,
        f"{role.cost_usd:.2f}",
    ]
    assert said[3].split()[:3] == ["in", "all", f"{total.input}"]
    assert said[4] == f"not counted: {total.unpriced} reports of what nobody knows the price of"
    assert said[5].startswith("2 changes merged, 1 of them reverted since: ")
    assert said[6].endswith(" went into issues of which nothing is merged")
    models = await rig("spend", "--by", "model", "--limit", "2")
    assert models.out.splitlines()[4] == "… and more: --after 2"
    day = TODAY.date().isoformat()
    answer = (await rig("spend", "--by", "day", "--since", day, "--until", "0d", "--json")).json()
    assert [line["name"] for line in answer["lines"]] == [day]
    nobody = await rig("spend", "--until", "2001-01-01")
    assert nobody.out.splitlines() == [
        "nothing was spent",
        "no change was merged",
        "0.00 went into issues of which nothing is merged",
    ]
    unknown = await rig("spend", "--repository", "nowhere")
    assert (unknown.code, unknown.err[:50]) == (2, "rig: no repository 'nowhere' is under this rig; `r")
