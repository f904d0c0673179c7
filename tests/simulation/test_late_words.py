"""What people and forges say is heard in any order: of one facet the later word of a role counts, by its clock."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from schemas import (
    FLEET,
    Actor,
    BudgetRaised,
    Event,
    GateApproved,
    Gates,
    GateTriggered,
    IssueApproved,
    IssueRef,
    IssueRevised,
    IssueState,
    IssueWithdrawn,
    MergeRefusal,
    MergeRefused,
    Priority,
    PriorityChanged,
)
from tests.support.story import BASE, FREE, Story, kinds, sha

DEPENDS_ON = (IssueRef("demo", "shop", 9),)


def say_after(story: Story, ref: IssueRef, seconds: float, data: Event, actor: Actor = Actor.LOCAL) -> None:
    """Says it as somebody whose clock is so far behind, or ahead of, the story's."""
    now = story.now
    story.later(seconds)
    story.say(actor, ref, data)
    story.now = now


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (IssueRevised(labels=("wip",)), IssueRevised(labels=())),
        (IssueRevised(priority=Priority.CRITICAL), IssueRevised(priority=Priority.LOW)),
        (PriorityChanged(priority=Priority.CRITICAL, by="ada"), IssueRevised(priority=Priority.LOW)),
        (IssueRevised(priority=Priority.CRITICAL), PriorityChanged(priority=Priority.LOW, by="ada")),
        (IssueRevised(depends_on=DEPENDS_ON), IssueRevised(depends_on=())),
        (IssueRevised(requires=("gpu",)), IssueRevised(requires=())),
        (IssueRevised(milestone="1.0"), IssueRevised(milestone=None)),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_of_two_words_about_one_facet_the_later_counts(newer: Event, older: Event, *, late: bool) -> None:
    actor = Actor.GITHUB  # may say all of these
    story = Story(slots=0)
    ref = story.approve()
    before = story.issue(ref)
    untouched = (before.labels, before.priority, before.depends_on, before.requires, before.milestone)
    for seconds, word in ((20, newer), (10, older)) if late else ((10, older), (20, newer)):
        say_after(story, ref, seconds, word, actor)
    issue = story.issue(ref)
    now = (issue.labels, issue.priority, issue.depends_on, issue.requires, issue.milestone)
    assert now != untouched
    assert sum(one != other for one, other in zip(now, untouched, strict=True)) == 1
    if late:
        story.ends()


def test_of_two_roles_whose_clocks_may_differ_the_one_that_is_heard_later_counts() -> None:
    story = Story(slots=0)
    ref = story.approve()
    say_after(story, ref, 20, IssueRevised(priority=Priority.LOW), Actor.LOCAL)
    say_after(story, ref, 10, PriorityChanged(priority=Priority.CRITICAL, by="ada"), Actor.CLI)
    assert story.issue(ref).priority is Priority.CRITICAL
    story.ends()


def test_what_is_withdrawn_stays_so_when_an_older_approval_is_heard() -> None:
    story = Story(slots=0)
    ref = story.approve()
    say_after(story, ref, 20, IssueWithdrawn(by="ada"))
    say_after(story, ref, 10, IssueApproved(title="Issue 1", author="ada"))
    assert story.issue(ref).state is IssueState.WITHDRAWN
    say_after(story, ref, 20, IssueApproved(title="Issue 1", author="ada"))
    assert story.issue(ref).state is IssueState.QUEUED
    story.ends()


# ── labels and their gate ────────────────────────────────────────────────────


def at_the_gate() -> tuple[Story, IssueRef]:
    story = Story()
    ref = story.approve(labels=("wip",))
    story.to_review(ref)
    story.check(ref, "h1")
    assert kinds(story.rounds()) == ["GateTriggered", "DeadlineSet"]
    return story, ref


def test_a_gate_says_what_holds_the_issue_now() -> None:
    story, ref = at_the_gate()
    story.say(Actor.LOCAL, ref, IssueRevised(labels=("wip", "do-not-merge", "bug")))
    story.rounds()
    assert [gate.detail for gate in story.said(GateTriggered)] == ["labelled wip", "labelled wip, do-not-merge"]
    story.gate(GateApproved, ref, "h1")
    story.rounds()
    assert story.issue(ref).state is IssueState.MERGING
    story.ends()


def test_what_was_let_through_is_held_again_by_another_label() -> None:
    story, ref = at_the_gate()
    story.gate(GateApproved, ref, "h1")
    story.rounds()
    story.later(1)
    story.say(Actor.LOCAL, ref, IssueRevised(labels=("wip", "do-not-merge")))
    story.say(Actor.LOCAL, ref, MergeRefused(head_sha=sha("h1"), base_sha=BASE, reason=MergeRefusal.BASE_MOVED))
    story.later(1)
    story.check(ref, "h1", base=sha("next"))
    assert kinds(story.rounds()) == ["GateTriggered", "DeadlineSet"]
    story.ends()


def test_what_was_let_through_is_not_held_again_by_fewer_labels() -> None:
    story, ref = at_the_gate()
    story.say(Actor.LOCAL, ref, IssueRevised(labels=("wip", "do-not-merge")))
    story.rounds()
    story.gate(GateApproved, ref, "h1")
    story.later(1)
    story.say(Actor.LOCAL, ref, IssueRevised(labels=("do-not-merge",)))
    story.rounds()
    assert story.issue(ref).state is IssueState.MERGING
    story.ends()


def test_which_labels_hold_an_issue_the_policy_says() -> None:
    story = Story(replace(FREE, gates=Gates(blocking_labels=("hold",))))
    ref = story.approve(labels=("hold",))
    story.to_review(ref)
    story.check(ref, "h1")
    story.rounds()
    story.gate(GateApproved, ref, "h1")
    story.later(1)
    story.say(Actor.LOCAL, ref, IssueRevised(labels=("hold", "wip")))
    story.rounds()
    assert story.issue(ref).state is IssueState.MERGING
    assert len(story.said(GateTriggered)) == 1
    story.ends()


# ── a forge that is slow, and answers ────────────────────────────────────────


def test_a_forge_that_is_late_with_everything_and_answers_in_the_end_is_waited_for() -> None:
    story = Story()
    ref = story.approve()
    story.rounds()
    story.start(ref)
    story.push(ref, "h1")
    story.rounds()
    for answer in (
        lambda: story.open(ref, "h1"),
        lambda: story.check(ref, "h1"),
        lambda: story.say(
            Actor.LOCAL, ref, MergeRefused(head_sha=sha("h1"), base_sha=BASE, reason=MergeRefusal.BASE_MOVED)
        ),
        lambda: story.check(ref, "h1", base=sha("next")),
        lambda: story.merge(ref),
    ):
        for _ in range(3):
            story.deadline_passes(ref)
            story.rounds()
        story.later(1)
        answer()
        story.rounds()
    assert story.issue(ref).state is IssueState.DONE
    story.ends()


def test_money_that_is_allowed_for_an_issue_that_nobody_approved_is_recorded_and_no_more() -> None:
    story = Story()
    raised = BudgetRaised(scope="issue:demo/shop#7", limit_usd=5, until=story.now + timedelta(hours=1), by="ada")
    story.say(Actor.CLI, FLEET, raised)
    story.rounds()
    assert story.state.issues == {}
    story.ends()
