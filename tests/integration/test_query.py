"""The query service on real servers: what a person asks about the rig, and what is answered when something is away."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec import Struct

from bus import Bus, Refused
from bus.replay import replay
from bus.topology import PROJECTED
from deploy.embedded.postgres import embedded_postgres
from schemas import (
    Actor,
    AgentJoined,
    AgentLeft,
    Agents,
    AgentsRequest,
    ChecksFailed,
    Conclusion,
    DeadLetterPage,
    DeadLettersRequest,
    FailedCheck,
    IssueApproved,
    IssueDetail,
    IssueRef,
    IssueRequest,
    Issues,
    IssuesRequest,
    IssueState,
    LeaveReason,
    LetterState,
    Priority,
    PullRequestOpened,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    Status,
    StatusRequest,
    Stopped,
)
from tests.support.readside import ISSUE, SHOP, answering, database, decide, projecting, reached, say
from tests.support.saying import assigned, pushed, started
from tests.support.waiting import until

Connect = Callable[..., Awaitable[Bus]]
T = TypeVar("T", bound=Struct)

BASE, HEAD = "a" * 40, "b" * 40
APPROVED = IssueApproved(title="Fix total", body="It is wrong.", author="ann", priority=Priority.HIGH)


@dataclass
class Rig:
    """A rig that is read: somebody for every role, and a person who asks."""

    forge: Bus
    conductor: Bus
    worker: Bus
    person: Bus

    async def ask(self, name: str, request: Struct, answer: type[T]) -> T:
        return await self.person.services.ask("query", name, request, answer)


@pytest.fixture
async def rig(connect: Connect, postgres_url: str) -> AsyncIterator[Rig]:
    rig = Rig(*[await connect(role) for role in (Actor.GITHUB, Actor.CONDUCTOR, Actor.DEV_E, Actor.CLI)])
    serving = await connect(Actor.CONDUCTOR, "query")
    projector = await connect(Actor.PROJECTOR)
    async with projecting(projector, postgres_url), answering(serving, postgres_url):
        yield rig


async def worked(rig: Rig) -> int:
    """One issue, whose first push failed its checks; the position of the last fact."""
    await say(rig.forge, RepositoryAdded(clone_url="/srv/shop", check="make test", by="ann"))
    await say(
        rig.forge,
        RepositoryConfigured(base_branch="main", base_sha=BASE, clone_url="/srv/shop", check="make test"),
    )
    await say(rig.forge, APPROVED)
    await say(rig.worker, AgentJoined(boot="b1", role="dev-e", provider="scripted", slots=2, version="0.1.0"))
    await decide(rig.conductor, assigned())
    await say(rig.worker, started())
    await say(rig.worker, pushed(head=HEAD))
    await say(
        rig.forge,
        PullRequestOpened(pull_request=1, url="/srv/shop", branch="rig/1-fix", head_sha=HEAD, author="dev-e"),
    )
    failed = (FailedCheck(name="check", conclusion=Conclusion.FAILURE, excerpt="test_total\nfailed"),)
    return await say(rig.forge, ChecksFailed(head_sha=HEAD, base_sha=BASE, failed=failed))


async def test_status_says_where_the_log_and_the_read_side_are_and_what_there_is(rig: Rig) -> None:
    last = await worked(rig)
    status = await rig.ask("status", StatusRequest(wait_for=last), Status)
    assert (status.position, status.log_position, status.behind, status.skipped) == (last, last, 0, 0)
    assert status.issues == {IssueState.CHANGES_REQUESTED: 1}
    assert status.agents == 1
    (shop,) = status.repositories
    assert (shop.repository, shop.configured, shop.base_branch, shop.check) == (SHOP, True, "main", "make test")


async def test_a_rig_in_which_nothing_happened_yet_answers_too(rig: Rig) -> None:
    status = await rig.ask("status", StatusRequest(), Status)
    assert (status.position, status.log_position, status.issues, status.repositories) == (0, 0, {}, ())
    assert (await rig.ask("issues", IssuesRequest(), Issues)).issues == ()


async def test_everything_about_one_issue(rig: Rig) -> None:
    last = await worked(rig)
    issue = await rig.ask("issue", IssueRequest(issue=ISSUE, wait_for=last), IssueDetail)
    assert (issue.state, issue.title, issue.body) == (IssueState.CHANGES_REQUESTED, "Fix total", "It is wrong.")
    assert (issue.priority, issue.author) == (Priority.HIGH, "ann")
    assert (issue.epoch, issue.run, issue.agent, issue.attempts) == (1, "r-1", None, 1)
    assert (issue.pull_request, issue.branch, issue.head_sha) == (1, "rig/1-fix", HEAD)
    assert issue.checks is not None
    assert (issue.checks.passed, issue.checks.base_sha) == (False, BASE)
    assert issue.findings == "check: failure\ntest_total\nfailed"
    assert [(entry.actor, entry.summary) for entry in issue.timeline] == [
        ("github", "approved for ann: Fix total (high)"),
        ("conductor", "assigned to dev-e: epoch 1, attempt 1, new"),
        ("dev-e", "dev-e-1 works on it: epoch 1, run r-1, coder scripted"),
        ("dev-e", "pushed bbbbbbbbb (1 file, 2 lines): Fix the total"),
        ("github", "pull request 1 opened: rig/1-fix at bbbbbbbbb"),
        ("github", "checks failed for bbbbbbbbb on aaaaaaaaa: check (failure)"),
    ]
    assert issue.earlier == 0


async def test_of_a_long_history_the_newest_events_are_told_and_the_rest_counted(rig: Rig) -> None:
    last = await worked(rig)
    issue = await rig.ask("issue", IssueRequest(issue=ISSUE, timeline=2, wait_for=last), IssueDetail)
    assert [entry.type for entry in issue.timeline] == [
        "rig.issue.pull_request_opened.v1",
        "rig.issue.checks_failed.v1",
    ]
    assert issue.earlier == 4


async def test_agents_are_shown_with_what_they_are_busy_with(rig: Rig) -> None:
    await say(rig.forge, APPROVED)
    await say(rig.worker, AgentJoined(boot="b1", role="dev-e", provider="scripted", slots=2, version="0.1.0"))
    await decide(rig.conductor, assigned())
    at_work = await say(rig.worker, started())
    (agent,) = (await rig.ask("agents", AgentsRequest(wait_for=at_work), Agents)).agents
    assert (agent.name, agent.role, agent.slots, agent.busy, agent.left) == ("dev-e-1", "dev-e", 2, (ISSUE,), None)
    await say(rig.forge, Stopped(by="ann"))
    left = await say(rig.worker, AgentLeft(boot="b1", reason=LeaveReason.STOPPED))
    (agent,) = (await rig.ask("agents", AgentsRequest(wait_for=left), Agents)).agents
    assert agent.busy == ()
    assert agent.left is not None


async def test_issues_come_in_pages_and_by_repository_and_state(rig: Rig) -> None:
    everywhere = [IssueRef("demo", repo, number) for number in range(1, 5) for repo in ("shop", "site")]
    for issue in everywhere:
        await say(rig.forge, APPROVED, issue=issue, id=str(issue))
    last = await say(rig.forge, Stopped(by="ann"))

    async def pages(**wanted: object) -> list[list[IssueRef]]:
        found, after = list[list[IssueRef]](), 0
        while True:
            page = await rig.ask("issues", IssuesRequest(after=after, limit=3, wait_for=last, **wanted), Issues)
            found.append([line.issue for line in page.issues])
            if page.next is None:
                return found
            after = page.next

    assert await pages() == [everywhere[:3], everywhere[3:6], everywhere[6:]]
    assert await pages(repository=RepoRef("demo", "site")) == [everywhere[1:7:2], everywhere[7:]]
    assert await pages(state=IssueState.STOPPED) == [[ISSUE]]
    assert await pages(repository=RepoRef("demo", "site"), state=IssueState.STOPPED) == [[]]


async def test_dead_letters_come_in_pages_and_by_state_and_message(rig: Rig, connect: Connect) -> None:
    projector = await connect(Actor.PROJECTOR)
    for number in range(1, 6):
        await say(rig.forge, APPROVED, issue=IssueRef("demo", "shop", number))
    async for batch in replay(projector.connection, ("rig.>",)):
        for message in batch:
            await projector.dead.bury(PROJECTED, message, f"odd {message.position}")
    await rig.person.dead.drop(2, by="ann", reason="no")

    async def ask(**wanted: object) -> DeadLetterPage:
        return await rig.ask("dead_letters", DeadLettersRequest(**wanted), DeadLetterPage)

    while (page := await ask(limit=2)).dead_position < 6:
        pass
    assert ([(one.id, one.position, one.state) for one in page.letters], page.next) == (
        [(1, 1, LetterState.OPEN), (2, 2, LetterState.DROPPED)],
        2,
    )
    assert ([one.id for one in (await ask(after=2)).letters], (await ask(after=2)).next) == ([3, 4, 5], None)
    assert [one.id for one in (await ask(state=LetterState.OPEN)).letters] == [1, 3, 4, 5]
    (third,) = (await ask(about=3)).letters
    assert (third.stream, third.consumer, third.reason, third.by) == ("RIG", "projector", "odd 3", None)
    assert (await ask(state=LetterState.DROPPED)).letters[0].because == "no"
    status = await rig.ask("status", StatusRequest(), Status)
    assert (status.dead_letters, status.left_out, status.left_out_first) == (4, 0, ())


async def test_an_unknown_issue_is_refused_by_name(rig: Rig) -> None:
    with pytest.raises(Refused, match="there is no issue demo/shop#1 "):
        await rig.ask("issue", IssueRequest(issue=ISSUE), IssueDetail)


async def test_a_request_that_is_none_is_refused_with_the_reason(rig: Rig) -> None:
    with pytest.raises(Refused, match=r"not a IssuesRequest: .*\$\.limit"):
        await rig.ask("issues", IssuesRequest(limit=1_000), Issues)


async def test_what_the_read_side_has_not_read_yet_is_not_waited_for_for_ever(
    rig: Rig, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conductor.moments.WAIT_SECONDS", 0.05)
    last = await say(rig.forge, APPROVED)
    await reached(postgres_url, last)
    with pytest.raises(Refused, match=f"is at position {last} of the log, not yet at {last + 1}"):
        await rig.ask("status", StatusRequest(wait_for=last + 1), Status)


async def test_an_answer_is_never_of_an_older_copy_than_was_asked_for(rig: Rig, postgres_url: str) -> None:
    last = await worked(rig)
    assert (await rig.ask("status", StatusRequest(wait_for=last), Status)).position == last
    async with database(postgres_url) as db:
        await db.execute("update rig.projection set position = 1")
    with pytest.raises(Refused, match=f"is at position 1 of the log, not yet at {last}"):
        await rig.ask("status", StatusRequest(wait_for=last), Status)


async def test_with_postgres_away_it_says_so_and_answers_again_when_it_is_back(
    connect: Connect, tmp_path: Path
) -> None:
    forge, person = await connect(Actor.GITHUB), await connect(Actor.CLI)
    serving = await connect(Actor.CONDUCTOR, "query")
    async with (
        embedded_postgres(tmp_path / "postgres") as server,
        projecting(forge, server.url),
        answering(serving, server.url) as life,
    ):
        last = await say(forge, APPROVED)
        await reached(server.url, last)
        await server.kill()
        await until(lambda: not life.checks["postgres"].ok)
        with pytest.raises(Refused, match="the read side is away: PostgreSQL: "):
            await person.services.ask("query", "status", StatusRequest(), Status)
        assert not life.is_ready
        await server.start()
        await until(lambda: life.is_ready)
        await reached(server.url, last)
        status = await person.services.ask("query", "status", StatusRequest(wait_for=last), Status)
        assert status.issues == {IssueState.QUEUED: 1}
        await server.kill()  # its data is thrown away: no need to wait until it is on disk
