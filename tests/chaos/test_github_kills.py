"""Killed between a call to GitHub and its record, at every kind of effect: each is there once all the same."""

import asyncio
import re
from collections.abc import Generator
from pathlib import Path

import pytest

from bus.client import NatsConnection
from deploy.embedded.nats import NatsServer
from schemas import (
    Actor,
    ChecksPassed,
    GateApproved,
    GateReason,
    GateTriggered,
    IssueWithdrawn,
    Merged,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    ReviewDisputed,
    ReviewRequested,
)
from tests.support.acting import Connect, Voices, configured
from tests.support.hub import Hub, hub
from tests.support.mortal import Mortal
from tests.support.saying import assigned

pytestmark = pytest.mark.peer
SHOP = "/repos/acme/shop"

LABEL_MADE = ("POST", r"/shop/labels$")
LABELLED = ("POST", r"/issues/\d+/labels$")
UNLABELLED = ("DELETE", r"/issues/\d+/labels/")
COMMENTED = ("POST", r"/issues/\d+/comments$")
COMMENT_EDITED = ("PATCH", r"/issues/comments/\d+$")
BRANCH_MADE = ("POST", r"/git/refs$")
OPENED = ("POST", r"/pulls$")
REPORTED = ("POST", r"/check-runs$")
REPORTED_AGAIN = ("PATCH", r"/check-runs/\d+$")
REVIEW_ASKED = ("POST", r"/requested_reviewers$")
REVIEWED = ("POST", r"/pulls/\d+/reviews$")
UPDATED = ("PATCH", r"/git/refs/heads/rig/\d+-")
ASSIGNED = ("POST", r"/assignees$")
MERGED = ("PUT", r"/merge$")
BRANCH_DELETED = ("DELETE", r"/git/refs/heads/rig/\d+-")
ISSUE_CLOSED = ("PATCH", r"/issues/\d+$")
CLOSED = ("PATCH", r"/pulls/\d+$")

Call = tuple[str, str]
SOME = (COMMENTED, OPENED, MERGED)
ALL = (
    *(LABEL_MADE, LABELLED, UNLABELLED, COMMENTED, COMMENT_EDITED, BRANCH_MADE, OPENED, REPORTED, REPORTED_AGAIN),
    *(REVIEW_ASKED, REVIEWED, UPDATED, ASSIGNED, MERGED, BRANCH_DELETED, ISSUE_CLOSED, CLOSED),
)


@pytest.fixture
def github(tmp_path: Path) -> Generator[Hub]:
    with hub(tmp_path / "git", files={"total.txt": "broken\n"}) as running:
        yield running


@pytest.mark.parametrize("kills", [SOME, pytest.param(ALL, marks=pytest.mark.full)], ids=["some", "all"])
async def test_whatever_it_died_of_each_effect_is_there_once(
    github: Hub, nats: NatsServer, root: NatsConnection, connect: Connect, kills: tuple[Call, ...]
) -> None:
    voices, config = await Voices.of(connect, github), configured(github)
    bridge = Mortal(nats, root, github, config, github.place / "bridge.log")
    for call in kills:
        if call != ISSUE_CLOSED:
            bridge.dies_after(*call)
    github.deliver_to(f"http://{config.http}/webhooks/github")
    async with asyncio.TaskGroup() as group:
        living = group.create_task(bridge.live())
        await _one_that_is_merged(voices, bridge, kills)
        merged = voices.issue
        await _one_that_is_withdrawn(voices)
        github.deliver_to(None)
        living.cancel()
    assert bridge.deaths == len(kills)

    maria, calls = voices.github.person("maria"), voices.github.faults.calls
    for issue in (merged, voices.issue):
        comments = maria.get(f"{SHOP}/issues/{issue.number}/comments")
        assert [comment["user"]["login"] for comment in comments] == ["rig[bot]"]
    pulls = maria.get(f"{SHOP}/pulls?state=all")
    assert sorted(bool(pull["merged_at"]) for pull in pulls) == [False, True]
    assert {pull["state"] for pull in pulls} == {"closed"}
    labels = {label["name"] for label in maria.get(f"{SHOP}/issues/{merged.number}/labels")}
    assert labels == {"agent-ready", "rig: done"}
    for head in {opened.head_sha for opened in await voices.everything(PullRequestOpened)}:
        runs = maria.get(f"{SHOP}/commits/{head}/check-runs")["check_runs"]
        assert [run["name"] for run in runs] == ["rig"]
    assert maria.get(f"{SHOP}/git/matching-refs/heads/rig/{merged.number}") == []

    def made(call: Call) -> int:
        return sum(method == call[0] and re.search(call[1], path) is not None for method, path in calls)

    assert (made(OPENED), made(COMMENTED), made(MERGED)) == (2, 2, 1)
    assert (made(REVIEW_ASKED), made(ASSIGNED), made(ISSUE_CLOSED), made(CLOSED)) == (1, 1, 2, 1)
    assert made(REVIEWED) == 1
    assert len(await voices.everything(PullRequestOpened)) == 2
    assert len(await voices.everything(Merged)) == 1
    assert len(await voices.everything(PullRequestClosed)) == 1


async def _one_that_is_merged(voices: Voices, bridge: Mortal, kills: tuple[Call, ...]) -> None:
    await voices.add_repository()
    await voices.approve()
    await voices.recorded("comment")
    await voices.work()
    opened = await voices.hear(PullRequestOpened)
    await voices.hear(ChecksPassed)
    asked = ReviewRequested(
        epoch=1, pull_request=opened.pull_request, head_sha=opened.head_sha, reviewer="rita", iteration=1
    )
    await voices.say(Actor.CONDUCTOR, asked)
    await voices.recorded("review_requested")
    disputed = ReviewDisputed(
        pull_request=opened.pull_request,
        head_sha=opened.head_sha,
        reviewer="review-e",
        summary="Not yet.",
        comments=("total.txt:1: why?",),
    )
    await voices.say(Actor.REVIEW_E, disputed)
    await voices.recorded("verdict review-e")
    head = await voices.work(2, "r-2")
    await voices.hear(PullRequestUpdated)
    passed = await voices.hear(ChecksPassed, but=lambda said: said.head_sha != head)
    await voices.say(Actor.CONDUCTOR, GateTriggered(reason=GateReason.SIZE, head_sha=head))
    await voices.recorded("assignee", "maria")
    await voices.say(Actor.CLI, GateApproved(reason=GateReason.SIZE, head_sha=head, by="ada", note="seen"))
    await voices.ask_merge(passed, opened.pull_request, 2)
    merged = await voices.hear(Merged)
    await voices.recorded("branches_deleted")
    maria = voices.github.person("maria")
    maria.patch(f"{SHOP}/issues/{voices.issue.number}", {"state": "open"})
    if ISSUE_CLOSED in kills:  # not before: this was such a call, too
        bridge.dies_after(*ISSUE_CLOSED)
    await voices.finish(merged)
    await voices.recorded("issue_closed")
    await voices.recorded("label", "rig: done")


async def _one_that_is_withdrawn(voices: Voices) -> None:
    await voices.approve("Add a note")
    after = await voices.say(Actor.CONDUCTOR, assigned(1))
    await voices.recorded("comment", after=after)
    await voices.work()
    await voices.hear(PullRequestOpened, after=after)
    await voices.hear(ChecksPassed, after=after)
    after = await voices.say(Actor.CLI, IssueWithdrawn(by="ada"))
    await voices.hear(PullRequestClosed, after=after)
    await voices.recorded("label", "-", after=after)
