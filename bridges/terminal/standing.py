"""Where one issue stands, folded from its own events: for commands that must work with the read side away. Pure.

It knows as much as a person needs to speak to the point, and decides nothing: that is the conductor's, whose own fold
is exact. What a non-owner says, what is said of an older head, and a word at a gate of somebody who may not, changes
nothing here either.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, TypeAlias

from msgspec import UNSET, Struct, field

from schemas import (
    AssignRequested,
    BudgetRaised,
    ChecksFailed,
    ChecksPassed,
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
    MergeRefusal,
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

GateKey: TypeAlias = tuple[GateReason, str | None]
GateAnswer: TypeAlias = GateApproved | GateRejected | GateBypassed
"""What people say at a gate."""
GATE_ANSWERS: Final = (GateApproved, GateRejected, GateBypassed)
WANTS_WORK: Final = (IssueState.QUEUED, IssueState.CHANGES_REQUESTED, IssueState.MERGE_CONFLICT)
"""The next word should be an assignment."""
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
CHECKS: Final = "#checks"
"""Of the verdicts, the forge's; the others go by their reviewers' names."""
_BEFORE_MERGE: Final = (IssueState.IN_REVIEW, IssueState.MERGING)
_JUDGED: Final = (IssueState.IN_REVIEW, IssueState.GATED, IssueState.MERGING)


class House(Struct, frozen=True, kw_only=True):
    """Whose word counts in a repository."""

    approvers: tuple[str, ...] = ()
    """At gates; empty: whoever may speak to the rig."""
    reviewers: tuple[str, ...] = ()
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
    position: int
    id: str
    """Of the event that opened it."""


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
    def words(self) -> str:
        """The state, for a sentence."""
        return self.state.replace("_", " ")


def standing(history: Iterable[Recorded], issue: IssueRef, house: House | None = None) -> Standing | None:
    """Where the issue stands after these events, in order; None: nobody has approved it.

    Of events about other things it heeds one: that more money is allowed for this issue.
    """
    found: Standing | None = None
    for said in history:
        data = said.event.data
        ours = said.event.about == issue
        if found is None:
            if ours and isinstance(data, IssueApproved):
                found = _new(issue, house or House(), said, data)
            continue
        if not ours and not (isinstance(data, BudgetRaised) and data.scope == f"issue:{issue}"):
            continue
        if _apply(found, said, data):
            found.last, found.anchor = said, said.event.id
        if isinstance(data, _WISHES):
            found.anchor = said.event.id
            found.wishes[type(data)] = said
    return found


def _new(issue: IssueRef, house: House, said: Recorded, data: IssueApproved) -> Standing:
    return Standing(
        issue=issue,
        house=house,
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
        case DeadlineSet() | DeadlinePassed() | IssueWaiting():
            _time(it, said, data)
            return False
        case GateTriggered() | GateApproved() | GateRejected() | GateBypassed() | BudgetRaised():
            return _gate(it, said, data)
        case IssueAssigned() | WorkStarted() | WorkPushed() | WorkFailed() | IssueUnassigned():
            return _work(it, data)
        case QuestionAsked(epoch=epoch, run=run) if it.ownership.owns(epoch, run):
            it.question, it.deadline = said, None
        case QuestionAnswered(run=run) if it.question is not None and it.ownership.run == run:
            it.question, it.deadline = None, None
        case IssueRefused() if it.state in WANTS_WORK:
            _enter(it, IssueState.REFUSED)
        case IssueEscalated(reason=reason) if not it.state.final:
            if reason.of_a_merge != (it.merge_sha is not None):
                return False  # somebody merged it, or wants it done again, since this was decided
            _enter(it, IssueState.ESCALATED)
        case IssueDone() if it.merge_sha is not None and it.state is not IssueState.DONE:
            _enter(it, IssueState.DONE)
        case _:
            return _wish(it, data) or _forge(it, said, data) or _delivery(it, data)
    return True


def _enter(it: Standing, state: IssueState) -> None:
    """Leaving a state voids its deadline, and what was open in it."""
    it.state, it.deadline, it.waiting, it.question = state, None, None, None
    if state is not IssueState.GATED:
        it.gates = {}


def _time(it: Standing, said: Recorded, data: DeadlineSet | DeadlinePassed | IssueWaiting) -> None:
    match data:
        case DeadlineSet():
            it.deadline = said
        case DeadlinePassed(kind=kind, at=at):
            live = it.deadline.event.data if it.deadline is not None else None
            if isinstance(live, DeadlineSet) and (live.kind, live.at) == (kind, at):
                it.deadline = None
        case IssueWaiting():
            it.waiting = said


# ── what people ask for ──────────────────────────────────────────────────────


def _wish(it: Standing, data: Event) -> bool:
    match data:
        case IssueApproved() if it.state is IssueState.WITHDRAWN:
            it.title, it.priority, it.depends_on = data.title, data.priority, data.depends_on
            _again(it)
        case IssueRevised():
            return _revised(it, data)
        case IssueWithdrawn() if it.state is not IssueState.DONE:
            it.ownership.apply(data)
            _enter(it, IssueState.WITHDRAWN)
        case Stopped() if not it.state.final:
            it.ownership.apply(data)
            _enter(it, IssueState.STOPPED)
        case RetryRequested() | AssignRequested() if may_be_tried_again(it):
            _again(it)
        case PriorityChanged(priority=priority):
            it.priority = priority
            return False
        case _:
            return False
    return True


def may_be_tried_again(it: Standing) -> bool:
    """Whether it is at an end that a person may take back."""
    reverted = it.state is IssueState.DONE and it.reverted
    return reverted or it.state in (IssueState.ESCALATED, IssueState.STOPPED)


def _again(it: Standing) -> None:
    """What is merged and was not taken out again goes on from there."""
    if it.reverted:
        it.merge_sha, it.head, it.pull_request, it.reverted = None, None, None, False
    _enter(it, IssueState.QUEUED if it.merge_sha is None else IssueState.DEPLOYING)


def _revised(it: Standing, data: IssueRevised) -> bool:
    it.title = it.title if data.title is UNSET else data.title
    it.priority = it.priority if data.priority is UNSET else data.priority
    it.depends_on = it.depends_on if data.depends_on is UNSET else data.depends_on
    if it.state is IssueState.REFUSED:
        _enter(it, IssueState.QUEUED)
        return True
    # A label may be what it was held for; whether one still holds it, the conductor says.
    return data.labels is not UNSET and _opened(it, [key for key in it.gates if key[0] is GateReason.POLICY])


# ── gates ────────────────────────────────────────────────────────────────────


def _gate(it: Standing, said: Recorded, data: GateTriggered | GateAnswer | BudgetRaised) -> bool:
    match data:
        case GateTriggered():
            return _triggered(it, said, data)
        case BudgetRaised():
            return _opened(it, [key for key in it.gates if key[0] is GateReason.BUDGET])
        case _ if it.house.approvers and data.by not in it.house.approvers:
            return False
        case GateRejected():
            answered = [key for key in it.gates if answers(data, key)]
            if answered:
                _enter(it, IssueState.QUEUED if answered[0][1] is None else IssueState.CHANGES_REQUESTED)
            return bool(answered)
        case GateApproved() | GateBypassed():
            return _opened(it, [key for key in it.gates if opens(data, key, it.house)])


def _triggered(it: Standing, said: Recorded, data: GateTriggered) -> bool:
    """Only where the issue still stands as it stood when this was decided."""
    before_work = data.head_sha is None and it.state in WANTS_WORK
    before_merge = data.head_sha is not None and data.head_sha == it.head and it.state in _BEFORE_MERGE
    key = data.reason, data.head_sha
    if key in it.gates or not (it.state is IssueState.GATED or before_work or before_merge):
        return False
    if it.state is not IssueState.GATED:
        _enter(it, IssueState.GATED)
    it.gates[key] = OpenGate(
        reason=data.reason,
        head_sha=data.head_sha,
        since=said.event.time,
        paths=data.paths,
        detail=data.detail,
        position=said.position,
        id=said.event.id,
    )
    return True


def _opened(it: Standing, keys: list[GateKey]) -> bool:
    """These let it through; behind the last one it goes on."""
    for key in keys:
        del it.gates[key]
    if keys and not it.gates:
        _enter(it, IssueState.QUEUED if keys[0][1] is None else IssueState.IN_REVIEW)
    return bool(keys)


def answers(data: GateAnswer, gate: GateKey) -> bool:
    """Whether this word is about that gate: of that head, and for that reason or for every one."""
    reason, head = gate
    return head == data.head_sha and data.reason in (None, reason)


def opens(data: GateAnswer, gate: GateKey, house: House) -> bool:
    """Whether this word, of somebody who may, surely ends that gate."""
    drives = house.driven and gate[0] is GateReason.TIER and isinstance(data, GateApproved)
    return answers(data, gate) and not drives


# ── work ─────────────────────────────────────────────────────────────────────


def _work(it: Standing, data: IssueAssigned | WorkStarted | WorkPushed | WorkFailed | IssueUnassigned) -> bool:
    """Assignments, and what their owner says."""
    if not it.ownership.apply(data):
        return False
    if isinstance(data, IssueAssigned):
        it.role, it.agent = data.role, None
    if it.state.final or it.merge_sha is not None:
        return False  # a decision that a person's word, or a merge, overtook
    if isinstance(data, WorkStarted):
        it.agent = data.agent
        it.workers |= {data.agent, it.role or ""}
    _enter(it, _AFTER[type(data)])
    if isinstance(data, WorkPushed):
        if data.head_sha == it.head:
            it.verdicts.get(data.head_sha, {}).pop(CHECKS, None)  # as it was: the forge checks it again
        it.head, it.base_moved = data.head_sha, None
        _judge(it)
    return True


_AFTER: Final[dict[type[Event], IssueState]] = {
    IssueAssigned: IssueState.ASSIGNED,
    WorkStarted: IssueState.IN_PROGRESS,
    WorkPushed: IssueState.IN_REVIEW,
    WorkFailed: IssueState.QUEUED,
    IssueUnassigned: IssueState.QUEUED,
}

# ── the forge, reviewers, whoever deploys ────────────────────────────────────


def _forge(it: Standing, said: Recorded, data: Event) -> bool:
    """Verdicts are kept by head: one may come before its head is known. Of two, the source's later time wins."""
    moved = _heard(it, said, data)
    if moved and it.state in _JUDGED:
        _judge(it)
    return moved


def _heard(it: Standing, said: Recorded, data: Event) -> bool:
    time = said.event.time
    match data:
        case PullRequestOpened() | PullRequestUpdated():
            if it.shown is not None and time < it.shown:
                return False
            it.pull_request, it.shown = data.pull_request, time
            if isinstance(data, PullRequestOpened):
                it.author = data.author
            return not it.state.final
        case PullRequestClosed(pull_request=number, superseded_by=superseded_by):
            if number != it.pull_request or it.merge_sha is not None or (it.shown is not None and time < it.shown):
                return False
            it.pull_request, it.shown = superseded_by, time
            if superseded_by is not None and it.state in (IssueState.GATED, IssueState.MERGING):
                _enter(it, IssueState.IN_REVIEW)
            return it.state in _JUDGED
        case ChecksPassed(head_sha=head) | ChecksFailed(head_sha=head):
            late = head == it.head and it.base_moved is not None and time < it.base_moved
            return not late and _verdict(it, head, CHECKS, isinstance(data, ChecksPassed), time)
        case ReviewPassed(head_sha=head, reviewer=by) | ReviewDisputed(head_sha=head, reviewer=by):
            counts = by in it.house.reviewers and by not in it.workers and by != it.author
            return counts and _verdict(it, head, by, isinstance(data, ReviewPassed), time)
        case ReviewRequested(head_sha=head):
            it.deadline = None
            return head == it.head and it.state in _JUDGED
        case ReviewAbstained(head_sha=head):
            return head == it.head and it.state in _JUDGED
        case MergeRequested(head_sha=head) if head == it.head and it.state in _JUDGED:
            _enter(it, IssueState.MERGING)
        case MergeRefused() | MergeConflicted():
            return _not_merged(it, data, time)
        case Merged(merge_sha=merge_sha) if merge_sha not in it.merges:
            it.merges.add(merge_sha)
            it.merge_sha, it.reverted = merge_sha, False
            _enter(it, IssueState.DEPLOYING)
        case Reverted(merge_sha=merge_sha) if merge_sha == it.merge_sha and not it.reverted:
            it.reverted = True
        case _:
            return False
    return True


def _verdict(it: Standing, head: str, facet: str, passed: bool, time: datetime) -> bool:
    """True when it is news about the current head."""
    known = it.verdicts.setdefault(head, {}).get(facet)
    if known is not None and known[1] > time:
        return False
    it.verdicts[head][facet] = passed, time
    return head == it.head and it.state in _JUDGED


def _judge(it: Standing) -> None:
    """Sends the issue back to work when a verdict on its current head is against it."""
    if any(not passed for passed, _ in it.verdicts.get(it.head or "", {}).values()):
        _enter(it, IssueState.CHANGES_REQUESTED)


def _not_merged(it: Standing, data: MergeRefused | MergeConflicted, time: datetime) -> bool:
    asked = it.state in _JUDGED if isinstance(data, MergeConflicted) else it.state is IssueState.MERGING
    if data.head_sha != it.head or not asked or (it.answered is not None and time < it.answered):
        return False
    if time != it.answered:
        it.answered, it.answers = time, []
    if data in it.answers:
        return False
    it.answers.append(data)
    if isinstance(data, MergeConflicted):
        _enter(it, IssueState.MERGE_CONFLICT)
    elif data.reason is MergeRefusal.BASE_MOVED:
        it.base_moved = time
        _enter(it, IssueState.IN_REVIEW)
    else:
        it.deadline = None
    return True


def _delivery(it: Standing, data: Event) -> bool:
    match data:
        case Deployed() | SmokePassed() | SmokeFailed() | EndToEndPassed() | EndToEndFailed() | Verified():
            return it.state is IssueState.DEPLOYING
        case _:
            return False
