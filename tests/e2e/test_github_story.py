"""The story of the whole rig, at GitHub: a labelled issue ends as a merged pull request and a closed issue.

GitHub is `emulate` behind an edge (tests/support/hub): what comes from it comes as webhooks over HTTP, signed, and what
goes there goes through its REST API and its git. What a person, a reviewer and a CI do there, the test does.
"""

import asyncio
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from conductor.replay import history_of, replay
from schemas import (
    BudgetReserved,
    BudgetSettled,
    ChecksFailed,
    ChecksPassed,
    DeadlineSet,
    Decided,
    EffectRecorded,
    IssueApproved,
    IssueAssigned,
    IssueDone,
    IssueRef,
    Merged,
    MergeRequested,
    PullRequestOpened,
    PullRequestUpdated,
    Recorded,
    ReviewPassed,
    ReviewRequested,
    TokensUsed,
    WorkPushed,
    WorkStarted,
)
from tests.support.bridge import config
from tests.support.hub import Delivery, Hub, hub
from tests.support.rig import rig
from tests.support.shop import shop
from tests.support.watched import alarms

pytestmark = pytest.mark.peer

ISSUE = IssueRef("acme", "shop", 1)
API = "/repos/acme/shop"
SCRIPT = """
[[issue]]
[[issue.attempt]]
step = [{ do = "write", path = "total.txt", content = "wrong\\n" }]
[[issue.attempt]]
step = [{ do = "write", path = "total.txt", content = "right\\n" }]
"""
ASIDE = (Decided, DeadlineSet, EffectRecorded, BudgetReserved, BudgetSettled, TokensUsed, ReviewRequested, ReviewPassed)
"""How everybody keeps their place and their money, and the review, which goes beside the checks."""
STORY = (
    (IssueApproved, "github"),
    (IssueAssigned, "conductor"),
    (WorkStarted, "dev-e"),
    (WorkPushed, "dev-e"),
    (PullRequestOpened, "github"),
    (ChecksFailed, "github"),
    (IssueAssigned, "conductor"),
    (WorkStarted, "dev-e"),
    (WorkPushed, "dev-e"),
    (PullRequestUpdated, "github"),
    (ChecksPassed, "github"),
    (MergeRequested, "conductor"),
    (Merged, "github"),
    (IssueDone, "conductor"),
)


async def test_a_labelled_issue_ends_as_a_merged_pull_request_and_a_closed_issue(tmp_path: Path) -> None:
    with hub(tmp_path / "git", files={"total.txt": "broken\n"}) as github:
        maria = github.person("maria")
        configured = config(github)
        github.deliver_to(f"http://{configured.http}/webhooks/github")
        async with shop(tmp_path, script=SCRIPT, github=configured) as running, colleagues(github):
            await put_under_the_rig(tmp_path / "home", "--check", "true", "--reviewer", "rita")
            maria.post(f"{API}/issues", {"title": "The total is wrong", "body": "It should be right."})
            maria.post(f"{API}/issues/1/labels", {"labels": ["agent-ready"]})
            end = await running.end_of(ISSUE)
            assert isinstance(end.event.data, IssueDone)
            delivered = github.log[1:]  # the first was before there was a rig
            await asyncio.to_thread(github.wait_forwarded)
            assert {delivery.status_code for delivery in delivered} == {202}, "every webhook came over HTTP, signed"
            log = await running.log()

        assert tuple((type(item.event.data), item.event.actor) for item in log if of_the_story(item)) == STORY
        assert replay(history_of(log)).differences == ()
        assert alarms(log) == [], "the watch was content all the time"
        (merged,) = (item.event.data for item in log if isinstance(item.event.data, Merged))
        (passed,) = (item for item in log if isinstance(item.event.data, ReviewPassed))
        (asked,) = (item for item in log if isinstance(item.event.data, MergeRequested))
        assert isinstance(passed.event.data, ReviewPassed)
        assert (passed.event.data.reviewer, passed.event.data.head_sha) == ("rita", merged.head_sha)
        assert passed.position < asked.position
        pull = maria.get(f"{API}/pulls/2")
        assert (pull["merged"], pull["merge_commit_sha"], pull["user"]["login"]) == (True, merged.merge_sha, "rig[bot]")
        assert text_at(github, "main") == "right"
        assert maria.get(f"{API}/issues/1")["state"] == "closed"
        commented = maria.get(f"{API}/issues/1/comments")
        assert [each["user"]["login"] for each in commented] == ["rig[bot]"], "one comment, which lives"


async def put_under_the_rig(home: Path, *options: str) -> None:
    """`rig repo add`, as a person types it."""
    added = await asyncio.to_thread(rig, home, "repo", "add", "acme/shop", "--github", *options)
    assert added.returncode == 0, added.stderr


def of_the_story(item: Recorded) -> bool:
    return item.event.about == ISSUE and not isinstance(item.event.data, ASIDE)


def text_at(github: Hub, commit: str) -> str:
    """What total.txt says there."""
    shown = ["git", "show", f"{commit}:total.txt"]
    return subprocess.run(
        shown, cwd=github.path("acme/shop"), capture_output=True, text=True, check=True
    ).stdout.strip()


# ── who else works there ─────────────────────────────────────────────────────


@asynccontextmanager
async def colleagues(github: Hub) -> AsyncGenerator[None]:
    """A CI that checks every head of a pull request, and rita, who approves what is right once she is asked to."""

    async def work() -> None:
        seen, approved = 0, set[str]()
        while True:
            for delivery in github.log[seen:]:
                seen += 1
                react(github, delivery, approved)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def react(github: Hub, delivery: Delivery, approved: set[str]) -> None:
    if delivery.event != "pull_request":
        return
    pull: dict[str, Any] = delivery.parsed["pull_request"]
    action, head = delivery.parsed["action"], pull["head"]["sha"]
    right = text_at(github, head) == "right"
    if action in ("opened", "synchronize"):
        told = {"title": "The total", "summary": "It is as it should be." if right else "It is not right yet."}
        run = {"name": "total", "head_sha": head, "status": "completed", "output": told}
        github.person("ci").post(f"{API}/check-runs", run | {"conclusion": "success" if right else "failure"})
    asked = "rita" in [reviewer["login"] for reviewer in pull["requested_reviewers"]]
    if action in ("synchronize", "review_requested") and asked and right and head not in approved:
        approved.add(head)
        github.person("rita").post(f"{API}/pulls/{pull['number']}/reviews", {"event": "APPROVE", "body": "Good."})
