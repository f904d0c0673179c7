"""Where no delivery tells of it: what GitHub has open is compared with what was said of it."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from bridges.github.api import GitHub
from bridges.github.pace import Pace
from bridges.github.reconcile import Reconciler
from bridges.github.said import Answer, BlockedBy, Question, ReviewComments, Translation
from bridges.github.tokens import Token
from schemas import IssueApproved, IssueRef, IssueRevised, RepoRef, ReviewDisputed, ReviewScope, ReviewWanted
from tests.support.github_payloads import ADA, REVIEW_BOT, at, issue, pull, sha
from tests.support.scripted import PlayedClock, Says, Scripted, scripted
from tests.support.translated import ISSUE, WEB, Desk, desk, opened

ISSUES = "/repos/acme/web/issues?state=open&labels=agent-ready&per_page=100"
PULLS = "/repos/acme/web/pulls?state=open&per_page=100"


class Bench:
    """A reconciler, a GitHub that is played, and what came of it."""

    def __init__(self, it: Desk, github: GitHub, server: Scripted) -> None:
        self.desk = it
        self.server = server
        self.looked: list[IssueRef | RepoRef] = []
        self.known: dict[Question, Answer] = {}
        self.asked: list[Question] = []
        self._reconciler = Reconciler(github, it.heard, answers=self._answers, tell=self._tell, look=self.looked.append)

    def open(self, *, issues: list[dict[str, Any]] | None = None, pulls: list[dict[str, Any]] | None = None) -> None:
        """What GitHub has open."""
        self.server.on("GET", ISSUES, Says(body=issues or []))
        self.server.on("GET", PULLS, Says(body=pulls or []))

    async def reconcile(self) -> int:
        self.looked.clear()
        return await self._reconciler.reconcile(WEB)

    async def _answers(self, questions: Iterable[Question]) -> dict[Question, Answer]:
        asked = list(questions)
        self.asked += asked
        return {question: self.known[question] for question in asked}

    async def _tell(self, found: Translation) -> list[str]:
        self.desk.take(found)
        return [said.id for said in found.said]


@pytest.fixture
async def github() -> AsyncIterator[tuple[GitHub, Scripted]]:
    async with scripted() as server:
        pace = Pace(tries=1, seed=0)
        async with GitHub.opened(server.url, Token("ghp_x"), pace=pace, clock=PlayedClock()) as client:
            yield client, server


async def test_an_issue_that_no_delivery_told_of_is_approved_once(github: tuple[GitHub, Scripted]) -> None:
    bench = Bench(desk(), *github)
    blocked = issue(8, "agent-ready", issue_dependencies_summary={"total_blocked_by": 1})
    bench.open(issues=[issue(7, "agent-ready"), blocked, issue(9, "agent-ready", pull_request={"url": "https://x"})])
    bench.known[BlockedBy(IssueRef("acme", "web", 8))] = ("acme/web#7",)
    assert await bench.reconcile() == 2
    first, second = bench.desk.said
    assert isinstance(first, IssueApproved)
    assert isinstance(second, IssueApproved)
    assert second.depends_on == (ISSUE,)
    assert bench.looked == [ISSUE, IssueRef("acme", "web", 8), WEB]
    assert await bench.reconcile() == 0
    assert len(bench.desk.said) == 2


async def test_what_changed_is_told_and_what_is_not_listed_any_more_is_looked_at(
    github: tuple[GitHub, Scripted],
) -> None:
    bench = Bench(desk(), *github)
    bench.open(issues=[issue(7, "agent-ready"), issue(8, "agent-ready")])
    await bench.reconcile()
    bench.open(issues=[issue(7, "agent-ready", second=60, title="The sum is wrong")])
    assert await bench.reconcile() == 1
    assert bench.desk.said[2:] == [IssueRevised(title="The sum is wrong")]
    assert bench.looked == [ISSUE, IssueRef("acme", "web", 8), WEB]


async def test_verdicts_on_what_the_rig_has_open_are_told_and_its_checks_looked_at(
    github: tuple[GitHub, Scripted],
) -> None:
    it = desk(reviewers=("review-e.bot",))
    bench = Bench(it, *github)
    bench.open(issues=[issue(7, "agent-ready")])
    await bench.reconcile()
    opened(it)
    review = {"id": 801, "user": REVIEW_BOT, "state": "CHANGES_REQUESTED", "body": "no", "submitted_at": at(200)}
    bench.open(issues=[issue(7, "agent-ready")], pulls=[pull()])
    reviews = [review | {"commit_id": sha("head")}, review | {"commit_id": sha("head"), "user": ADA, "id": 802}]
    bench.server.on("GET", "/repos/acme/web/pulls/12/reviews?per_page=100", Says(body=reviews))
    bench.known[ReviewComments(WEB, 12, 801)] = ("total.py:3: why?",)
    assert await bench.reconcile() == 1
    (said,) = bench.desk.said[1:]
    assert isinstance(said, ReviewDisputed)
    assert (said.reviewer, said.comments) == ("review-e.bot", ("total.py:3: why?",))
    assert set(bench.looked) == {ISSUE, WEB}
    assert await bench.reconcile() == 0


async def test_somebodys_pull_request_is_reviewed_where_that_is_wanted(github: tuple[GitHub, Scripted]) -> None:
    it = desk(reviewers=("review-e.bot",), reviews=ReviewScope.LABELLED)
    bench = Bench(it, *github)
    theirs = pull(20, user=ADA, body="") | {"head": {"ref": "fix", "sha": sha("theirs"), "repo": None}}
    bench.open(pulls=[theirs | {"labels": [{"name": "needs-review"}]}, theirs | {"number": 21}])
    bench.server.on("GET", "/repos/acme/web/pulls/20/reviews?per_page=100", Says(body=[]))
    assert await bench.reconcile() == 1
    (said,) = it.said
    assert isinstance(said, ReviewWanted)
    assert said.pull_request == 20


async def test_one_that_is_not_under_the_rig_is_left_alone(github: tuple[GitHub, Scripted]) -> None:
    it = Desk()
    assert await Bench(it, *github).reconcile() == 0
    assert github[1].asked == []
