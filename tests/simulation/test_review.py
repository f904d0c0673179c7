"""Verdicts, told as stories: about which commit they are, who is asked for one, and what follows from each."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from schemas import (
    Actor,
    AgentJoined,
    AgentRef,
    AssignReason,
    AssignRequested,
    DeadlineKind,
    DeadlineSet,
    EscalationReason,
    IssueAssigned,
    IssueEscalated,
    IssueEvent,
    IssueRef,
    IssueState,
    MergeRequested,
    PullRequestOpened,
    RetryRequested,
    ReviewRequested,
)
from tests.support.story import FREE, SHOP, SMALL, Story, kinds, sha


def asked(events: list[IssueEvent]) -> list[str]:
    """Who was asked for a verdict."""
    return [event.reviewer for event in events if isinstance(event, ReviewRequested)]


def to_people(events: list[IssueEvent]) -> list[EscalationReason]:
    return [event.reason for event in events if isinstance(event, IssueEscalated)]


def checked(story: Story) -> tuple[IssueRef, list[IssueEvent]]:
    """An issue whose pull request has passed its checks, and what the conductor says to that."""
    ref = story.approve(1)
    return ref, story.to_merging(ref)


# ── which verdicts count ─────────────────────────────────────────────────────


def test_a_pull_request_is_reviewed_while_its_checks_run_and_merged_when_both_have_passed() -> None:
    story = Story(reviewers=("review-e",))
    ref = story.approve(1)
    story.to_review(ref)
    requested = ReviewRequested(epoch=1, pull_request=1, head_sha=sha("h1"), reviewer="review-e", iteration=1)
    assert requested in story.rounds()
    story.review(ref, "h1")
    assert "MergeRequested" not in kinds(story.rounds()), "the checks have not come"
    story.check(ref, "h1")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


def test_a_green_pull_request_waits_for_its_reviewer() -> None:
    story = Story(reviewers=("review-e",))
    ref, said = checked(story)
    assert "MergeRequested" not in kinds(said)
    assert story.issue(ref).deadline is not None
    story.review(ref, "h1", by="somebody")
    assert "MergeRequested" not in kinds(story.rounds()), "nobody asked that reviewer"
    story.review(ref, "h1")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


def test_a_verdict_on_an_older_head_counts_for_nothing() -> None:
    story = Story(reviewers=("review-e",))
    ref = story.approve(1)
    story.to_review(ref)
    story.review(ref, "h1")
    story.check(ref, "h1", passed=False)
    story.to_review(ref, "h2", "r-2")
    story.check(ref, "h1")
    story.review(ref, "h1")
    assert "MergeRequested" not in kinds(story.rounds())
    story.check(ref, "h2")
    assert "MergeRequested" not in kinds(story.rounds())
    story.review(ref, "h2")
    assert [event.head_sha for event in story.rounds() if isinstance(event, MergeRequested)] == [sha("h2")]
    story.ends()


def test_verdicts_may_come_before_their_push_and_their_pull_request() -> None:
    story = Story(reviewers=("review-e",))
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.check(ref, "h1")
    story.review(ref, "h1")
    story.push(ref, "h1")
    assert "MergeRequested" not in kinds(story.rounds()), "nobody knows its pull request"
    story.open(ref, "h1")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


@pytest.mark.parametrize("facet", ["checks", "review"])
def test_a_later_verdict_of_the_source_wins_whatever_order_it_comes_in(facet: str) -> None:
    story = Story(reviewers=("review-e",))
    ref = story.approve(1)
    story.to_review(ref)
    story.later(10)
    story.check(ref, "h1")
    story.review(ref, "h1")
    story.later(-5)
    if facet == "checks":
        story.check(ref, "h1", passed=False)
    else:
        story.review(ref, "h1", passed=False)
    assert "MergeRequested" in kinds(story.rounds())
    story.later(5)
    story.ends()


def test_of_two_verdicts_at_one_time_the_later_word_wins() -> None:
    story = Story(reviewers=("review-e",))
    ref = story.approve(1)
    story.to_review(ref)
    story.review(ref, "h1")
    story.review(ref, "h1", passed=False, text="names")
    assert story.issue(ref).state is IssueState.CHANGES_REQUESTED
    story.rounds()
    story.ends()


def test_of_two_reviewers_one_that_disputes_counts_whoever_passes_later() -> None:
    story = Story(reviewers=("alice", "bob"))
    ref, _ = checked(story)
    story.later(1)
    story.review(ref, "h1", by="bob", passed=False, text="names")
    story.later(1)
    story.review(ref, "h1", by="alice")
    assert "MergeRequested" not in kinds(story.rounds())
    story.ends()


def test_a_reviewer_named_while_a_merge_is_asked_for_is_heard_before_it_is_asked_for_again() -> None:
    story = Story()
    ref, said = checked(story)
    assert "MergeRequested" in kinds(said)
    story.add(SHOP, ("review-e",))
    assert asked(story.rounds()) == ["review-e"]
    story.review(ref, "h1", passed=False, text="names")
    assert story.issue(ref).state is IssueState.CHANGES_REQUESTED
    assert "MergeRequested" not in kinds(story.rounds())
    story.ends()


def test_a_reviewer_named_just_before_a_merge_is_asked_for_is_heard_before_it_is_asked_for_again() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_review(ref)
    story.check(ref, "h1")
    _, batch = story.decision()
    story.add(SHOP, ("review-e",))  # lands between `through` and the batch
    for event in batch:
        story.append(event)
    assert asked(story.rounds()) == ["review-e"]
    story.review(ref, "h1")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


def test_a_head_that_the_owner_did_not_push_is_not_merged() -> None:
    story = Story(reviewers=("review-e",))
    ref = story.approve(1)
    story.to_review(ref)
    story.later(1)
    story.open(ref, "by-hand")
    story.check(ref, "by-hand")
    story.review(ref, "by-hand")
    assert "MergeRequested" not in kinds(story.rounds())
    story.ends()


def test_checks_that_fail_on_the_forge_send_it_back_with_the_findings() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_review(ref)
    story.check(ref, "h1", passed=False, log="expected 3, got 4")
    assigned, *_ = story.rounds()
    assert isinstance(assigned, IssueAssigned)
    assert (assigned.reason, assigned.attempt) == (AssignReason.CHECKS_FAILED, 2)
    assert "expected 3, got 4" in story.issue(ref).findings
    story.ends()


# ── disputes ─────────────────────────────────────────────────────────────────


def test_a_dispute_goes_back_to_the_same_session_with_what_the_reviewer_found() -> None:
    story = Story(reviewers=("review-e",))
    ref, _ = checked(story)
    story.review(ref, "h1", passed=False, text="the total is not a good name")
    assert story.issue(ref).state is IssueState.CHANGES_REQUESTED
    (assigned, *_) = story.rounds()
    assert isinstance(assigned, IssueAssigned)
    assert (assigned.reason, assigned.attempt) == (AssignReason.REVIEW_DISPUTED, 1)
    assert (assigned.agent, assigned.resume) == ("dev-e-1", "s-r-1")
    assert "the total is not a good name" in story.issue(ref).findings
    story.start(ref, "r-2")
    story.push(ref, "h2", "r-2")
    story.open(ref, "h2")
    story.check(ref, "h2")
    (requested,) = [event for event in story.rounds() if isinstance(event, ReviewRequested)]
    assert (requested.head_sha, requested.iteration) == (sha("h2"), 2)
    story.review(ref, "h2")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


def test_after_five_rounds_of_review_a_person_decides() -> None:
    story = Story(reviewers=("review-e",))
    ref = story.approve(1)
    for number in range(1, 6):
        story.to_merging(ref, f"h{number}", f"r-{number}")
        assert story.issue(ref).state is IssueState.IN_REVIEW, "it is tried again"
        story.review(ref, f"h{number}", passed=False, text=f"finding {number}")
    assert story.rounds() == [
        IssueEscalated(reason=EscalationReason.REVIEW_ROUNDS, attempts=0, summary="finding 5", to="people")
    ]
    story.say(Actor.CLI, ref, RetryRequested(by="ada"))
    assert "IssueAssigned" in kinds(story.rounds())
    story.ends()


# ── never the author ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("author", ["dev-e-1", "dev-e", "ada"])
def test_nobody_reviews_his_own_work(author: str) -> None:
    """By the name of the replica, by its role, by whoever the forge says opened the pull request."""
    story = Story(reviewers=(author,))
    ref = story.approve(1)
    story.rounds()
    story.start(ref)
    story.push(ref, "h1")
    story.review(ref, "h1", by=author)
    story.say(
        Actor.LOCAL,
        ref,
        PullRequestOpened(pull_request=1, url="", branch="b", head_sha=sha("h1"), author="ada", changes=SMALL),
    )
    story.check(ref, "h1")
    story.review(ref, "h1", by=author)
    assert to_people(story.rounds()) == [EscalationReason.NO_REVIEWER]
    story.ends()


def test_the_other_reviewer_is_asked_about_the_work_of_the_first() -> None:
    story = Story(reviewers=("dev-e-1", "review-e"))
    _, said = checked(story)
    assert asked(said) == ["review-e"]
    story.ends()


def test_whoever_has_worked_on_it_does_not_review_it_when_somebody_else_is_to_go_on() -> None:
    story = Story(reviewers=("dev-e-1",))
    ref = story.approve(1)
    story.to_review(ref)
    story.say(Actor.DEV_E, AgentRef("dev-e-2"), AgentJoined(boot="b", role="dev-e", provider="", slots=1, version="0"))
    story.say(Actor.CLI, ref, AssignRequested(to="dev-e-2", by="ada"))
    assert to_people(story.rounds()) == [EscalationReason.NO_REVIEWER]
    story.ends()


# ── the one with the most quota left ─────────────────────────────────────────


def test_the_reviewer_with_the_most_quota_left_is_asked() -> None:
    story = Story(reviewers=("alice", "bob", "carol"))
    story.quota("alice", 40)
    story.quota("bob", 10)
    story.quota("carol", 60)
    assert asked(checked(story)[1]) == ["bob"]
    story.ends()


def test_of_two_quotas_the_one_that_is_used_up_more_counts() -> None:
    story = Story(reviewers=("alice", "bob"))
    story.quota("alice", 10, weekly=90)
    story.quota("bob", 50)
    assert asked(checked(story)[1]) == ["bob"]
    story.ends()


@pytest.mark.parametrize(("seconds", "first"), [(120, "bob"), (121, "alice")])
def test_what_a_reviewer_said_of_his_quota_counts_for_two_minutes(seconds: float, first: str) -> None:
    """After that nobody knows, and the order in which the repository names them decides."""
    story = Story(reviewers=("alice", "bob"))
    story.quota("alice", 40)
    story.quota("bob", 10)
    story.later(seconds)
    assert asked(checked(story)[1]) == [first]
    story.ends()


@pytest.mark.parametrize("known", [0, 99])
def test_somebody_who_is_known_to_have_quota_comes_before_somebody_of_whom_nobody_knows(known: float) -> None:
    story = Story(reviewers=("silent", "stale", "fresh"))
    story.quota("stale", 0)
    story.later(121)
    story.quota("fresh", known)
    assert asked(checked(story)[1]) == ["fresh"]
    story.ends()


def test_somebody_of_whom_nobody_knows_comes_before_somebody_whose_quota_is_used_up() -> None:
    story = Story(reviewers=("spent", "silent"))
    story.quota("spent", 100)
    assert asked(checked(story)[1]) == ["silent"]
    story.ends()


def test_reviewers_of_whom_nobody_knows_take_turns() -> None:
    story = Story(reviewers=("alice", "bob"))
    ref, said = checked(story)
    story.review(ref, "h1", by="alice", passed=False, text="names")
    assert (asked(said), asked(story.to_merging(ref, "h2", "r-2"))) == (["alice"], ["bob"])
    story.ends()


def test_a_role_that_reviews_has_the_quota_of_its_replicas() -> None:
    story = Story(reviewers=("alice", "review-e"))
    for name, percent in (("review-e-1", 95), ("review-e-2", 20)):
        joined = AgentJoined(boot="b", role="review-e", provider="", slots=1, version="0")
        story.say(Actor.REVIEW_E, AgentRef(name), joined)
        story.quota(name, percent)
    story.quota("alice", 50)
    assert asked(checked(story)[1]) == ["review-e"], "one of its replicas has 80 % left"
    story.ends()


def test_a_role_is_not_out_of_quota_while_one_of_its_replicas_may_have_some() -> None:
    story = Story(reviewers=("review-e",))
    for name, percent in (("review-e-1", 20), ("review-e-2", 100)):
        joined = AgentJoined(boot="b", role="review-e", provider="", slots=1, version="0")
        story.say(Actor.REVIEW_E, AgentRef(name), joined)
        story.quota(name, percent)
        story.later(100)
    assert asked(checked(story)[1]) == ["review-e"]
    story.ends()


def test_a_reviewer_without_quota_is_asked_when_it_resets() -> None:
    story = Story(reviewers=("review-e",))
    reset = story.now + timedelta(hours=1)
    story.quota("review-e", 100, resets_at=reset)
    ref, said = checked(story)
    assert asked(said) == []
    assert said[-1] == DeadlineSet(kind=DeadlineKind.REVIEW, at=reset)
    story.deadline_passes(ref)
    assert asked(story.rounds()) == ["review-e"]
    story.ends()


def test_the_clock_of_a_conductor_may_be_behind_that_of_the_timer() -> None:
    story = Story(reviewers=("review-e",))
    story.quota("review-e", 100, resets_at=story.now + timedelta(hours=1))
    ref, _ = checked(story)
    story.deadline_passes(ref)
    story.later(-5)
    assert asked(story.rounds()) == ["review-e"]
    story.ends()


def test_a_reviewer_that_has_quota_again_is_asked_at_once() -> None:
    story = Story(reviewers=("review-e",))
    story.quota("review-e", 100, resets_at=story.now + timedelta(hours=1))
    checked(story)
    story.later(60)
    story.quota("review-e", 5)
    assert asked(story.rounds()) == ["review-e"]
    story.ends()


def test_nobody_waits_for_a_quota_longer_than_for_a_review() -> None:
    story = Story(reviewers=("review-e",))
    story.quota("review-e", 100, resets_at=story.now + timedelta(days=6))
    ref, said = checked(story)
    assert said[-1] == DeadlineSet(kind=DeadlineKind.REVIEW, at=story.now + timedelta(days=1))
    story.deadline_passes(ref)
    assert to_people(story.rounds()) == [EscalationReason.NO_REVIEWER]
    story.ends()


def test_while_nobody_can_be_asked_the_checks_are_still_waited_for() -> None:
    story = Story(reviewers=("review-e",))
    story.quota("review-e", 100)
    ref = story.approve(1)
    story.to_review(ref)
    story.rounds()
    deadline = story.issue(ref).deadline
    assert deadline is not None
    assert deadline.kind is DeadlineKind.CHECKS
    story.ends()


# ── no verdict ───────────────────────────────────────────────────────────────


def test_an_abstention_is_no_verdict_and_another_is_asked_until_nobody_is_left() -> None:
    story = Story(reviewers=("alice", "bob"))
    ref, said = checked(story)
    assert asked(said) == ["alice"]
    story.abstain(ref, "h1", "alice")
    said = story.rounds()
    assert asked(said) == ["bob"]
    assert "MergeRequested" not in kinds(said)
    story.abstain(ref, "h1", "bob")
    assert to_people(story.rounds()) == [EscalationReason.NO_REVIEWER]
    story.ends()


def test_an_abstention_of_somebody_who_was_not_asked_asks_nobody_twice() -> None:
    story = Story(reviewers=("alice", "bob"))
    ref, _ = checked(story)
    story.abstain(ref, "h1", "bob")
    assert story.rounds() == []
    story.abstain(ref, "h1", "alice")
    assert to_people(story.rounds()) == [EscalationReason.NO_REVIEWER]
    story.ends()


def test_who_abstained_from_one_head_may_be_asked_about_the_next() -> None:
    story = Story(reviewers=("alice",))
    ref = story.approve(1)
    story.to_review(ref)
    story.abstain(ref, "h1", "alice")
    story.check(ref, "h1", passed=False)
    assert asked(story.to_merging(ref, "h2", "r-2")) == ["alice"]
    story.ends()


def test_silence_asks_the_next_and_then_a_person() -> None:
    story = Story(reviewers=("alice", "bob"))
    ref, said = checked(story)
    assert asked(said) == ["alice"]
    since = story.now
    story.deadline_passes(ref)
    assert story.now - since == timedelta(days=1)
    assert asked(story.rounds()) == ["bob"]
    story.deadline_passes(ref)
    assert to_people(story.rounds()) == [EscalationReason.REVIEW_SILENT]
    story.ends()


def test_a_reviewer_who_was_silent_is_not_asked_again_when_the_next_abstains() -> None:
    story = Story(reviewers=("alice", "bob"))
    ref, _ = checked(story)
    story.deadline_passes(ref)
    story.rounds()
    story.abstain(ref, "h1", "bob")
    assert to_people(story.rounds()) == [EscalationReason.REVIEW_SILENT]
    story.ends()


def test_whoever_was_silent_may_still_speak() -> None:
    story = Story(reviewers=("alice", "bob"))
    ref, _ = checked(story)
    story.deadline_passes(ref)
    story.rounds()
    story.review(ref, "h1", by="alice")
    assert "MergeRequested" in kinds(story.rounds())
    story.ends()


def test_a_reviewers_silence_counts_from_when_the_checks_have_passed() -> None:
    story = Story(replace(FREE, review_seconds=1_000), reviewers=("review-e",))
    ref = story.approve(1)
    story.to_review(ref)
    assert asked(story.rounds()) == ["review-e"]
    story.later(900)
    story.check(ref, "h1")
    assert story.rounds() == [DeadlineSet(kind=DeadlineKind.REVIEW, at=story.now + timedelta(seconds=1_000))]
    story.ends()
