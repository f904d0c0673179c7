"""Where one issue stands, folded from its own events: for commands that must work with the read side away. Pure.

It knows as much as a person needs to speak to the point, and decides nothing: that is the conductor's, whose own fold
is exact. What a non-owner says, and what is said of an older head, changes nothing here either.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, TypeAlias

from msgspec import UNSET, Struct, field

from schemas import (
    AssignRequested,
    ChecksFailed,
    ChecksPassed,
    DeadlineKind,
    DeadlinePassed,
    DeadlineSet,
    Deployed,
    EndToEndFailed,
    EndToEndPassed,
    Event,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    GateTriggered,
    IssueApproved,
    IssueAssigned,
    IssueDone,
    IssueEscalated,
    IssueRef,
    IssueRefused,
    IssueRevised,
    IssueState,
    IssueUnassigned,
    IssueWaiting,
    IssueWithdrawn,
    MergeConflicted,
    Merged,
    MergeRefused,
    MergeRequested,
    Ownership,
    Priority,
    PriorityChanged,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    QuestionAnswered,
    QuestionAsked,
    Recorded,
    RetryRequested,
    Reverted,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    ReviewRequested,
    SmokeFailed,
    SmokePassed,
    Stopped,
    Verified,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)

GATED: Final = "gated"
DEPLOYING: Final = "deploying"

GateKey: TypeAlias = tuple[GateReason, str | None]
GateAnswer: TypeAlias = GateApproved | GateRejected | GateBypassed
"""What people say at a gate."""
GATE_ANSWERS: Final = (GateApproved, GateRejected, GateBypassed)
_WISHES: Final = (
    IssueApproved,
    IssueRevised,
    IssueWithdrawn,
    Stopped,
    RetryRequested,
    PriorityChanged,
    AssignRequested,
    QuestionAnswered,
    *GATE_ANSWERS,
)
_OF_THE_FORGE: Final = (IssueState.IN_REVIEW, IssueState.MERGING)
_DELIVERING: Final = (DeadlineKind.DEPLOY, DeadlineKind.SMOKE, DeadlineKind.END_TO_END, DeadlineKind.VERIFY)


class OpenGate(Struct, frozen=True, kw_only=True):
    """A gate at which the issue waits for a person."""

    reason: GateReason
    head_sha: str | None
    since: datetime
    paths: tuple[str, ...]
    detail: str
    position: int
    id: str
    """Of the event that opened it."""


class Standing(Struct, kw_only=True):
    """One issue that was approved, as its events tell it."""

    issue: IssueRef
    title: str
    priority: Priority
    depends_on: tuple[IssueRef, ...]
    last: Recorded
    """The event that brought it where it stands."""
    anchor: str
    """Id of the last event that moved it or that a person said of it: what somebody knew who speaks now."""
    base: IssueState = IssueState.QUEUED
    ownership: Ownership = field(default_factory=Ownership)
    role: str | None = None
    """That it was assigned to last."""
    agent: str | None = None
    """Who claimed it last."""
    head: str | None = None
    merged: Merged | None = None
    delivering: bool = False
    gates: dict[GateKey, OpenGate] = field(default_factory=dict[GateKey, OpenGate])
    question: Recorded | None = None
    """A question that waits for its answer."""
    deadline: Recorded | None = None
    """The live one; its data is a DeadlineSet."""
    waiting: Recorded | None = None
    """What was last said of why it waits; its data is an IssueWaiting."""
    wishes: dict[type[Event], Recorded] = field(default_factory=dict[type[Event], Recorded])
    """What people said last, of each kind."""

    @property
    def state(self) -> str:
        """As the vocabulary calls it."""
        if self.base.final:
            return self.base
        if any(head is None or self.base in _OF_THE_FORGE for _, head in self.gates):
            return GATED
        return DEPLOYING if self.delivering else self.base

    @property
    def words(self) -> str:
        """The state, for a sentence."""
        return self.state.replace("_", " ")


def standing(history: Iterable[Recorded], issue: IssueRef) -> Standing | None:
    """Where the issue stands after these events, in order; None: nobody has approved it. Others' events are skipped."""
    found: Standing | None = None
    for said in history:
        if said.event.about != issue:
            continue
        data = said.event.data
        if found is None:
            if isinstance(data, IssueApproved):
                found = _new(issue, said, data)
            continue
        if _apply(found, said, data):
            found.last, found.anchor = said, said.event.id
        if isinstance(data, _WISHES):
            found.anchor = said.event.id
            found.wishes[type(data)] = said
    return found


def _new(issue: IssueRef, said: Recorded, data: IssueApproved) -> Standing:
    return Standing(
        issue=issue,
        title=data.title,
        priority=data.priority,
        depends_on=data.depends_on,
        last=said,
        anchor=said.event.id,
        wishes={IssueApproved: said},
    )


def _apply(it: Standing, said: Recorded, data: Event) -> bool:
    """True when the event brought the issue somewhere."""
    match data:
        case IssueApproved() | IssueRevised() | IssueWithdrawn() | Stopped() | RetryRequested() | PriorityChanged():
            return _wish(it, data)
        case DeadlineSet() | DeadlinePassed() | IssueWaiting():
            _time(it, said, data)
            return False
        case Merged() if it.base is not IssueState.DONE:
            it.merged, it.gates, it.deadline = data, {}, None
        case IssueDone():
            _enter(it, IssueState.DONE)
        case Reverted():
            pass
        case IssueAssigned() | WorkStarted() | WorkPushed() | WorkFailed() | IssueUnassigned():
            return _work(it, data)
        case _ if it.base.final:
            return False
        case IssueRefused():
            _enter(it, IssueState.REFUSED)
        case IssueEscalated():
            _enter(it, IssueState.ESCALATED)
        case GateTriggered() | GateApproved() | GateRejected() | GateBypassed():
            return _gate(it, said, data)
        case QuestionAsked(epoch=epoch, run=run) if it.ownership.owns(epoch, run):
            it.question, it.deadline = said, None
        case QuestionAnswered(epoch=epoch, run=run) if it.question is not None and it.ownership.owns(epoch, run):
            it.question, it.deadline = None, None
        case _:
            return _fact(it, data)
    return True


def _wish(it: Standing, data: Event) -> bool:
    match data:
        case IssueApproved() if it.base is IssueState.WITHDRAWN:
            it.title, it.priority, it.depends_on = data.title, data.priority, data.depends_on
            _enter(it, IssueState.QUEUED)
        case IssueRevised(title=title, priority=priority, depends_on=depends_on):
            it.title = it.title if title is UNSET else title
            it.priority = it.priority if priority is UNSET else priority
            it.depends_on = it.depends_on if depends_on is UNSET else depends_on
            if it.base is not IssueState.REFUSED:
                return False
            _enter(it, IssueState.QUEUED)
        case IssueWithdrawn() if it.base is not IssueState.DONE:
            it.ownership.apply(data)
            _enter(it, IssueState.WITHDRAWN)
        case Stopped() if not it.base.final:
            it.ownership.apply(data)
            _enter(it, IssueState.STOPPED)
        case RetryRequested() if it.base in (IssueState.ESCALATED, IssueState.STOPPED):
            _enter(it, IssueState.QUEUED)
        case PriorityChanged(priority=priority):
            it.priority = priority
            return False
        case _:
            return False
    return True


def _time(it: Standing, said: Recorded, data: DeadlineSet | DeadlinePassed | IssueWaiting) -> None:
    match data:
        case DeadlineSet(kind=kind):
            it.deadline = said
            it.delivering = it.delivering or kind in _DELIVERING
        case DeadlinePassed(kind=kind, at=at):
            live = it.deadline.event.data if it.deadline is not None else None
            if isinstance(live, DeadlineSet) and (live.kind, live.at) == (kind, at):
                it.deadline = None
        case IssueWaiting():
            it.waiting = said


def _work(it: Standing, data: IssueAssigned | WorkStarted | WorkPushed | WorkFailed | IssueUnassigned) -> bool:
    """Assignments, and what their owner says."""
    if not it.ownership.apply(data):
        return False
    match data:
        case IssueAssigned(role=role):
            it.role, it.agent = role, None
        case WorkStarted(agent=agent):
            it.agent = agent
        case WorkPushed(head_sha=head):
            it.gates = {key: gate for key, gate in it.gates.items() if key[1] in (None, head)}
            it.head = head
        case _:
            pass
    if it.base.final:
        return False  # a decision that a person's word overtook
    _enter(it, _AFTER[type(data)])
    return True


_AFTER: Final[dict[type[Event], IssueState]] = {
    IssueAssigned: IssueState.ASSIGNED,
    WorkStarted: IssueState.IN_PROGRESS,
    WorkPushed: IssueState.IN_REVIEW,
    WorkFailed: IssueState.QUEUED,
    IssueUnassigned: IssueState.QUEUED,
}


def _gate(it: Standing, said: Recorded, data: GateTriggered | GateAnswer) -> bool:
    if isinstance(data, GateTriggered):
        key = data.reason, data.head_sha
        if key in it.gates:
            return False
        it.gates[key] = OpenGate(
            reason=data.reason,
            head_sha=data.head_sha,
            since=said.event.time,
            paths=data.paths,
            detail=data.detail,
            position=said.position,
            id=said.event.id,
        )
        it.deadline = None
        return True
    answered = [key for key in it.gates if answers(data, key)]
    for key in answered:
        del it.gates[key]
    return bool(answered)


def answers(data: GateAnswer, gate: GateKey) -> bool:
    """Whether this word is about that gate: of that head, and for that reason or for every one."""
    reason, head = gate
    return head == data.head_sha and data.reason in (None, reason)


def _fact(it: Standing, data: Event) -> bool:
    """Facts of a forge, of reviewers and of whoever deploys, and what is asked of them."""
    match data:
        case PullRequestOpened() | PullRequestUpdated() | PullRequestClosed():
            pass
        case (
            ChecksPassed(head_sha=head)
            | ReviewPassed(head_sha=head)
            | ReviewAbstained(head_sha=head)
            | ReviewRequested(head_sha=head)
            | MergeRefused(head_sha=head)
        ):
            return head == it.head and it.base in _OF_THE_FORGE
        case ChecksFailed(head_sha=head) | ReviewDisputed(head_sha=head) if _current(it, head):
            _enter(it, IssueState.CHANGES_REQUESTED)
        case MergeRequested(head_sha=head) if _current(it, head):
            _enter(it, IssueState.MERGING)
        case MergeConflicted(head_sha=head) if _current(it, head):
            _enter(it, IssueState.MERGE_CONFLICT)
        case Deployed() | SmokePassed() | SmokeFailed() | EndToEndPassed() | EndToEndFailed() | Verified():
            return it.merged is not None
        case _:
            return False
    return True


def _current(it: Standing, head: str) -> bool:
    return head == it.head and it.base in _OF_THE_FORGE


def _enter(it: Standing, state: IssueState) -> None:
    """Leaving a state voids its deadline, and what was open in it."""
    it.base, it.deadline, it.waiting, it.question, it.delivering = state, None, None, None, False
    if state.final:
        it.gates = {}
