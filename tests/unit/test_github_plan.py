"""What the GitHub bridge does next, told as logs: pure, so every case is a few lines."""

import pytest

from bridges.github.courtesy import Assign, DeleteBranches, SetLabel, SetStatus, courtesy
from bridges.github.plan import Close, CloseIssue, Configure, Look, Merge, Refuse, RequestReview, ShowPush
from bridges.github.status_text import Label, Report
from schemas import (
    Actor,
    AssignReason,
    ChecksFailed,
    EffectRecorded,
    EscalationReason,
    Event,
    IssueApproved,
    IssueAssigned,
    IssueEscalated,
    IssueWithdrawn,
    MergeConflicted,
    Merged,
    MergeRefusal,
    MergeRefused,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    RepositoryAdded,
    RepositoryRemoved,
    Reverted,
    ReviewRequested,
    ReviewWanted,
    Stopped,
)
from tests.support.due import ADDED, BASE, CONFIGURED, FAILED, HEAD, HEAD_2, ISSUE, MERGE, MERGED, PASSED, SHOP, Log
from tests.support.saying import assigned, pushed, started


@pytest.fixture
def log() -> Log:
    return Log()


# ── repositories ─────────────────────────────────────────────────────────────


def test_a_repository_is_looked_at_when_it_was_added_and_when_it_may_have_changed(log: Log) -> None:
    added = log.say(Actor.CLI, ADDED, SHOP)
    assert log.due(about=SHOP) == Configure(added, SHOP, ADDED, None, "nothing")
    by = log.say(Actor.GITHUB, CONFIGURED, SHOP, cause=added)
    assert log.due(about=SHOP) is None
    assert log.due(3, SHOP) == Configure(by, SHOP, ADDED, CONFIGURED, by, 3)


def test_the_local_forges_repositories_and_removed_ones_are_not_served(log: Log) -> None:
    log.shown()
    log.ask_merge()
    assert isinstance(log.due(), Merge)
    log.say(Actor.CLI, RepositoryRemoved(by="ada"), SHOP)
    assert log.due() is None
    log.say(Actor.CLI, RepositoryAdded(clone_url="/repos/shop", check="c", by="ada"), SHOP)
    assert (log.due(), log.due(about=SHOP), courtesy(log.known, ISSUE)) == (None, None, None)


# ── pull requests ────────────────────────────────────────────────────────────


def test_the_owners_push_becomes_a_pull_request_once(log: Log) -> None:
    log.approve()
    push = log.push()
    step = log.due()
    assert isinstance(step, ShowPush)
    assert (step.cause, step.base_branch, step.push.head, step.shown) == (push, "main", HEAD, None)
    log.open(push)
    assert log.due() is None


def test_a_newer_push_moves_the_pull_request_also_with_the_same_head(log: Log) -> None:
    log.shown()
    push = log.push(2, "r-2")
    step = log.due()
    assert isinstance(step, ShowPush)
    assert step.shown is not None
    assert step.shown.number == 12
    log.say(Actor.GITHUB, PullRequestUpdated(pull_request=12, branch="rig/7-fix-it", head_sha=HEAD), cause=push)
    assert log.due() is None


def test_the_push_of_who_is_not_the_owner_any_more_is_not_shown(log: Log) -> None:
    log.approve()
    log.say(Actor.CONDUCTOR, assigned())
    log.say(Actor.DEV_E, started(1, "r-1", number=7))
    log.say(Actor.DEV_E, started(1, "r-2", number=7))
    log.say(Actor.DEV_E, pushed(1, "r-1", HEAD, 7))
    assert log.due() is None


def test_a_persons_pull_request_for_the_issue_is_not_moved_and_not_closed(log: Log) -> None:
    log.approve()
    log.say(Actor.GITHUB, PullRequestOpened(pull_request=3, url="u", branch="mine", head_sha=HEAD_2, author="olaf"))
    push = log.push()
    step = log.due()
    assert isinstance(step, ShowPush)
    assert step.shown is None
    log.open(push)
    log.say(Actor.CLI, IssueWithdrawn(by="ada"))
    step = log.due()
    assert isinstance(step, Close)
    assert step.pull_request == 12


def test_a_push_that_cannot_be_shown_is_answered_once_and_a_red_check_is_no_such_answer(log: Log) -> None:
    log.approve()
    push = log.push()
    log.say(Actor.GITHUB, ChecksFailed(head_sha=HEAD, base_sha=BASE, failed=(FAILED,)), cause=push)
    assert log.due() is None
    push = log.push(2, "r-2", HEAD_2)
    log.open(push, HEAD_2)
    log.say(Actor.GITHUB, ChecksFailed(head_sha=HEAD_2, base_sha=BASE, failed=(FAILED,)), cause=push)
    log.ask_merge(2, HEAD_2)
    assert isinstance(log.due(), Merge)


def test_a_withdrawn_issues_pull_request_is_closed_once_and_a_new_one_opened_for_new_work(log: Log) -> None:
    log.shown()
    withdrawn = log.say(Actor.CLI, IssueWithdrawn(by="ada"))
    assert log.due() == Close(withdrawn, ISSUE, 12)
    log.say(Actor.GITHUB, PullRequestClosed(pull_request=12))
    assert log.due() is None
    log.say(Actor.CLI, IssueApproved(title="Fix the total", author="ada"))
    log.push(2, "r-2", HEAD_2)
    step = log.due()
    assert isinstance(step, ShowPush)
    assert step.shown is None


# ── checks and reviews ───────────────────────────────────────────────────────


def test_a_look_judges_the_head_that_is_shown_and_no_other(log: Log) -> None:
    push = log.shown()
    step = log.due(5)
    assert isinstance(step, Look)
    assert (step.cause, step.pull_request, step.head, step.known, step.number) == (push, 12, HEAD, None, 5)
    log.say(Actor.GITHUB, PASSED, cause=push)
    step = log.due(6)
    assert isinstance(step, Look)
    assert step.known is not None
    assert step.known.said == PASSED
    log.say(Actor.CONDUCTOR, assigned(2, 2))
    step = log.due(7)
    assert isinstance(step, Look)
    assert (step.pull_request, step.head) == (12, None), "nobody's head at the moment, and the pull request is open"


def test_a_reviewer_is_asked_once_for_each_head(log: Log) -> None:
    log.shown()
    asked = ReviewRequested(epoch=1, pull_request=12, head_sha=HEAD, reviewer="rita", iteration=1)
    id_ = log.say(Actor.CONDUCTOR, asked)
    step = log.due()
    assert isinstance(step, RequestReview)
    assert (step.cause, step.reviewer, step.pull_request) == (id_, "rita", 12)
    log.say(Actor.GITHUB, EffectRecorded(effect="review_requested", key=step.key, outcome="refused: no"))
    assert log.due() is None
    log.say(Actor.CONDUCTOR, asked)
    assert log.due() is None


def test_a_review_that_is_wanted_of_a_persons_pull_request_is_asked_for_once(log: Log) -> None:
    log.serve()
    wanted = ReviewWanted(pull_request=7, head_sha=HEAD, reviewer="rita", author="olaf", title="Mine")
    id_ = log.say(Actor.GITHUB, wanted)
    step = log.due()
    assert isinstance(step, RequestReview)
    assert (step.cause, step.reviewer, step.pull_request) == (id_, "rita", 7)
    log.say(Actor.GITHUB, EffectRecorded(effect="review_requested", key=step.key, outcome="done"))
    assert (log.due(), log.courtesies()) == (None, {})


# ── merging and after it ─────────────────────────────────────────────────────


def test_what_was_asked_for_is_merged_once_wherever_the_base_is(log: Log) -> None:
    log.shown()
    asked = log.ask_merge()
    assert log.due() == Merge(asked, ISSUE, 12, HEAD, BASE, "Fix the total", "main")
    log.say(Actor.GITHUB, MERGED)
    assert log.due() is None
    log.ask_merge()
    assert log.due() is None or isinstance(log.due(), Refuse)


@pytest.mark.parametrize(
    "answer",
    [
        MergeRefused(head_sha=HEAD, base_sha=BASE, reason=MergeRefusal.PROTECTED),
        MergeConflicted(head_sha=HEAD, base_sha=BASE),
    ],
)
def test_a_request_to_merge_is_answered_once_and_may_be_made_again(log: Log, answer: Event) -> None:
    log.shown()
    log.say(Actor.GITHUB, answer, cause=log.ask_merge())
    assert log.due() is None
    log.ask_merge()
    assert isinstance(log.due(), Merge)


@pytest.mark.parametrize(
    ("epoch", "head", "reason"), [(1, HEAD_2, MergeRefusal.HEAD_MOVED), (2, HEAD, MergeRefusal.NOT_OWNER)]
)
def test_what_the_pull_request_does_not_show_is_not_merged(
    log: Log, epoch: int, head: str, reason: MergeRefusal
) -> None:
    log.shown()
    log.ask_merge(epoch, head)
    step = log.due()
    assert isinstance(step, Refuse)
    assert step.reason is reason


@pytest.mark.parametrize(
    "overtaken_by",
    [
        IssueAssigned(epoch=2, role="dev-e", attempt=2, reason=AssignReason.RETRY),
        Stopped(by="ada"),
        IssueWithdrawn(by="ada"),
    ],
)
def test_a_merge_that_was_overtaken_is_refused(log: Log, overtaken_by: Event) -> None:
    log.shown()
    log.ask_merge()
    log.say(Actor.CONDUCTOR if isinstance(overtaken_by, IssueAssigned) else Actor.CLI, overtaken_by)
    step = log.due()
    assert isinstance(step, Refuse)
    assert step.reason is MergeRefusal.NOT_OWNER


def test_an_issue_is_closed_once_it_is_done_and_not_before(log: Log) -> None:
    log.shown()
    log.say(Actor.GITHUB, MERGED)
    assert log.due() is None
    done = log.done()
    assert log.due() == CloseIssue(done, ISSUE, MERGE, "")
    log.say(Actor.GITHUB, EffectRecorded(effect="issue_closed", key=MERGE, outcome="done"))
    assert log.due(4) is None


def test_our_pull_request_is_closed_when_a_persons_did_the_work(log: Log) -> None:
    log.shown()
    log.say(Actor.GITHUB, Merged(head_sha=HEAD_2, base_sha=BASE, merge_sha=MERGE))
    done = log.done()
    assert log.due() == Close(done, ISSUE, 12)


def test_our_pull_request_that_was_merged_with_a_persons_commits_does_not_hold_up_the_issues_end(log: Log) -> None:
    log.shown()
    log.say(Actor.GITHUB, Merged(head_sha=HEAD_2, base_sha=BASE, merge_sha=MERGE))
    done = log.done()
    log.say(Actor.GITHUB, EffectRecorded(effect="pull_request_closed", key=done, outcome="it was merged"))
    assert log.due() == CloseIssue(done, ISSUE, MERGE, "")


def test_what_was_taken_out_again_begins_anew(log: Log) -> None:
    log.shown()
    log.say(Actor.GITHUB, MERGED)
    log.say(Actor.GITHUB, Reverted(merge_sha=MERGE, revert_sha=HEAD_2, by="ada"))
    log.push(2, "r-2", HEAD_2)
    step = log.due()
    assert isinstance(step, ShowPush)
    assert (step.shown, step.merges) == (None, frozenset({MERGE}))


# ── courtesies ───────────────────────────────────────────────────────────────


def test_each_state_is_shown_once_and_the_next_one_again(log: Log) -> None:
    log.approve()
    first = log.courtesies()
    assert first.keys() == {"comment", "label"}
    label = first["label"]
    assert isinstance(label, SetLabel)
    assert label.label is Label.QUEUED
    push = log.push()
    log.open(push)
    second = log.courtesies()
    assert second.keys() == {"comment", "label", "status"}
    status = second["status"]
    assert isinstance(status, SetStatus)
    assert (status.head, status.report) == (HEAD, Report.PENDING)
    assert log.courtesies() == {}


def test_a_merge_that_is_asked_for_again_and_again_changes_no_comment(log: Log) -> None:
    log.shown()
    log.say(Actor.GITHUB, PASSED)
    asked = log.ask_merge()
    log.courtesies()
    refused = MergeRefused(head_sha=HEAD, base_sha=BASE, reason=MergeRefusal.PROTECTED, detail="A review is required")
    log.say(Actor.GITHUB, refused, cause=asked)
    assert log.courtesies().keys() == {"comment"}
    for _ in range(3):
        asked = log.ask_merge()
        assert log.courtesies() == {}
        log.say(Actor.GITHUB, refused, cause=asked)
        assert log.courtesies() == {}


def test_who_is_asked_is_assigned_and_later_not_any_more(log: Log) -> None:
    log.shown()
    log.courtesies()
    log.say(Actor.CONDUCTOR, IssueEscalated(reason=EscalationReason.ATTEMPTS, attempts=3, to="people"))
    step = log.courtesies()["assignee"]
    assert isinstance(step, Assign)
    assert (step.login, step.before) == ("maria", None)
    log.say(Actor.GITHUB, MERGED)
    step = log.courtesies()["assignee"]
    assert isinstance(step, Assign)
    assert (step.login, step.before) == (None, "maria")


def test_branches_of_merged_work_are_deleted_and_those_of_no_other(log: Log) -> None:
    log.shown()
    assert "branches_deleted" not in log.courtesies()
    log.say(Actor.GITHUB, MERGED)
    step = log.courtesies()["branches_deleted"]
    assert isinstance(step, DeleteBranches)
    assert (step.branches, step.heads) == (("rig/7/1-r-1", "rig/7-fix-it"), frozenset({HEAD}))


def test_what_was_withdrawn_before_anybody_saw_it_is_left_alone(log: Log) -> None:
    log.approve()
    log.say(Actor.CLI, IssueWithdrawn(by="ada"))
    assert log.courtesies() == {}
