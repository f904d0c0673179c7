"""What an assignment is about, as the log tells it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from agents.brief import Brief, Finding, NotReady, brief
from schemas import (
    MAY_SAY,
    Actor,
    ChecksFailed,
    ChecksPassed,
    Conclusion,
    Draft,
    Event,
    FailedCheck,
    FailureKind,
    IssueApproved,
    IssueEvent,
    IssueRef,
    IssueRevised,
    MergeConflicted,
    Recorded,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
    RetryRequested,
    ReviewDisputed,
    ReviewPassed,
    WorkFailed,
    envelope,
)
from tests.support.saying import assigned, pushed, started

ISSUE = IssueRef("demo", "shop", 1)
HEAD, NEWER, BASE = "a" * 40, "b" * 40, "c" * 40
AT = datetime(2030, 1, 1, tzinfo=UTC)

ADDED = RepositoryAdded(clone_url="/srv/shop", check="make test", by="ann")
CONFIGURED = RepositoryConfigured(base_branch="main", base_sha=BASE, clone_url="/srv/shop", check="make test")
APPROVED = IssueApproved(title="Fix the total", body="It subtracts.", author="ann")


def recorded(events: Sequence[Event | tuple[Event, datetime]]) -> list[Recorded]:
    """Events as the log holds them; each a second after the one before, unless it brings its own time."""
    found: list[Recorded] = []
    for position, item in enumerate(events, 1):
        data, time = item if isinstance(item, tuple) else (item, AT + timedelta(seconds=position))
        actor = next(actor for actor in Actor if type(data) in MAY_SAY[actor])
        about = ISSUE if isinstance(data, IssueEvent) else ISSUE.repository
        draft = Draft(about=about, data=data)
        event = envelope(draft, id=f"e-{position}", actor=actor, source=actor.value, time=time)
        found.append(Recorded(position, time, event))
    return found


def folded(*events: Event | tuple[Event, datetime], repository: Sequence[Event] = (ADDED, CONFIGURED)) -> Brief:
    return brief(ISSUE, recorded([APPROVED, *events]), recorded(repository))


def failed(epoch: int, run: str, kind: FailureKind = FailureKind.CHECKS_FAILED, detail: str = "1 failed") -> WorkFailed:
    return WorkFailed(epoch=epoch, run=run, kind=kind, detail=detail)


def red(head: str, excerpt: str = "assert 1 == 2") -> ChecksFailed:
    check = FailedCheck(name="check", conclusion=Conclusion.FAILURE, excerpt=excerpt)
    return ChecksFailed(head_sha=head, base_sha=BASE, failed=(check,))


ONCE_PUSHED = (assigned(1), started(1, "r-1"), pushed(1, "r-1"))


def test_a_new_issue_is_what_was_approved_where_it_was_configured() -> None:
    assert folded(assigned(1)) == Brief(
        issue=ISSUE,
        title="Fix the total",
        body="It subtracts.",
        check="make test",
        clone_url="/srv/shop",
        base_branch="main",
    )


def test_a_revision_changes_what_it_names_and_nothing_else() -> None:
    revised = folded(IssueRevised(body="It subtracts, and rounds."))
    assert (revised.title, revised.body) == ("Fix the total", "It subtracts, and rounds.")


def test_an_issue_may_name_a_base_branch_of_its_own() -> None:
    events = [IssueApproved(title="Fix", author="ann", base_branch="release-1")]
    assert brief(ISSUE, recorded(events), recorded([ADDED, CONFIGURED])).base_branch == "release-1"


def test_the_last_word_about_the_repository_holds() -> None:
    again = RepositoryAdded(clone_url="/srv/moved", check="make check", by="ann")
    found = folded(repository=(ADDED, CONFIGURED, again))
    assert (found.clone_url, found.check, found.base_branch) == ("/srv/moved", "make check", "main")


@pytest.mark.parametrize(
    ("events", "repository", "missing"),
    [
        ([], [ADDED, CONFIGURED], "nobody has approved demo/shop#1"),
        ([APPROVED], [], "demo/shop is not under the rig"),
        ([APPROVED], [ADDED, CONFIGURED, RepositoryRemoved(by="ann")], "demo/shop is not under the rig"),
        ([APPROVED], [ADDED], "base branch is not known"),
    ],
)
def test_what_is_missing_is_named(events: list[Event], repository: list[Event], missing: str) -> None:
    with pytest.raises(NotReady, match=missing):
        brief(ISSUE, recorded(events), recorded(repository))


def test_after_failed_checks_the_next_run_knows_the_findings_and_the_branch() -> None:
    found = folded(assigned(1), started(1, "r-1"), failed(1, "r-1"), assigned(2))
    assert found.findings == (Finding("The last run failed: checks_failed.", "1 failed"),)
    assert found.earlier == ("rig/1/1-r-1",)
    assert found.pushed_head is None


def test_earlier_branches_come_newest_first_a_dead_predecessors_among_them() -> None:
    found = folded(assigned(1), started(1, "r-1"), failed(1, "r-1"), assigned(2), started(2, "r-dead"))
    assert found.earlier == ("rig/1/2-r-dead", "rig/1/1-r-1")


def test_what_a_non_owner_says_counts_for_nothing() -> None:
    found = folded(assigned(1), started(1, "r-1"), started(1, "r-2"), pushed(1, "r-1"), failed(1, "r-1"))
    assert (found.pushed_head, found.findings) == (None, ())


def test_a_failure_of_the_machine_hides_no_finding_and_is_none() -> None:
    found = folded(
        *ONCE_PUSHED, red(HEAD), assigned(2), started(2, "r-2"), failed(2, "r-2", FailureKind.SPAWN, "no git")
    )
    assert [finding.what for finding in found.findings] == ["Its checks failed on the merge with the base branch:"]


def test_verdicts_about_the_pushed_head_are_findings() -> None:
    found = folded(
        *ONCE_PUSHED,
        red(HEAD),
        MergeConflicted(head_sha=HEAD, base_sha=BASE, paths=("a.py", "b.py")),
        ReviewDisputed(pull_request=1, head_sha=HEAD, reviewer="review-e", summary="No.", comments=("Round it.",)),
    )
    assert found.pushed_head == HEAD
    assert found.findings == (
        Finding("Its checks failed on the merge with the base branch:", "check: failure\nassert 1 == 2"),
        Finding("It did not merge; in conflict:", "a.py\nb.py"),
        Finding("The reviewer review-e asks for changes:", "No.\n\nRound it."),
    )


def test_a_newer_push_leaves_the_old_heads_verdicts_behind() -> None:
    found = folded(*ONCE_PUSHED, red(HEAD), assigned(2), started(2, "r-2"), pushed(2, "r-2", NEWER))
    assert found.findings == ()


def test_a_verdict_may_be_recorded_before_its_push() -> None:
    assert folded(assigned(1), started(1, "r-1"), red(HEAD), pushed(1, "r-1")).findings


def test_a_dispute_is_not_forgotten_because_a_run_in_between_failed() -> None:
    dispute = ReviewDisputed(pull_request=1, head_sha=HEAD, reviewer="review-e", summary="Round it.")
    found = folded(*ONCE_PUSHED, dispute, assigned(2), started(2, "r-2"), failed(2, "r-2"))
    assert [finding.text for finding in found.findings] == ["1 failed", "Round it."]


def test_a_later_pass_of_the_same_facet_takes_a_finding_back() -> None:
    dispute = ReviewDisputed(pull_request=1, head_sha=HEAD, reviewer="review-e", summary="Round it.")
    passed = ReviewPassed(pull_request=1, head_sha=HEAD, reviewer="review-e")
    green = ChecksPassed(head_sha=HEAD, base_sha=BASE, checks=("check",))
    assert folded(*ONCE_PUSHED, red(HEAD), dispute, green, passed).findings == ()


def test_of_two_facts_of_one_facet_the_sources_later_time_wins() -> None:
    green = ChecksPassed(head_sha=HEAD, base_sha=BASE, checks=("check",))
    late, early = AT + timedelta(hours=2), AT + timedelta(hours=1)
    assert folded(*ONCE_PUSHED, (red(HEAD), late), (green, early)).findings
    assert not folded(*ONCE_PUSHED, (red(HEAD), early), (green, late)).findings
    assert not folded(*ONCE_PUSHED, (red(HEAD), late), (green, late)).findings


def test_a_persons_note_with_a_retry_is_told() -> None:
    found = folded(RetryRequested(by="ann", note="Look at the rounding."))
    assert found.findings == (Finding("A person asks for another try, with this note:", "Look at the rounding."),)
