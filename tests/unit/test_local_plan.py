"""What the local forge does next, told as logs: pure, so every case is a few lines."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from bridges.local.fold import Known
from bridges.local.plan import Check, Close, Count, Inspect, Merge, Refuse, ShowPush, due, leftovers, look_again
from schemas import (
    Actor,
    AssignReason,
    Changes,
    ChecksFailed,
    ChecksPassed,
    Conclusion,
    Draft,
    Event,
    FailedCheck,
    Forge,
    IssueApproved,
    IssueAssigned,
    IssueRef,
    IssueWithdrawn,
    MergeConflicted,
    Merged,
    MergeRefusal,
    MergeRefused,
    MergeRequested,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    Recorded,
    Ref,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
    RetryRequested,
    Reverted,
    Stopped,
    Withdrawal,
    WorkFailed,
    envelope,
)
from schemas.work import FailureKind
from tests.support.saying import assigned, pushed, started

SHOP = RepoRef("demo", "shop")
ISSUE = IssueRef("demo", "shop", 1)
AT = datetime(2030, 1, 1, tzinfo=UTC)
HEAD, HEAD_2, BASE, BASE_2, MERGE = ("9" * 40, "8" * 40, "3" * 40, "4" * 40, "7" * 40)
ADDED = RepositoryAdded(clone_url="/repos/shop", check="make test", by="ada")
CHANGES = Changes(files=1, lines=2, paths=("total.py",))
CONFIGURED = RepositoryConfigured(base_branch="main", base_sha=BASE, clone_url="/repos/shop", check="make test")


class Log:
    """A log in the making: `say` appends and folds."""

    def __init__(self) -> None:
        self.known = Known()
        self.position = 0

    def say(self, actor: Actor, data: Event, about: Ref = ISSUE, *, cause: str | None = None) -> str:
        """Its id: `e<position>`."""
        self.position += 1
        id_ = f"e{self.position}"
        event = envelope(Draft(about=about, data=data, cause=cause), id=id_, actor=actor, source=actor.value, time=AT)
        self.known.apply(Recorded(self.position, AT, event))
        return id_

    def due(self, about: IssueRef | RepoRef = ISSUE) -> object:
        return due(self.known, about)

    def serve(self) -> None:
        added = self.say(Actor.CLI, ADDED, SHOP)
        self.say(Actor.LOCAL, CONFIGURED, SHOP, cause=added)

    def assign(self, epoch: int = 1, run: str = "r1") -> None:
        self.say(Actor.CONDUCTOR, assigned(epoch))
        self.say(Actor.DEV_E, started(epoch, run))

    def push(self, epoch: int = 1, run: str = "r1", head: str = HEAD) -> str:
        return self.say(Actor.DEV_E, pushed(epoch, run, head))

    def open(self, push: str, head: str = HEAD) -> str:
        return self.say(Actor.LOCAL, opened(head), cause=push)

    def up_to_checked(self) -> None:
        """A pull request whose checks have passed."""
        self.serve()
        self.say(Actor.CLI, IssueApproved(title="Fix the total", author="ada"))
        self.assign()
        shown = self.open(self.push())
        self.say(Actor.LOCAL, ChecksPassed(head_sha=HEAD, base_sha=BASE, checks=("check",)), cause=shown)

    def ask_merge(self, epoch: int = 1, head: str = HEAD, base: str = BASE) -> str:
        return self.say(Actor.CONDUCTOR, MergeRequested(epoch=epoch, pull_request=1, head_sha=head, base_sha=base))


MERGED = Merged(head_sha=HEAD, base_sha=BASE, merge_sha=MERGE)
REVERTED = Reverted(merge_sha=MERGE, revert_sha=HEAD_2, by="ada")


def opened(head: str) -> PullRequestOpened:
    return PullRequestOpened(
        pull_request=1, url="u", branch="rig/1-fix-it", head_sha=head, author="dev-e", changes=CHANGES
    )


def updated(head: str) -> PullRequestUpdated:
    return PullRequestUpdated(pull_request=1, branch="rig/1-fix-it", head_sha=head, changes=CHANGES)


def refused(reason: MergeRefusal) -> MergeRefused:
    return MergeRefused(head_sha=HEAD, base_sha=BASE, reason=reason)


@pytest.fixture
def log() -> Log:
    return Log()


# ── repositories ─────────────────────────────────────────────────────────────


def test_a_repository_that_was_added_is_looked_at_once(log: Log) -> None:
    added = log.say(Actor.CLI, ADDED, SHOP)
    assert log.due(SHOP) == Inspect(added, SHOP, ADDED)
    log.say(Actor.LOCAL, CONFIGURED, SHOP, cause=added)
    assert log.due(SHOP) is None


def test_a_repository_that_was_added_anew_is_looked_at_anew(log: Log) -> None:
    log.serve()
    again = log.say(Actor.CLI, ADDED, SHOP)
    assert log.due(SHOP) == Inspect(again, SHOP, ADDED)


def test_at_the_start_a_known_repository_is_looked_at_for_changes(log: Log) -> None:
    log.serve()
    look = look_again(log.known.repositories[SHOP])
    assert look == Inspect("e2", SHOP, ADDED, CONFIGURED)
    log.say(Actor.CLI, ADDED, SHOP)
    assert look_again(log.known.repositories[SHOP]) is None, "it is looked at anyway"


def test_a_repository_is_looked_at_again_when_its_base_is_said_to_be_elsewhere(log: Log) -> None:
    log.up_to_checked()
    shop = log.known.repositories[SHOP]
    assert look_again(shop, "e2") is None, "the check ran on the base that was looked at"
    merged = log.say(Actor.LOCAL, Merged(head_sha=HEAD, base_sha=BASE, merge_sha=MERGE), cause=log.ask_merge())
    assert look_again(shop, "e2") == Inspect(merged, SHOP, ADDED, CONFIGURED)
    assert look_again(shop, merged) is None
    elsewhere = IssueRef("demo", "shop", 2)
    log.say(Actor.CLI, IssueApproved(title="x", author="ada", base_branch="release"), elsewhere)
    log.say(Actor.LOCAL, ChecksPassed(head_sha=HEAD_2, base_sha=BASE_2, checks=()), elsewhere)
    assert look_again(shop, merged) is None, "another branch"


def test_what_was_merged_is_watched_until_it_was_taken_out(log: Log) -> None:
    log.up_to_checked()
    shop = log.known.repositories[SHOP]
    log.say(Actor.LOCAL, Merged(head_sha=HEAD, base_sha=BASE, merge_sha=MERGE), cause=log.ask_merge())
    assert shop.merges.keys() == {MERGE}
    log.say(Actor.LOCAL, Reverted(merge_sha=MERGE, revert_sha=HEAD_2, by="ada"))
    assert shop.merges == {}


def test_other_forges_repositories_and_removed_ones_are_not_served(log: Log) -> None:
    log.up_to_checked()
    log.ask_merge()
    assert log.due() is not None
    log.say(Actor.CLI, RepositoryRemoved(by="ada"), SHOP)
    assert log.due() is None
    log.say(Actor.CLI, RepositoryAdded(forge=Forge.GITHUB, clone_url="u", check="c", by="ada"), SHOP)
    assert log.due() is None
    assert log.due(SHOP) is None


# ── pull requests ────────────────────────────────────────────────────────────


def test_the_owners_push_becomes_a_pull_request(log: Log) -> None:
    log.serve()
    log.assign()
    assert log.due() is None
    push = log.push()
    action = log.due()
    assert isinstance(action, ShowPush)
    assert (action.cause, action.path, action.base_branch, action.push.head, action.shown) == (
        push,
        Path("/repos/shop"),
        "main",
        HEAD,
        None,
    )
    log.open(push)
    assert isinstance(log.due(), Check)


def test_nothing_is_shown_before_the_repository_was_looked_at(log: Log) -> None:
    log.say(Actor.CLI, ADDED, SHOP)
    log.assign()
    log.push()
    assert log.due() is None


def test_the_push_of_someone_who_is_not_the_owner_is_ignored(log: Log) -> None:
    log.serve()
    log.assign(run="r1")
    log.say(Actor.DEV_E, started(1, "r2"))  # took the work over
    log.push(run="r1")
    assert log.due() is None
    log.push(run="r2", head=HEAD_2)
    action = log.due()
    assert isinstance(action, ShowPush)
    assert action.push.head == HEAD_2


def test_a_newer_push_moves_the_pull_request_and_asks_for_checks_also_with_the_same_head(log: Log) -> None:
    log.up_to_checked()
    log.assign(2, "r2")
    push = log.push(2, "r2", HEAD)
    action = log.due()
    assert isinstance(action, ShowPush)
    assert action.shown is not None
    shown = log.say(Actor.LOCAL, updated(HEAD), cause=push)
    action = log.due()
    assert isinstance(action, Check)
    assert action.cause == shown


def test_a_pull_request_of_an_older_log_is_said_again_with_its_changes_and_not_checked_again(log: Log) -> None:
    log.serve()
    log.assign()
    push = log.push()
    shown = log.say(Actor.LOCAL, msgspec.structs.replace(opened(HEAD), changes=None), cause=push)
    action = log.due()
    assert isinstance(action, Count)
    assert (action.cause, action.shown.head) == (push, HEAD)
    log.say(Actor.LOCAL, updated(HEAD), cause=push)
    action = log.due()
    assert isinstance(action, Check)
    assert action.cause == shown
    log.say(Actor.LOCAL, ChecksPassed(head_sha=HEAD, base_sha=BASE, checks=("check",)), cause=shown)
    assert log.due() is None


def test_a_push_that_cannot_be_shown_is_answered_once(log: Log) -> None:
    log.serve()
    log.assign()
    push = log.push()
    failed = FailedCheck(name="push", conclusion=Conclusion.STARTUP_FAILURE)
    log.say(Actor.LOCAL, ChecksFailed(head_sha=HEAD, base_sha=BASE, failed=(failed,)), cause=push)
    assert log.due() is None


@pytest.mark.parametrize(
    "overtaken_by",
    [
        IssueAssigned(epoch=2, role="dev-e", attempt=2, reason=AssignReason.RETRY),
        Stopped(by="ada"),
        IssueWithdrawn(by="ada"),
    ],
)
def test_work_that_was_overtaken_is_not_shown(log: Log, overtaken_by: Event) -> None:
    log.serve()
    log.assign()
    log.push()
    log.say(Actor.CONDUCTOR if isinstance(overtaken_by, IssueAssigned) else Actor.CLI, overtaken_by)
    assert log.due() is None


def test_a_failure_of_a_later_epoch_does_not_bring_the_earlier_push_back(log: Log) -> None:
    log.up_to_checked()
    log.assign(2, "r2")
    log.say(Actor.DEV_E, WorkFailed(epoch=2, run="r2", kind=FailureKind.BUG, detail=""))
    assert log.due() is None


def test_a_withdrawn_issues_pull_request_is_closed_once(log: Log) -> None:
    log.up_to_checked()
    withdrawn = log.say(Actor.CLI, IssueWithdrawn(by="ada"))
    assert log.due() == Close(withdrawn, ISSUE)
    log.say(Actor.LOCAL, PullRequestClosed(pull_request=1), cause=withdrawn)
    assert log.due() is None


def test_an_issue_approved_again_gets_a_pull_request_for_its_new_work(log: Log) -> None:
    log.up_to_checked()
    log.say(Actor.LOCAL, PullRequestClosed(pull_request=1), cause=log.say(Actor.CLI, IssueWithdrawn(by="ada")))
    log.say(Actor.CLI, IssueApproved(title="Fix the total", author="ada"))
    assert log.due() is None
    log.assign(2, "r2")
    log.push(2, "r2", HEAD_2)
    action = log.due()
    assert isinstance(action, ShowPush)
    assert action.shown is None


def test_the_issues_own_base_branch_counts(log: Log) -> None:
    log.serve()
    log.say(Actor.CLI, IssueApproved(title="Fix", author="ada", base_branch="release"))
    log.assign()
    log.push()
    action = log.due()
    assert isinstance(action, ShowPush)
    assert action.base_branch == "release"


# ── checks ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "verdict",
    [
        ChecksPassed(head_sha=HEAD, base_sha=BASE, checks=("check",)),
        ChecksFailed(
            head_sha=HEAD, base_sha=BASE, failed=(FailedCheck(name="check", conclusion=Conclusion.TIMED_OUT),)
        ),
        MergeConflicted(head_sha=HEAD, base_sha=BASE),
    ],
)
def test_a_pull_request_is_checked_once(log: Log, verdict: Event) -> None:
    log.serve()
    log.assign()
    shown = log.open(log.push())
    action = log.due()
    assert isinstance(action, Check)
    assert (action.cause, action.head, action.command, action.title) == (shown, HEAD, "make test", "Fix the total")
    assert action.at == AT
    log.say(Actor.LOCAL, verdict, cause=shown)
    assert log.due() is None


def test_a_verdict_on_the_head_before_does_not_count_for_this_one(log: Log) -> None:
    log.serve()
    log.assign()
    first = log.open(log.push())
    log.assign(2, "r2")
    log.say(Actor.LOCAL, updated(HEAD_2), cause=log.push(2, "r2", HEAD_2))
    log.say(Actor.LOCAL, ChecksPassed(head_sha=HEAD, base_sha=BASE, checks=("check",)), cause=first)
    action = log.due()
    assert isinstance(action, Check)
    assert action.head == HEAD_2


# ── merging ──────────────────────────────────────────────────────────────────


def test_what_was_asked_for_is_merged_once(log: Log) -> None:
    log.up_to_checked()
    asked = log.ask_merge()
    action = log.due()
    assert isinstance(action, Merge)
    assert (action.cause, action.head, action.base, action.at) == (asked, HEAD, BASE, AT)
    log.say(Actor.LOCAL, Merged(head_sha=HEAD, base_sha=BASE, merge_sha=MERGE), cause=asked)
    assert log.due() is None
    log.ask_merge()
    assert log.due() is None


def test_after_the_base_has_moved_checks_run_again_and_the_next_request_is_merged(log: Log) -> None:
    log.up_to_checked()
    refusal = log.say(Actor.LOCAL, refused(MergeRefusal.BASE_MOVED), cause=log.ask_merge())
    action = log.due()
    assert isinstance(action, Check)
    assert action.cause == refusal
    log.say(Actor.LOCAL, ChecksPassed(head_sha=HEAD, base_sha=BASE_2, checks=("check",)), cause=refusal)
    assert log.due() is None
    log.ask_merge(base=BASE_2)
    action = log.due()
    assert isinstance(action, Merge)
    assert action.base == BASE_2


@pytest.mark.parametrize(
    "answer", [refused(MergeRefusal.DIRTY_CHECKOUT), MergeConflicted(head_sha=HEAD, base_sha=BASE)]
)
def test_a_request_is_answered_once_and_may_be_made_again(log: Log, answer: Event) -> None:
    log.up_to_checked()
    log.say(Actor.LOCAL, answer, cause=log.ask_merge())
    assert log.due() is None
    again = log.ask_merge()
    action = log.due()
    assert isinstance(action, Merge)
    assert action.cause == again


def test_an_answer_to_an_older_request_leaves_the_newer_one_open(log: Log) -> None:
    log.up_to_checked()
    first, second = log.ask_merge(), log.ask_merge()
    log.say(Actor.LOCAL, refused(MergeRefusal.DIRTY_CHECKOUT), cause=first)
    action = log.due()
    assert isinstance(action, Merge)
    assert action.cause == second


@pytest.mark.parametrize(
    ("epoch", "head", "reason"), [(1, HEAD_2, MergeRefusal.HEAD_MOVED), (2, HEAD, MergeRefusal.NOT_OWNER)]
)
def test_what_the_pull_request_does_not_show_is_not_merged(
    log: Log, epoch: int, head: str, reason: MergeRefusal
) -> None:
    log.up_to_checked()
    asked = log.ask_merge(epoch, head)
    action = log.due()
    assert isinstance(action, Refuse)
    assert (action.cause, action.reason, action.asked.head) == (asked, reason, head)


@pytest.mark.parametrize(
    "overtaken_by",
    [
        IssueAssigned(epoch=2, role="dev-e", attempt=2, reason=AssignReason.RETRY),
        Stopped(by="ada"),
        IssueWithdrawn(by="ada"),
    ],
)
def test_a_merge_that_was_overtaken_is_refused(log: Log, overtaken_by: Event) -> None:
    log.up_to_checked()
    log.ask_merge()
    log.say(Actor.CONDUCTOR if isinstance(overtaken_by, IssueAssigned) else Actor.CLI, overtaken_by)
    action = log.due()
    assert isinstance(action, Refuse)
    assert action.reason is MergeRefusal.NOT_OWNER


# ── afterwards ───────────────────────────────────────────────────────────────


def test_branches_of_merged_issues_are_left_over_and_no_others(log: Log) -> None:
    log.up_to_checked()
    ours = {"rig/1-fix-it": HEAD, "rig/1/1-r1": HEAD_2}
    others = {"rig/1-mine": HEAD, "rig/1/1-of-a-former-rig": HEAD, "rig/11-fix-it": HEAD, "rig/11/1-r1": HEAD}
    branches = ours | others
    assert leftovers(log.known, SHOP, branches) == {}
    log.say(Actor.LOCAL, Merged(head_sha=HEAD, base_sha=BASE, merge_sha=MERGE), cause=log.ask_merge())
    assert leftovers(log.known, SHOP, branches) == ours
    assert leftovers(log.known, RepoRef("demo", "other"), branches) == {}
    somebodys_commit_on_it = {"rig/1-fix-it": "5" * 40}
    assert leftovers(log.known, SHOP, somebodys_commit_on_it) == {}


class TestTakenOutAgain:
    """Merged, reverted, tried again: what follows is new work, and the old merge is none of it."""

    @pytest.fixture
    def log(self) -> Log:
        log = Log()
        log.up_to_checked()
        log.say(Actor.LOCAL, MERGED, cause=log.ask_merge())
        log.say(Actor.LOCAL, REVERTED)
        return log

    def test_nothing_is_due_until_it_is_assigned_anew(self, log: Log) -> None:
        assert log.due() is None
        assert leftovers(log.known, SHOP, {"rig/1/1-r1": HEAD}) == {"rig/1/1-r1": HEAD}
        log.say(Actor.LOCAL, IssueWithdrawn(reason=Withdrawal.CLOSED, by="ada"))
        log.say(Actor.CLI, RetryRequested(by="ada"))
        assert log.due() is None
        log.assign(2, "r2")
        assert log.due() is None

    def test_the_new_work_gets_a_pull_request_of_its_own_and_is_merged(self, log: Log) -> None:
        log.say(Actor.LOCAL, IssueWithdrawn(reason=Withdrawal.CLOSED, by="ada"))
        log.assign(2, "r2")
        push = log.push(2, "r2", HEAD_2)
        action = log.due()
        assert isinstance(action, ShowPush)
        assert (action.cause, action.shown, action.taken_out) == (push, None, {MERGE})
        shown = log.open(push, HEAD_2)
        action = log.due()
        assert isinstance(action, Check)
        assert (action.cause, action.head) == (shown, HEAD_2)
        log.say(Actor.LOCAL, ChecksPassed(head_sha=HEAD_2, base_sha=BASE, checks=("check",)), cause=shown)
        asked = log.ask_merge(2, HEAD_2)
        action = log.due()
        assert isinstance(action, Merge)
        assert (action.cause, action.head) == (asked, HEAD_2)
        log.say(Actor.LOCAL, Merged(head_sha=HEAD_2, base_sha=BASE, merge_sha=BASE_2), cause=asked)
        assert log.due() is None

    def test_branches_are_left_over_once_it_is_merged_again_and_not_before(self, log: Log) -> None:
        log.assign(2, "r2")
        branches = {"rig/1/1-r1": HEAD, "rig/1/2-r2": HEAD_2}
        assert leftovers(log.known, SHOP, branches) == {}
        log.push(2, "r2", HEAD_2)
        assert leftovers(log.known, SHOP, branches) == {}
        log.say(Actor.LOCAL, Merged(head_sha=HEAD_2, base_sha=BASE, merge_sha=BASE_2))
        assert leftovers(log.known, SHOP, branches) == branches

    def test_the_old_merge_said_once_more_changes_nothing(self, log: Log) -> None:
        log.assign(2, "r2")
        log.push(2, "r2", HEAD_2)
        log.say(Actor.LOCAL, MERGED)
        assert isinstance(log.due(), ShowPush)

    def test_a_revert_of_another_merge_than_the_last_leaves_that_in_force(self, log: Log) -> None:
        log.say(Actor.LOCAL, Merged(head_sha=HEAD, base_sha=BASE, merge_sha=BASE_2))
        log.say(Actor.LOCAL, REVERTED)
        log.assign(2, "r2")
        log.push(2, "r2", HEAD_2)
        assert log.due() is None

    def test_what_was_withdrawn_before_a_person_merged_it_is_wanted_again(self) -> None:
        log = Log()
        log.up_to_checked()
        log.say(Actor.CLI, IssueWithdrawn(by="ada"))
        log.say(Actor.LOCAL, MERGED)
        log.say(Actor.LOCAL, REVERTED)
        log.assign(2, "r2")
        log.open(log.push(2, "r2", HEAD_2), HEAD_2)
        assert isinstance(log.due(), Check)


def test_the_highest_number_is_anybodys(log: Log) -> None:
    log.say(Actor.CLI, IssueApproved(title="x", author="ada"), IssueRef("demo", "shop", 7))
    log.say(Actor.CLI, IssueApproved(title="x", author="ada"), IssueRef("demo", "shop", 3))
    assert log.known.repositories[SHOP].highest == 7
