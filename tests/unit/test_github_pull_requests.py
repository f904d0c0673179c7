"""Pull requests on GitHub, told on: merged, closed, taken back; and the verdicts of reviewers."""

from typing import Any

import pytest

from bridges.github import payloads
from bridges.github.said import Look, ReviewComments
from bridges.github.translate import asks, of_pull_request
from bridges.github.translate.reading import decoded
from schemas import (
    Event,
    IssueRef,
    Merged,
    PullRequestClosed,
    Reverted,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    ReviewScope,
    ReviewWanted,
)
from tests.support.github_payloads import (
    ADA,
    BOB,
    REPOSITORY,
    at,
    body,
    issue,
    issues,
    merged,
    pull,
    pull_request,
    review,
    sha,
)
from tests.support.translated import ISSUE, WEB, Desk, desk, opened, pushed

MERGED = Merged(head_sha=sha("head"), base_sha=sha("base"), merge_sha=sha("merge"))
FORK = {**REPOSITORY, "full_name": "mallory/web"}


def at_work(**fields: Any) -> Desk:
    """Issue 7 is wanted, and its pull request is number 12."""
    it = desk(**fields)
    it.deliver("issues", issues("opened", issue(7, "agent-ready")))
    opened(it)
    return it


def test_a_merge_is_told_once_whoever_tells_it_first() -> None:
    it = at_work()
    rest = decoded(body(merged()), payloads.PullRequest)
    assert it.take(of_pull_request(WEB, rest, it.heard)) == [MERGED]  # the rig's own call
    assert it.deliver("pull_request", pull_request("closed", merged())) == []
    other = at_work()
    assert other.deliver("pull_request", pull_request("closed", merged())) == [MERGED]
    assert other.last.said[0].id in it.heard.said


def test_a_change_of_the_rigs_own_is_looked_at() -> None:
    it = at_work()
    assert it.deliver("pull_request", pull_request("synchronize", pull(second=130))) == []
    assert it.last.looks == (Look(ISSUE),)
    it.deliver("pull_request", pull_request("labeled", pull(second=131)))
    assert it.last.looks == ()
    assert it.last.skipped == "labeled: nothing that the rig has not heard"


def test_a_branch_of_ours_is_ours_before_anybody_said_so_and_in_no_fork() -> None:
    it = desk()
    it.deliver("issues", issues("opened", issue(7, "agent-ready")))
    pushed(it)
    it.deliver("pull_request", pull_request("opened", pull()))
    assert it.last.looks == (Look(ISSUE),)
    there = {"ref": "rig/7-the-total-is-wrong", "sha": sha("head"), "repo": FORK}
    assert it.deliver("pull_request", pull_request("closed", merged(13, head=there, body=""))) == []
    mine = {"ref": "rig/7-the-total-is-wrong", "sha": sha("somebody's"), "repo": REPOSITORY}
    assert it.deliver("pull_request", pull_request("closed", merged(14, head=mine, body=""))) == []
    assert it.last.skipped == "merged, and of no issue's"


def test_a_pull_request_that_is_closed_is_told_unless_it_was_opened_again() -> None:
    it = at_work()
    closed = pull_request("closed", pull(second=200, state="closed", closed_at=at(200)))
    assert it.deliver("pull_request", closed) == [PullRequestClosed(pull_request=12)]
    assert it.deliver("pull_request", closed) == []
    other = at_work()
    other.deliver("pull_request", pull_request("reopened", pull(second=210)))
    assert other.deliver("pull_request", closed) == []
    assert other.last.skipped is not None


@pytest.mark.parametrize(
    "text", ["Fixes #7", "this closes: acme/web#7.", "resolved https://github.com/acme/web/issues/7"]
)
def test_a_persons_merge_that_closes_an_approved_issue_is_its_merge(text: str) -> None:
    it = desk()
    it.deliver("issues", issues("opened", issue(7, "agent-ready")))
    mine = {"ref": "fix", "sha": sha("head"), "repo": FORK}
    told = merged(20, head=mine, user=BOB, body=text)
    assert it.deliver("pull_request", pull_request("closed", {**told, "base": {**told["base"], "ref": "dev"}})) == []
    assert it.deliver("pull_request", pull_request("closed", told)) == [MERGED]
    assert it.deliver("pull_request", pull_request("closed", told)) == []


@pytest.mark.parametrize("text", ["See #7", "```\nFixes #7\n```", "Fixes #8", "Fixes acme/api#7", "prefixes #7"])
def test_another_persons_merge_is_nobodys(text: str) -> None:
    it = desk()
    it.deliver("issues", issues("opened", issue(7, "agent-ready")))
    told = merged(20, head={"ref": "fix", "sha": sha("head"), "repo": FORK}, user=BOB, body=text)
    assert it.deliver("pull_request", pull_request("closed", told)) == []


def landed() -> Desk:
    it = at_work()
    it.deliver("pull_request", pull_request("closed", merged()))
    return it


@pytest.mark.parametrize(
    "told",
    [
        {"title": 'Revert "Sum the lines"', "body": "Reverts acme/web#12"},
        {"title": 'Revert "Sum the lines"', "body": "", "head": "revert-12-rig/7-the-total-is-wrong"},
        {"title": "Back to what it was", "body": f"Because.\n\nThis reverts commit {sha('merge')}."},
    ],
)
def test_a_merge_that_takes_another_out_is_told(told: dict[str, Any]) -> None:
    it = landed()
    head = {"ref": told.get("head", "undo"), "sha": sha("undo"), "repo": REPOSITORY}
    revert = pull_request("closed", merged(30, merge="undone", user=BOB, **{**told, "head": head}))
    said = Reverted(merge_sha=sha("merge"), revert_sha=sha("undone"), by="bob")
    assert it.deliver("pull_request", revert) == [said]
    assert it.deliver("pull_request", revert) == []


def test_a_revert_that_is_told_of_again_leaves_what_landed_after_it() -> None:
    it = landed()

    def revert(action: str, second: float) -> bytes:
        told = {"title": 'Revert "Sum the lines"', "body": "Reverts acme/web#12", "user": BOB, "merged_at": at(400)}
        told |= {"head": {"ref": "revert-12-x", "sha": sha("undo"), "repo": REPOSITORY}}
        return pull_request(action, merged(30, merge="undone", second=second, **told))

    assert it.deliver("pull_request", revert("closed", 400)) != []
    opened(it, "again", number=31, second=500)
    head = {"ref": "rig/7-the-total-is-wrong", "sha": sha("again"), "repo": REPOSITORY}
    assert it.deliver("pull_request", pull_request("closed", merged(31, merge="anew", second=600, head=head))) != []
    assert it.deliver("pull_request", revert("closed", 400)) == []
    assert it.deliver("pull_request", revert("labeled", 700)) == []


def test_a_title_alone_takes_nothing_out() -> None:
    it = landed()
    told = merged(
        30, merge="undone", user=BOB, title='Revert "Sum the lines"', body="", head={"ref": "x", "sha": sha("x")}
    )
    assert it.deliver("pull_request", pull_request("closed", told)) == []


def test_a_push_that_takes_a_merge_out_is_told() -> None:
    it = landed()

    def push(ref: str, message: str) -> bytes:
        told = {"ref": ref, "repository": {**REPOSITORY, "pushed_at": 1_772_442_900}, "sender": BOB}
        return body({**told, "commits": [{"id": sha("undone"), "message": message}]})

    message = f'Revert "Sum the lines (#12)"\n\nThis reverts commit {sha("merge")}.\n'
    assert it.deliver("push", push("refs/heads/topic", message)) == []
    quoted = push("refs/heads/main", f"Sum the lines\n\nThis reverts commit {sha('merge')}.")
    assert it.deliver("push", quoted) == []
    assert it.last.looks == (Look(WEB),)
    said = Reverted(merge_sha=sha("merge"), revert_sha=sha("undone"), by="bob")
    assert it.deliver("push", push("refs/heads/main", message)) == [said]
    assert it.deliver("push", push("refs/heads/main", message)) == []


# ── reviews ──────────────────────────────────────────────────────────────────


def verdict(it: Desk, state: str, **fields: Any) -> list[Event]:
    return it.deliver("pull_request_review", review(state, pull(second=fields.get("second", 200)), **fields))


def test_only_a_reviewer_of_the_repository_gives_verdicts() -> None:
    it = at_work(reviewers=("review-e.bot", "Bob"))
    said = ReviewPassed(pull_request=12, head_sha=sha("head"), reviewer="review-e.bot", summary="")
    assert verdict(it, "approved") == [said]
    assert verdict(it, "approved") == []
    assert verdict(it, "approved", user=ADA, id=802) == []
    assert it.last.skipped == "ada is no reviewer of acme/web"
    (said,) = verdict(it, "changes_requested", user=BOB, id=803, text="No. But I approve of the idea.")
    assert said == ReviewDisputed(
        pull_request=12, head_sha=sha("head"), reviewer="Bob", summary="No. But I approve of the idea."
    )
    (said,) = verdict(it, "commented", user=BOB, id=804, text="APPROVED! Looks good to me.")
    assert isinstance(said, ReviewAbstained)


def test_what_is_said_of_single_lines_comes_with_the_dispute() -> None:
    it = at_work(reviewers=("bob",))
    told = review("CHANGES_REQUESTED", pull(), user=BOB)
    asked = ReviewComments(WEB, 12, 801)
    assert asks("pull_request_review", told, it.heard) == (asked,)
    (said,) = it.deliver("pull_request_review", told, {asked: ("total.py:3: off by one", " ", "x" * 5_000)})
    assert isinstance(said, ReviewDisputed)
    assert said.comments[0] == "total.py:3: off by one"
    assert [len(comment) for comment in said.comments] == [22, 1_000]
    assert asks("pull_request_review", told, it.heard) == ()
    assert asks("pull_request_review", review("approved", pull(), user=BOB), it.heard) == ()


def test_an_approval_that_is_dismissed_counts_no_more() -> None:
    it = at_work(reviewers=("review-e.bot",))
    verdict(it, "approved", text="Fine.")
    (said,) = verdict(it, "dismissed", second=200, text="Fine.")
    assert said == ReviewDisputed(
        pull_request=12,
        head_sha=sha("head"),
        reviewer="review-e.bot",
        summary="the approval was dismissed; it read: Fine.",
    )
    other = at_work(reviewers=("review-e.bot",))
    (said,) = verdict(other, "dismissed")  # before anybody heard of the approval
    assert isinstance(said, ReviewAbstained)
    assert verdict(other, "approved") == []


def test_people_may_have_their_own_pull_requests_reviewed() -> None:
    it = desk(reviewers=("ada", "review-e"), reviews=ReviewScope.LABELLED)
    mine = {"head": {"ref": "fix", "sha": sha("mine"), "repo": FORK}, "user": ADA, "body": ""}
    assert it.deliver("pull_request", pull_request("opened", pull(30, **mine))) == []
    wanted = pull(30, **mine, labels=[{"name": "Needs-Review"}], second=140)
    said = ReviewWanted(
        pull_request=30,
        head_sha=sha("mine"),
        reviewer="review-e",
        author="ada",
        title="Sum the lines",
        url="https://github.com/acme/web/pull/30",
    )
    assert it.deliver("pull_request", pull_request("labeled", {**wanted, "draft": True})) == []
    assert it.deliver("pull_request", pull_request("labeled", wanted)) == [said]
    assert it.last.said[0].draft.about == IssueRef("acme", "web", 30)
    assert it.deliver("pull_request", pull_request("edited", {**wanted, "updated_at": at(150), "title": "Other"})) == []
    newer = {**wanted, "updated_at": at(160), "head": {**wanted["head"], "sha": sha("newer")}}
    assert len(it.deliver("pull_request", pull_request("synchronize", newer))) == 1
    everybody = desk(reviewers=("review-e",), reviews=ReviewScope.ALL)
    assert everybody.deliver("pull_request", pull_request("opened", pull(30, **mine))) == [said]
    (passed,) = everybody.deliver(
        "pull_request_review", review("approved", pull(30, **mine), user={"login": "Review-E"})
    )
    assert isinstance(passed, ReviewPassed)
    assert everybody.last.said[0].draft.about == IssueRef("acme", "web", 30)
    assert desk(reviewers=("review-e",)).deliver("pull_request", pull_request("opened", pull(30, **mine))) == []
