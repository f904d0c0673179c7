"""The terminal's fold of one issue says what the conductor's says, wherever whatever may be said leads.

The two share no code but the ownership of work: what `rig why` tells, and what a person may approve, is what the
conductor will act on.
"""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridges.terminal import lookup, sense
from bridges.terminal.chain import Known, chain
from bridges.terminal.explain import Facts, explain
from bridges.terminal.fleet import fleet
from bridges.terminal.ledger import Ledger, Sum
from schemas import (
    FLEET,
    Actor,
    AssignRequested,
    BudgetRaised,
    Changes,
    Delivery,
    Environment,
    Event,
    FailureKind,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    Gates,
    IssueRef,
    IssueRevised,
    IssueWaiting,
    IssueWithdrawn,
    MergeConflicted,
    Merged,
    MergeRefusal,
    MergeRefused,
    Policy,
    PullRequestClosed,
    QuestionAnswered,
    QuestionAsked,
    Recorded,
    RetryRequested,
    Reverted,
    Stopped,
    TokensUsed,
    Verified,
    Withdrawal,
)
from tests.support.story import BASE, Story, sha

SENSITIVE = Changes(files=1, lines=1, paths=("auth/login.py",))
POLICY = Policy(
    gates=Gates(approvers=("ada",)), delivery=Delivery(environment=Environment.STAGING, verified=True), attempts_max=2
)
HEADS = ("h1", "h2")


def recorded(story: Story) -> list[Recorded]:
    return [Recorded(position, said.time, said) for position, said in enumerate(story.log, start=1)]


def assert_agree(story: Story, ref: IssueRef, *, decided: bool = True) -> None:
    """`decided`: the conductor has said what it has to say to that, so that a deadline is set wherever one is due."""
    theirs, ours = story.issue(ref), lookup.standings_in(recorded(story), [ref])[ref]
    assert ours is not None
    assert ours.state == theirs.state
    assert (ours.ownership, ours.head) == (theirs.ownership, theirs.head)
    assert (ours.merge_sha, ours.reverted) == (theirs.merge_sha, theirs.reverted)
    assert sorted(ours.gates) == sorted(theirs.open_gates)
    assert (ours.question is not None) == (theirs.question is not None and theirs.state == "in_progress")
    if not decided:
        return
    money = Ledger(recorded(story)).sums(story.now.date()).get(f"issue:{ref}", Sum())
    assert money.spent + money.reserved == theirs.committed
    live = theirs.deadline if theirs.deadline is not None and not theirs.deadline.passed else None
    known = ours.deadline.event.data if ours.deadline is not None else None
    assert (live is None) == (known is None)
    if live is not None:
        assert (known.kind, known.at) == (live.kind, live.at)  # type: ignore[union-attr] - the test knows which it is


def words(ref: IssueRef, epoch: int, head: str, by: str, reason: GateReason | None) -> dict[str, tuple[Actor, Event]]:
    """What may be said besides what a Story has words for, sensible or not."""
    at = sha(head)
    return {
        "stop": (Actor.CLI, Stopped(by=by)),
        "retry": (Actor.CLI, RetryRequested(by=by)),
        "assign": (Actor.CLI, AssignRequested(to="dev-e", by=by)),
        "withdraw": (Actor.CLI, IssueWithdrawn(by=by)),
        "closed by its merge": (Actor.LOCAL, IssueWithdrawn(reason=Withdrawal.CLOSED, by=by)),
        "unlabel": (Actor.CLI, IssueRevised(labels=())),
        "label": (Actor.CLI, IssueRevised(labels=("wip",))),
        "approve": (Actor.CLI, GateApproved(reason=reason, head_sha=at, by=by, note="n")),
        "bypass": (Actor.CLI, GateBypassed(reason=reason, head_sha=at, by=by, note="n")),
        "reject": (Actor.CLI, GateRejected(reason=reason, head_sha=at, by=by, note="n")),
        "approve early": (Actor.CLI, GateApproved(reason=reason, by=by, note="n")),
        "reject early": (Actor.CLI, GateRejected(reason=reason, by=by, note="n")),
        "ask": (Actor.DEV_E, QuestionAsked(epoch=epoch, run="r-1", question="?")),
        "answer": (Actor.CLI, QuestionAnswered(epoch=epoch, run="r-1", answer="!", by=by)),
        "conflict": (Actor.LOCAL, MergeConflicted(head_sha=at, base_sha=BASE)),
        "base moved": (Actor.LOCAL, MergeRefused(head_sha=at, base_sha=BASE, reason=MergeRefusal.BASE_MOVED)),
        "protected": (Actor.LOCAL, MergeRefused(head_sha=at, base_sha=BASE, reason=MergeRefusal.PROTECTED)),
        "merged": (Actor.LOCAL, Merged(head_sha=at, base_sha=BASE, merge_sha=sha(f"m{head}"))),
        "revert": (Actor.LOCAL, Reverted(merge_sha=sha(f"m{head}"), revert_sha=sha("r"), by=by)),
        "superseded": (Actor.LOCAL, PullRequestClosed(pull_request=1, superseded_by=2)),
        "closed": (Actor.LOCAL, PullRequestClosed(pull_request=1)),
        "spend": (Actor.DEV_E, TokensUsed(epoch=epoch, run="r-1", provider="p", cost_usd=0.5)),
        "spend much": (Actor.DEV_E, TokensUsed(epoch=epoch, run="r-1", provider="p", cost_usd=3)),
        "verified": (Actor.CLI, Verified(environment=Environment.STAGING, by=by)),
    }


STEPS = st.tuples(
    st.sampled_from(
        [*words(IssueRef("a", "b", 1), 1, "h1", "ada", None), "raise", "again"]
        + ["start", "push", "fail", "guard", "rest", "open", "pass", "break", "agree", "dispute", "wait"]
        + ["on"] * 40
    ),
    st.sampled_from(HEADS),
    st.sampled_from(["ada", "ada", "eve"]),
    st.sampled_from([None, GateReason.SENSITIVE_PATH]),
)


ON = {
    "queued": "wait",
    "changes_requested": "wait",
    "merge_conflict": "wait",
    "assigned": "start",
    "in_progress": "push, shown and checked",
    "in_review": "pass",
    "gated": "approve",
    "merging": "merged",
    "deploying": "verified",
}
"""How it goes on where nothing is in the way."""


def act(story: Story, ref: IssueRef, step: tuple[str, str, str, Any]) -> None:
    what, head, by, reason = step
    match ON.get(story.issue(ref).state, "retry") if what == "on" else what:
        case "push, shown and checked":
            story.push(ref, head)
            story.open(ref, head, SENSITIVE)
            story.check(ref, head)
            story.review(ref, head)
        case "start":
            story.start(ref)
        case "push":
            story.push(ref, head)
        case "fail":
            story.fail(ref, FailureKind.CHECKS_FAILED)
        case "rest":
            story.fail(ref, FailureKind.RATE_LIMITED, retry_at=story.now + timedelta(days=6))
        case "guard":
            story.fail(ref, FailureKind.GUARD)
        case "open":
            story.open(ref, head, SENSITIVE)
        case "pass" | "break":
            story.check(ref, head, passed=what == "pass")
        case "agree" | "dispute":
            story.review(ref, head, passed=what == "agree")
        case "raise":
            raised = BudgetRaised(scope=f"issue:{ref}", limit_usd=99, until=story.now + timedelta(days=1), by=by)
            story.say(Actor.CLI, FLEET, raised)
        case "again":
            story.approve()
        case "wait":
            if story.issue(ref).deadline is not None:
                story.deadline_passes(ref)
        case other:
            epoch = max(story.issue(ref).ownership.epoch, 1)
            story.say(*_placed(ref, words(ref, epoch, head, by, reason)[other]))


def _placed(ref: IssueRef, said: tuple[Actor, Event]) -> tuple[Actor, IssueRef, Event]:
    return said[0], ref, said[1]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(STEPS, max_size=25), st.booleans())
def test_whatever_is_said(steps: list[tuple[str, str, str, Any]], reviewed: bool) -> None:
    story = Story(POLICY, reviewers=("review-e",) if reviewed else ())
    ref = story.approve()
    story.rounds()
    for step in steps:
        story.later(1)
        act(story, ref, step)
        assert_agree(story, ref, decided=False)
        story.rounds()
        assert_agree(story, ref)


@pytest.mark.parametrize("again", ["the same head", "another head", "another pull request"])
def test_a_gate_that_was_left_is_opened_anew_for_what_comes_back(again: str) -> None:
    """Nobody has looked yet: it is not merged; and what was seen last is all that must be let through."""
    story = Story(POLICY)
    ref = story.approve()
    story.to_review(ref, "h1", changes=SENSITIVE)
    story.check(ref, "h1")
    story.rounds()
    story.later(1)
    head = "h2" if again == "another head" else "h1"
    if again == "another pull request":
        story.say(Actor.LOCAL, ref, PullRequestClosed(pull_request=1, superseded_by=2))
        story.rounds()
        story.later(1)
        story.open(ref, head, SENSITIVE)
    else:
        story.check(ref, "h1", passed=False)
        story.to_review(ref, head, "r-2", changes=SENSITIVE)
        story.later(1)
        story.check(ref, head)
    story.rounds()
    assert (story.issue(ref).state, story.issue(ref).open_gates) == ("gated", [(GateReason.SENSITIVE_PATH, sha(head))])
    assert_agree(story, ref)
    story.gate(GateApproved, ref, head)
    story.rounds()
    assert story.issue(ref).state == "merging"


def test_the_way_to_a_gate_and_through_it() -> None:
    """So that the walk above cannot agree by never coming anywhere."""
    story = Story(POLICY)
    ref = story.approve()
    for step in ("start", "push", "open", "pass"):
        story.rounds()
        story.later(1)
        act(story, ref, (step, "h1", "ada", None))
    story.rounds()
    assert [key[0] for key in story.issue(ref).open_gates] == [GateReason.SENSITIVE_PATH]
    assert_agree(story, ref)
    for by, state in (("eve", "gated"), ("ada", "merging")):
        act(story, ref, ("approve", "h1", by, None))
        story.rounds()
        assert story.issue(ref).state == state
        assert_agree(story, ref)


def test_what_rests_goes_on_at_once_when_a_person_asks() -> None:
    story = Story(POLICY)
    ref = story.approve()
    for step in ("start", "rest"):
        story.rounds()
        story.later(1)
        act(story, ref, (step, "h1", "ada", None))
    story.rounds()
    assert_agree(story, ref)
    ours = lookup.standings_in(recorded(story), [ref])[ref]
    assert ours is not None
    assert sense.holds(ours, RetryRequested(by="ada")) is None, "it is said"
    act(story, ref, ("retry", "h1", "ada", None))
    assert_agree(story, ref, decided=False)
    story.rounds()
    assert_agree(story, ref)
    assert story.issue(ref).state == "assigned"


@pytest.mark.parametrize(("reason", "state"), [(Withdrawal.CLOSED, "deploying"), (Withdrawal.CANCELLED, "withdrawn")])
def test_what_its_own_merge_closes_is_not_withdrawn(reason: Withdrawal, state: str) -> None:
    story = Story(POLICY)
    ref = story.approve()
    story.to_merging(ref)
    story.merge(ref)
    story.rounds()
    story.say(Actor.LOCAL, ref, IssueWithdrawn(reason=reason, by="ada"))
    assert_agree(story, ref, decided=False)
    story.rounds()
    assert_agree(story, ref)
    assert story.issue(ref).state == state


def test_a_dependency_that_was_taken_out_again_is_named() -> None:
    """As long as the conductor waits for it."""
    story = Story(slots=1)
    first = story.approve(1)
    story.to_merging(first)
    story.merge(first)
    story.rounds()
    second = story.approve(2, depends_on=(first,))
    story.say(Actor.LOCAL, first, Reverted(merge_sha=sha("m1"), revert_sha=sha("x"), by="ada"))
    story.rounds()
    story.deadline_passes(second)
    story.rounds()
    assert [said.waits_for for said in story.said(IssueWaiting)] == [(first,)]
    log = recorded(story)
    stand = lookup.standings_in(log, [first, second])
    ours = stand[second]
    assert ours is not None
    links, missing = chain(ours.last, Known(log))
    facts = Facts(fleet=fleet(log), repository=True, depends_on={first: stand[first]})
    named = [wait.text for wait in explain(ours, links, missing, facts, story.now).now if wait.what == "dependency"]
    assert [text.partition(",")[0] for text in named] == [f"{first} is done"]
