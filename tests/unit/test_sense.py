"""A wish that would change nothing is refused with what to do; one that holds already is found and not said again."""

from datetime import UTC, datetime

import pytest

from bridges.standing_fold import standing
from bridges.terminal import Failed, gate, lookup, sense
from schemas import (
    AssignRequested,
    DeadlineKind,
    DeadlineSet,
    EscalationReason,
    Event,
    GateApproved,
    GateReason,
    GateTriggered,
    IssueApproved,
    IssueDone,
    IssueEscalated,
    IssueRef,
    IssueWithdrawn,
    Merged,
    Overrides,
    Policy,
    PolicyAdopted,
    Priority,
    PriorityChanged,
    QuestionAnswered,
    QuestionAsked,
    RetryRequested,
    Stopped,
)
from schemas.policy import Gates
from tests.support.saying import assigned, pushed, started
from tests.support.told import ISSUE, Told

APPROVED = IssueApproved(title="Fix total", author="ann")
HEAD, OTHER = "a" * 40, "c" * 40
DONE = IssueDone(duration_minutes=1, attempts=1, merge_sha="d" * 40)
MERGED = Merged(head_sha=HEAD, base_sha="b" * 40, merge_sha="d" * 40)
ESCALATED = IssueEscalated(reason=EscalationReason.ATTEMPTS, attempts=3)
RESTS = DeadlineSet(kind=DeadlineKind.BACKOFF, at=datetime(2030, 1, 1, tzinfo=UTC))
GATES = (
    GateTriggered(reason=GateReason.SIZE, head_sha=HEAD),
    GateTriggered(reason=GateReason.TIER, head_sha=HEAD),
)
REVIEWED = (APPROVED, assigned(), started(), pushed(head=HEAD))


def of(*events: Event):
    told = Told()
    for event in events:
        told.say(event)
    found = standing(told.log, ISSUE)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("before", "wish", "said"),
    [
        ((APPROVED, MERGED, DONE), Stopped(by="ann"), "demo/shop#1 is done: there is nothing to stop"),
        ((APPROVED,), RetryRequested(by="ann"), "demo/shop#1 is queued: it is tried again when it is escalated or"),
        (
            (APPROVED, MERGED, DONE),
            IssueWithdrawn(by="ann"),
            "demo/shop#1 is done: what is merged is taken out again by",
        ),
        ((APPROVED, MERGED, DONE), PriorityChanged(priority=Priority.LOW, by="ann"), "demo/shop#1 is done: how urgent"),
        ((APPROVED, IssueWithdrawn(by="b")), AssignRequested(to="dev-e", by="ann"), "demo/shop#1 is withdrawn: nobody"),
    ],
)
def test_what_would_change_nothing_is_refused(before: tuple[Event, ...], wish: Event, said: str) -> None:
    with pytest.raises(Failed) as refused:
        sense.holds(of(*before), wish)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("before", "wish", "position"),
    [
        ((APPROVED, Stopped(by="bob")), Stopped(by="ann"), 2),
        ((APPROVED, RESTS, RetryRequested(by="ann")), RetryRequested(by="ann"), 3),
        ((APPROVED, ESCALATED, RetryRequested(by="ann")), RetryRequested(by="ann"), 3),
        ((APPROVED, ESCALATED, RetryRequested(by="ann"), assigned()), RetryRequested(by="ann"), 3),
        ((APPROVED, IssueWithdrawn(by="bob")), IssueWithdrawn(by="ann"), 2),
        ((APPROVED,), PriorityChanged(priority=Priority.NORMAL, by="ann"), 1),
        ((APPROVED, PriorityChanged(priority=Priority.LOW, by="b")), PriorityChanged(priority=Priority.LOW, by="a"), 2),
        ((APPROVED, AssignRequested(to="dev-e-2", by="ann")), AssignRequested(to="dev-e-2", by="ann"), 2),
    ],
)
def test_what_holds_already_is_not_said_again(before: tuple[Event, ...], wish: Event, position: int) -> None:
    found = sense.holds(of(*before), wish)
    assert found is not None
    assert found.position == position


@pytest.mark.parametrize(
    ("before", "wish"),
    [
        ((APPROVED,), Stopped(by="ann")),
        ((APPROVED, Stopped(by="ann"), RetryRequested(by="ann")), Stopped(by="ann")),
        ((APPROVED, ESCALATED, RetryRequested(by="ann"), ESCALATED), RetryRequested(by="ann")),
        ((APPROVED, RESTS), RetryRequested(by="ann")),
        ((APPROVED, RetryRequested(by="ann"), RESTS), RetryRequested(by="ann")),
        ((APPROVED,), PriorityChanged(priority=Priority.HIGH, by="ann")),
        (
            (APPROVED, AssignRequested(to="a", by="ann"), AssignRequested(to="b", by="ann")),
            AssignRequested(to="a", by="ann"),
        ),
    ],
)
def test_what_is_meant_anew_is_said_anew(before: tuple[Event, ...], wish: Event) -> None:
    assert sense.holds(of(*before), wish) is None


class TestAnswers:
    ASKED = QuestionAsked(epoch=1, run="r-1", question="Which one?")
    GIVEN = QuestionAnswered(epoch=1, run="r-1", answer="Both", by="ann")

    def test_the_question_that_waits_is_answered(self) -> None:
        it = of(APPROVED, assigned(), started(), self.ASKED)
        assert sense.open_question(it, "Both", "ann").event.data == self.ASKED

    def test_the_same_answer_again_is_found_and_another_is_refused(self) -> None:
        it = of(APPROVED, assigned(), started(), self.ASKED, self.GIVEN)
        assert sense.open_question(it, "Both", "ann") == it.wishes[QuestionAnswered]
        with pytest.raises(Failed, match="is in progress, and no run of it waits for an answer"):
            sense.open_question(it, "None", "ann")


class TestGates:
    def heads(self, *events: Event, reason: GateReason | None = None, head: str | None = None) -> list[str | None]:
        return [gate.reason.value for gate in sense.open_gates(of(*REVIEWED, *events), reason, head)]

    def test_all_that_are_open_are_meant_or_the_one_that_is_named(self) -> None:
        assert self.heads(*GATES) == ["size", "tier"]
        assert self.heads(*GATES, reason=GateReason.TIER) == ["tier"]
        with pytest.raises(Failed, match="no gate budget of demo/shop#1 is open, but size at aaaaaaaaa, tier at aaaa"):
            self.heads(*GATES, reason=GateReason.BUDGET)

    def test_none_is_open(self) -> None:
        with pytest.raises(Failed, match="no gate of demo/shop#1 is open: it is in review; `rig why demo/shop#1`"):
            self.heads()

    def test_another_head_than_the_one_that_was_seen_is_refused(self) -> None:
        assert self.heads(*GATES, head=HEAD[:8]) == ["size", "tier"]
        with pytest.raises(Failed, match="demo/shop#1 is at aaaaaaaaaaaa now, not at cccccccc: look at what is there"):
            self.heads(*GATES, head=OTHER[:8])

    def test_the_same_word_again_is_found(self) -> None:
        word = GateApproved(head_sha=HEAD, by="ann", note="read it")
        it = of(*REVIEWED, *GATES, word)
        assert sense.answered_before(it, GateApproved(by="ann", note="read it")) == it.wishes[GateApproved]
        assert sense.answered_before(it, GateApproved(by="ann", note="other")) is None
        assert sense.answered_before(of(*REVIEWED, *GATES), word) is None

    def test_who_may(self) -> None:
        policy = Policy(gates=Gates(approvers=("ann",)))
        for overrides, allowed in (
            (None, ("ann",)),
            (Overrides(), ("ann",)),
            (Overrides(approvers=("bob",)), ("bob",)),
            (Overrides(approvers=()), ()),
        ):
            assert lookup.Served(overrides=overrides).house(policy).approvers == allowed
        assert lookup.Served().house(None).approvers == ()

    def test_only_issues_whose_gates_nobody_answered_are_read_whole(self) -> None:
        told = Told()
        size, tier = GATES
        size_of_other = GateTriggered(reason=GateReason.SIZE, head_sha=OTHER)
        policy = Policy(gates=Gates(approvers=("ann",)))
        told.say(PolicyAdopted(policy=policy, hash="p", by="ann"))
        for number, words in enumerate(
            (
                (size,),
                (size, GateApproved(head_sha=HEAD, by="ann", note="n")),
                (size, tier, GateApproved(reason=GateReason.SIZE, head_sha=HEAD, by="ann", note="n")),
                (size, GateApproved(head_sha=HEAD, by="bob", note="n")),
                (size, size_of_other, GateApproved(head_sha=OTHER, by="ann", note="n")),
            ),
            start=1,
        ):
            for word in words:
                told.say(word, about=IssueRef("demo", "shop", number))
        assert [ref.number for ref in gate.unanswered(told.log)] == [1, 3, 4]
