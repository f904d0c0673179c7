"""Where one issue stands, as the log tells it: for who must say so with the read side away. Plain data.

`standing_fold` folds it. It knows as much as a person needs to speak to the point, and decides nothing: that is the
conductor's, with whose own fold it agrees (tests/simulation/test_standing_agrees.py).
"""

from datetime import datetime
from typing import Final, TypeAlias

from msgspec import Struct, field

from schemas import (
    DeadlineKind,
    DeadlineSet,
    Event,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    IssueRef,
    IssueState,
    Ownership,
    Priority,
    Recorded,
)

GateKey: TypeAlias = tuple[GateReason, str | None]
GateAnswer: TypeAlias = GateApproved | GateRejected | GateBypassed
"""What people say at a gate."""
GATE_ANSWERS: Final = (GateApproved, GateRejected, GateBypassed)
WANTS_WORK: Final = (IssueState.QUEUED, IssueState.CHANGES_REQUESTED, IssueState.MERGE_CONFLICT)
"""The next word should be an assignment."""
CHECKS: Final = "#checks"
"""Of the verdicts, the forge's; the others go by their reviewers' names."""


class House(Struct, frozen=True, kw_only=True):
    """Whose word counts in a repository."""

    approvers: tuple[str, ...] = ()
    """At gates; empty: whoever may speak to the rig."""
    reviewers: tuple[str, ...] = ()
    blocking: frozenset[str] = frozenset()
    """Labels that hold an issue, in small letters."""
    driven: bool = False
    """Whether there are changes that a person drives (T3): nobody but the conductor can tell which, and it does not
    take an approval as enough for them."""


class OpenGate(Struct, frozen=True, kw_only=True):
    """A gate at which the issue waits for a person."""

    reason: GateReason
    head_sha: str | None
    since: datetime
    paths: tuple[str, ...]
    detail: str
    opened: Recorded
    """The event that opened it."""


class Standing(Struct, kw_only=True):
    """One issue that was approved, as its events tell it."""

    issue: IssueRef
    house: House
    title: str
    priority: Priority
    depends_on: tuple[IssueRef, ...]
    last: Recorded
    """The event that brought it where it stands."""
    anchor: str
    """Id of the last event that moved it or that a person said of it: what somebody knew who speaks now."""
    state: IssueState = IssueState.QUEUED
    ownership: Ownership = field(default_factory=Ownership)
    role: str | None = None
    """That it was assigned to last."""
    agent: str | None = None
    """Who claimed it last."""
    head: str | None = None
    pull_request: int | None = None
    shown: datetime | None = None
    """When the pull request was last shown, or closed."""
    author: str = ""
    """Of the pull request."""
    workers: set[str] = field(default_factory=set[str])
    """Whoever has worked on it: nobody reviews his own."""
    verdicts: dict[str, dict[str, tuple[bool, datetime]]] = field(
        default_factory=dict[str, dict[str, tuple[bool, datetime]]]
    )
    """By head, then by who says it: whether it passed, and when that was said."""
    base_moved: datetime | None = None
    answered: datetime | None = None
    """When the forge last said that it did not merge."""
    answers: list[Event] = field(default_factory=list[Event])
    """What it said then."""
    merge_sha: str | None = None
    merges: set[str] = field(default_factory=set[str])
    reverted: bool = False
    gates: dict[GateKey, OpenGate] = field(default_factory=dict[GateKey, OpenGate])
    """Open ones: empty unless it is gated."""
    question: Recorded | None = None
    """A question that waits for its answer."""
    deadline: Recorded | None = None
    """The live one; its data is a DeadlineSet."""
    waiting: Recorded | None = None
    """What was last said of why it waits; its data is an IssueWaiting."""
    wishes: dict[type[Event], Recorded] = field(default_factory=dict[type[Event], Recorded])
    """What people said last, of each kind."""

    @property
    def judged(self) -> bool:
        """Whether verdicts on its head move it: a gate before any work is none of a merge's."""
        before_work = self.state is IssueState.GATED and all(head is None for _, head in self.gates)
        return self.state in (IssueState.IN_REVIEW, IssueState.GATED, IssueState.MERGING) and not before_work

    @property
    def words(self) -> str:
        """The state, for a sentence."""
        return self.state.replace("_", " ")


def may_be_tried_again(it: Standing) -> bool:
    """Whether it is at an end that a person may take back."""
    reverted = it.state is IssueState.DONE and it.reverted
    return reverted or it.state in (IssueState.ESCALATED, IssueState.STOPPED)


def rests(it: Standing) -> bool:
    """Whether it rests before it is assigned again: a person may end that."""
    due = it.deadline.event.data if it.deadline is not None else None
    return isinstance(due, DeadlineSet) and due.kind is DeadlineKind.BACKOFF


def answers(data: GateAnswer, gate: GateKey) -> bool:
    """Whether this word is about that gate: of that head, and for that reason or for every one."""
    reason, head = gate
    return head == data.head_sha and data.reason in (None, reason)


def opens(data: GateAnswer, gate: GateKey, house: House) -> bool:
    """Whether this word, of somebody who may, surely ends that gate."""
    drives = house.driven and gate[0] is GateReason.TIER and isinstance(data, GateApproved)
    return answers(data, gate) and not drives


def enter(it: Standing, state: IssueState) -> None:
    """Leaving a state voids its deadline, and what was open in it."""
    it.state, it.deadline, it.waiting, it.question = state, None, None, None
    if state is not IssueState.GATED:
        it.gates = {}


def judge(it: Standing) -> None:
    """Sends the issue back to work when a verdict on its current head is against it."""
    if any(not passed for passed, _ in it.verdicts.get(it.head or "", {}).values()):
        enter(it, IssueState.CHANGES_REQUESTED)
