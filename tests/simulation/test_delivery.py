"""What follows a merge, told as stories: deployed, tried out, verified; and merges that were taken out again."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from schemas import (
    Actor,
    AssignReason,
    AssignRequested,
    DeadlineKind,
    DeadlineSet,
    Delivery,
    Deployed,
    EndToEndFailed,
    EndToEndPassed,
    Environment,
    EscalationReason,
    Event,
    IssueAssigned,
    IssueDone,
    IssueEscalated,
    IssueEvent,
    IssueRef,
    IssueState,
    IssueWithdrawn,
    Merged,
    Overrides,
    Policy,
    RetryRequested,
    Reverted,
    SmokeFailed,
    SmokePassed,
    Stopped,
    Verified,
)
from tests.support.story import BASE, FREE, SHOP, Story, kinds, sha

LIVE = Environment.PRODUCTION
EVERYTHING = Delivery(environment=LIVE, smoke=True, end_to_end=True, verified=True)
DEPLOYED = Deployed(environment=LIVE, sha=sha("m1"))
SMOKE = SmokePassed(environment=LIVE)
TESTED = EndToEndPassed(passed=3, total=3, duration_ms=1)
SEEN = Verified(environment=LIVE, by="ada")
PATH: tuple[Event, ...] = (DEPLOYED, SMOKE, TESTED, SEEN)
WAITS = (DeadlineKind.DEPLOY, DeadlineKind.SMOKE, DeadlineKind.END_TO_END, DeadlineKind.VERIFY)


def smoke_failed(attempt: int, reason: str = "no answer") -> SmokeFailed:
    return SmokeFailed(environment=LIVE, attempt=attempt, reason=reason)


def end_to_end_failed(first: str = "checkout") -> EndToEndFailed:
    return EndToEndFailed(passed=2, failed=1, total=3, duration_ms=1, first_failure=first)


def policy(delivery: Delivery) -> Policy:
    return replace(FREE, delivery=delivery)


def say(story: Story, ref: IssueRef, *facts: Event) -> None:
    for fact in facts:
        story.say(Actor.CLI, ref, fact)


def merged(delivery: Delivery = EVERYTHING, *facts: Event) -> tuple[Story, IssueRef]:
    """An issue that was merged, and what was said of it since, fact by fact."""
    story = Story(policy(delivery))
    ref = story.approve(1)
    story.to_merging(ref)
    story.merge(ref)
    story.rounds()
    for fact in facts:
        say(story, ref, fact)
        story.rounds()
    return story, ref


def waits_for(story: Story, ref: IssueRef) -> DeadlineKind | None:
    deadline = story.issue(ref).deadline
    return None if deadline is None else deadline.kind


def to_people(events: list[IssueEvent]) -> list[EscalationReason]:
    return [event.reason for event in events if isinstance(event, IssueEscalated)]


# ── step by step ─────────────────────────────────────────────────────────────


def test_without_a_deployment_merged_is_done() -> None:
    story, ref = merged(Delivery())
    assert story.issue(ref).state is IssueState.DONE
    assert [event.merge_sha for event in story.said(IssueDone)] == [sha("m1")]
    story.ends()


def test_deployed_tried_out_tested_seen_and_only_then_done() -> None:
    story, ref = merged()
    for fact, kind in zip(PATH, WAITS, strict=True):
        assert story.issue(ref).state is IssueState.DEPLOYING
        assert waits_for(story, ref) is kind
        assert story.said(IssueDone) == []
        say(story, ref, fact)
        story.rounds()
    assert story.issue(ref).state is IssueState.DONE
    story.ends()


@pytest.mark.parametrize(
    ("delivery", "last"),
    [
        (Delivery(environment=LIVE), DEPLOYED),
        (Delivery(environment=LIVE, smoke=True), SMOKE),
        (Delivery(environment=LIVE, end_to_end=True), TESTED),
        (Delivery(environment=LIVE, verified=True), SEEN),
    ],
)
def test_only_what_the_policy_asks_for_is_waited_for(delivery: Delivery, last: Event) -> None:
    story, ref = merged(delivery)
    assert story.issue(ref).state is IssueState.DEPLOYING
    say(story, ref, DEPLOYED)
    story.rounds()
    if last is not DEPLOYED:
        assert story.issue(ref).state is IssueState.DEPLOYING
        say(story, ref, last)
    story.rounds()
    assert story.issue(ref).state is IssueState.DONE
    story.ends()


@pytest.mark.parametrize("steps", range(4))
def test_silence_at_any_step_goes_to_a_person(steps: int) -> None:
    story, ref = merged(EVERYTHING, *PATH[:steps])
    seconds = (3_600, 1_800, 7_200, 172_800)[steps]
    deadline = story.issue(ref).deadline
    assert deadline is not None
    assert (deadline.kind, deadline.at) == (WAITS[steps], story.now + timedelta(seconds=seconds))
    story.deadline_passes(ref)
    assert to_people(story.rounds()) == [EscalationReason.DEPLOY_SILENT]
    story.ends()


def test_each_step_has_its_own_time() -> None:
    story, ref = merged()
    story.later(3_000)
    say(story, ref, DEPLOYED)
    assert story.rounds() == [DeadlineSet(kind=DeadlineKind.SMOKE, at=story.now + timedelta(minutes=30))]
    story.ends()


def test_somebody_who_has_seen_it_work_is_enough() -> None:
    story, ref = merged(EVERYTHING, SEEN)
    assert story.issue(ref).state is IssueState.DONE
    story.ends()


def test_facts_in_any_order_lead_to_the_same_end() -> None:
    story, ref = merged(EVERYTHING, TESTED, SMOKE)
    assert waits_for(story, ref) is DeadlineKind.DEPLOY
    say(story, ref, DEPLOYED)
    story.rounds()
    assert waits_for(story, ref) is DeadlineKind.VERIFY
    story.ends()


def test_facts_that_come_before_the_merge_is_known_count() -> None:
    story = Story(policy(EVERYTHING))
    ref = story.approve(1)
    story.to_merging(ref)
    say(story, ref, *PATH[:3])
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.MERGING
    story.merge(ref)
    story.rounds()
    assert waits_for(story, ref) is DeadlineKind.VERIFY
    story.ends()


@pytest.mark.parametrize(
    "fact",
    [
        Deployed(environment=Environment.STAGING, sha=sha("m1")),
        Deployed(environment=LIVE, sha=sha("something-else")),
    ],
)
def test_what_was_deployed_elsewhere_or_is_something_else_is_not_this(fact: Event) -> None:
    story, ref = merged(Delivery(environment=LIVE), fact)
    assert story.issue(ref).state is IssueState.DEPLOYING
    assert waits_for(story, ref) is DeadlineKind.DEPLOY
    story.ends()


@pytest.mark.parametrize(
    "fact",
    [
        SmokePassed(environment=Environment.STAGING),
        Verified(environment=Environment.STAGING, by="ada"),
        *(SmokeFailed(environment=Environment.STAGING, attempt=3, reason="no answer"),),
    ],
)
def test_what_is_said_of_another_environment_is_not_of_this(fact: Event) -> None:
    story, ref = merged(replace(EVERYTHING, smoke_retries_max=1), DEPLOYED, fact)
    assert story.issue(ref).state is IssueState.DEPLOYING
    assert waits_for(story, ref) is DeadlineKind.SMOKE
    story.ends()


def test_a_repository_may_be_delivered_otherwise() -> None:
    story = Story(policy(Delivery(environment=LIVE, smoke=True)))
    story.add(SHOP, (), overrides=Overrides(delivery=Delivery(environment=Environment.STAGING)))
    ref = story.approve(1)
    story.to_merging(ref)
    story.merge(ref)
    say(story, ref, DEPLOYED)
    story.rounds()
    assert story.issue(ref).state is IssueState.DEPLOYING
    say(story, ref, Deployed(environment=Environment.STAGING, sha=sha("m1")))
    assert kinds(story.rounds()) == ["IssueDone"]
    story.ends()


def test_a_policy_that_asks_for_less_lets_it_be_done() -> None:
    story, ref = merged(EVERYTHING, DEPLOYED)
    story.adopt(policy(Delivery(environment=LIVE)))
    assert kinds(story.rounds()) == ["IssueDone"]
    assert story.issue(ref).state is IssueState.DONE
    story.ends()


# ── what does not work ───────────────────────────────────────────────────────


def test_a_smoke_test_may_fail_twice() -> None:
    story, ref = merged(EVERYTHING, DEPLOYED, smoke_failed(1), smoke_failed(2))
    assert story.issue(ref).state is IssueState.DEPLOYING
    say(story, ref, SmokePassed(environment=LIVE, attempt=3))
    story.rounds()
    assert waits_for(story, ref) is DeadlineKind.END_TO_END
    story.ends()


def test_after_three_retries_it_goes_to_whom_the_repository_names_with_the_reason() -> None:
    story = Story(policy(EVERYTHING))
    story.add(SHOP, (), escalate="the shop's team")
    ref = story.approve(1)
    story.to_merging(ref)
    story.merge(ref)
    say(story, ref, DEPLOYED, smoke_failed(1), smoke_failed(2), smoke_failed(3))
    assert to_people(story.rounds()) == []
    say(story, ref, smoke_failed(4, "502"))
    assert story.rounds() == [
        IssueEscalated(
            reason=EscalationReason.SMOKE_FAILED,
            attempts=0,
            summary="smoke test 4 in production: 502",
            to="the shop's team",
        )
    ]
    story.ends()


def test_an_attempt_that_is_said_twice_counts_once() -> None:
    failed = [smoke_failed(attempt) for attempt in (1, 1, 2, 2, 3, 3)]
    story, ref = merged(EVERYTHING, DEPLOYED, *failed)
    assert story.issue(ref).state is IssueState.DEPLOYING
    say(story, ref, smoke_failed(4))
    assert to_people(story.rounds()) == [EscalationReason.SMOKE_FAILED]
    story.ends()


def test_a_smoke_test_that_passed_at_last_before_anybody_was_told_has_passed() -> None:
    story, ref = merged(EVERYTHING, DEPLOYED)
    failed = [smoke_failed(attempt) for attempt in (1, 2, 3, 4)]
    say(story, ref, *failed, SmokePassed(environment=LIVE, attempt=5))
    assert to_people(story.rounds()) == []
    assert waits_for(story, ref) is DeadlineKind.END_TO_END
    story.ends()


def test_a_smoke_test_that_nobody_asked_for_fails_nothing() -> None:
    story, ref = merged(Delivery(environment=LIVE, verified=True), DEPLOYED)
    say(story, ref, *[smoke_failed(attempt) for attempt in (1, 2, 3, 4)], end_to_end_failed())
    assert to_people(story.rounds()) == []
    say(story, ref, SEEN)
    story.rounds()
    assert story.issue(ref).state is IssueState.DONE
    story.ends()


def test_tests_of_the_whole_that_fail_go_to_a_person_with_the_first_failure() -> None:
    story, ref = merged(EVERYTHING, DEPLOYED, SMOKE)
    say(story, ref, end_to_end_failed("checkout: expected 3, got 4"))
    (escalated,) = story.rounds()
    assert isinstance(escalated, IssueEscalated)
    assert escalated.reason is EscalationReason.END_TO_END_FAILED
    assert escalated.summary == "end to end: 1 of 3 failed: checkout: expected 3, got 4"
    assert story.issue(ref).state is IssueState.ESCALATED
    story.ends()


def test_the_later_run_of_the_tests_counts_whatever_order_they_come_in() -> None:
    story, ref = merged(EVERYTHING, DEPLOYED, SMOKE)
    story.later(60)
    say(story, ref, TESTED)
    story.later(-30)
    say(story, ref, end_to_end_failed())
    story.later(30)
    assert to_people(story.rounds()) == []
    assert waits_for(story, ref) is DeadlineKind.VERIFY
    story.ends()


def test_what_was_tried_before_anybody_asked_for_the_merge_was_something_else() -> None:
    story = Story(policy(EVERYTHING))
    ref = story.approve(1)
    story.to_review(ref)
    say(story, ref, SMOKE, TESTED, SEEN, smoke_failed(1), end_to_end_failed())
    story.check(ref, "h1")
    story.rounds()
    story.merge(ref)
    say(story, ref, DEPLOYED)
    story.rounds()
    assert waits_for(story, ref) is DeadlineKind.SMOKE
    story.ends()


# ── a person goes on ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("word", [RetryRequested(by="ada"), AssignRequested(to="dev-e", by="ada")])
def test_what_was_merged_is_not_done_again_when_a_person_asks_but_delivered(word: Event) -> None:
    story, ref = merged(EVERYTHING, DEPLOYED, *[smoke_failed(attempt) for attempt in (1, 2, 3, 4)])
    assert story.issue(ref).state is IssueState.ESCALATED
    say(story, ref, word)
    assert story.rounds() == [DeadlineSet(kind=DeadlineKind.SMOKE, at=story.now + timedelta(minutes=30))]
    assert story.issue(ref).state is IssueState.DEPLOYING
    say(story, ref, smoke_failed(1), smoke_failed(2), smoke_failed(3))
    assert story.rounds() == [], "it may fail three times again"
    say(story, ref, SMOKE, TESTED, SEEN)
    assert kinds(story.rounds()) == ["IssueDone"]
    assert len(story.said(IssueAssigned)) == 1
    story.ends()


def test_failures_from_before_a_person_was_asked_do_not_count_again_by_being_heard_again() -> None:
    story, ref = merged(EVERYTHING, DEPLOYED, *[smoke_failed(attempt) for attempt in (1, 2, 3, 4)])
    failures = [event for event in story.log if isinstance(event.data, SmokeFailed)]
    say(story, ref, RetryRequested(by="ada"))
    story.rounds()
    for event in failures:
        story.append(event)
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.DEPLOYING
    story.ends()


def test_tests_that_failed_are_waited_for_again() -> None:
    story, ref = merged(EVERYTHING, DEPLOYED, SMOKE, end_to_end_failed())
    say(story, ref, RetryRequested(by="ada"))
    story.rounds()
    assert waits_for(story, ref) is DeadlineKind.END_TO_END
    story.later(60)
    say(story, ref, TESTED)
    story.rounds()
    assert waits_for(story, ref) is DeadlineKind.VERIFY
    story.ends()


def test_what_came_after_a_person_was_asked_counts_once_one_has_answered() -> None:
    story, ref = merged()
    story.deadline_passes(ref)
    assert to_people(story.rounds()) == [EscalationReason.DEPLOY_SILENT]
    say(story, ref, *PATH)
    assert story.rounds() == []
    say(story, ref, RetryRequested(by="ada"))
    assert kinds(story.rounds()) == ["IssueDone"]
    story.ends()


def test_a_delivery_that_a_person_stops_is_gone_on_with_when_one_asks() -> None:
    story, ref = merged(EVERYTHING, DEPLOYED)
    say(story, ref, Stopped(by="ada"))
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.STOPPED
    say(story, ref, RetryRequested(by="ada"))
    story.rounds()
    assert waits_for(story, ref) is DeadlineKind.SMOKE
    story.ends()


def test_a_delivery_that_nobody_wants_any_more_is_not_waited_for() -> None:
    story, ref = merged(EVERYTHING, DEPLOYED)
    say(story, ref, IssueWithdrawn(by="ada"))
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.WITHDRAWN
    story.ends()


# ── taken out again ──────────────────────────────────────────────────────────


def revert(story: Story, ref: IssueRef, merge: str = "m1") -> None:
    story.say(Actor.LOCAL, ref, Reverted(merge_sha=sha(merge), revert_sha=sha("revert"), by="ada"))


def test_what_was_taken_out_again_stays_so_until_a_person_wants_it_done_again() -> None:
    story, ref = merged(Delivery())
    revert(story, ref)
    story.rounds()
    assert story.issue(ref).state is IssueState.DONE
    assert len(story.said(IssueAssigned)) == 1
    say(story, ref, RetryRequested(by="ada"))
    (assigned, *_) = story.rounds()
    assert isinstance(assigned, IssueAssigned)
    assert (assigned.epoch, assigned.attempt, assigned.reason) == (2, 1, AssignReason.ASKED)
    story.start(ref, "r-2")
    story.push(ref, "h2", "r-2")
    story.open(ref, "h2")
    story.check(ref, "h2")
    story.rounds()
    story.merge_by_hand(ref, "h2", "m2")
    assert [event.merge_sha for event in story.rounds() if isinstance(event, IssueDone)] == [sha("m2")]
    story.ends()


def test_a_retry_of_what_is_done_and_was_not_taken_out_does_nothing() -> None:
    story, ref = merged(Delivery())
    say(story, ref, RetryRequested(by="ada"))
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.DONE
    story.ends()


def test_the_merge_that_was_taken_out_does_not_come_back_by_being_said_twice() -> None:
    story, ref = merged(Delivery())
    revert(story, ref)
    say(story, ref, RetryRequested(by="ada"))
    story.rounds()
    story.say(Actor.LOCAL, ref, Merged(head_sha=sha("h1"), base_sha=BASE, merge_sha=sha("m1")))
    revert(story, ref)
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.ASSIGNED
    story.ends()


def test_a_revert_of_something_else_changes_nothing() -> None:
    story, ref = merged(Delivery())
    revert(story, ref, "something-else")
    say(story, ref, RetryRequested(by="ada"))
    assert story.rounds() == []
    assert story.issue(ref).state is IssueState.DONE
    story.ends()


def test_what_is_taken_out_before_it_is_done_goes_to_a_person_who_may_want_it_done_again() -> None:
    story, ref = merged(EVERYTHING, DEPLOYED, SMOKE)
    revert(story, ref)
    assert to_people(story.rounds()) == [EscalationReason.REVERTED]
    say(story, ref, TESTED, SEEN)
    assert story.rounds() == []
    say(story, ref, RetryRequested(by="ada"))
    assert "IssueAssigned" in kinds(story.rounds())
    story.start(ref, "r-2")
    story.push(ref, "h2", "r-2")
    story.open(ref, "h2")
    story.check(ref, "h2")
    story.rounds()
    story.merge_by_hand(ref, "h2", "m2")
    story.rounds()
    assert waits_for(story, ref) is DeadlineKind.DEPLOY, "nothing of the first merge counts for the second"
    say(story, ref, Deployed(environment=LIVE, sha=sha("m2")))
    story.rounds()
    assert waits_for(story, ref) is DeadlineKind.SMOKE
    story.ends()


def test_a_merge_that_is_taken_out_in_the_same_breath_is_not_done() -> None:
    story = Story()
    ref = story.approve(1)
    story.to_merging(ref)
    story.merge(ref)
    revert(story, ref)
    assert to_people(story.rounds()) == [EscalationReason.REVERTED]
    story.ends()


def test_a_second_merge_is_delivered_by_itself() -> None:
    story, ref = merged(Delivery(environment=LIVE, smoke=True), DEPLOYED, SMOKE)
    assert story.issue(ref).state is IssueState.DONE
    story.merge_by_hand(ref, "h2", "m2")
    story.rounds()
    assert waits_for(story, ref) is DeadlineKind.DEPLOY
    say(story, ref, Deployed(environment=LIVE, sha=sha("m2")))
    story.rounds()
    assert waits_for(story, ref) is DeadlineKind.SMOKE
    story.ends()
