"""The fold of one issue's events into a Standing: what people ask for, gates, deadlines, work. Pure.

What a non-owner says, what is said of an older head, and a word at a gate of somebody who may not, changes nothing.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import UNSET

from bridges.standing import (
    CHECKS,
    GATE_ANSWERS,
    WANTS_WORK,
    GateAnswer,
    GateKey,
    House,
    OpenGate,
    Standing,
    answers,
    enter,
    judge,
    may_be_tried_again,
    opens,
    rests,
)
from bridges.standing_forge import delivery, forge
from schemas import (
    AssignRequested,
    BudgetRaised,
    DeadlinePassed,
    DeadlineSet,
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
    PriorityChanged,
    QuestionAnswered,
    QuestionAsked,
    Recorded,
    RetryRequested,
    Stopped,
    Withdrawal,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)

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
_BEFORE_MERGE: Final = (IssueState.IN_REVIEW, IssueState.MERGING)


def standing(history: Iterable[Recorded], issue: IssueRef, house: House | None = None) -> Standing | None:
    """Where the issue stands after these events, in order; None: nobody has approved it.

    Of events about other things it heeds one: that more money is allowed for this issue.
    """
    found: Standing | None = None
    heard: set[str] = set()
    for said in history:
        if said.event.id in heard:
            continue  # said twice
        heard.add(said.event.id)
        found = hear(found, said, issue, house)
    return found


def hear(found: Standing | None, said: Recorded, issue: IssueRef, house: House | None = None) -> Standing | None:
    """Where it stands after one event more, which was not heard before; a Standing is changed and given back."""
    data = said.event.data
    ours = said.event.about == issue
    if found is None:
        return _new(issue, house or House(), said, data) if ours and isinstance(data, IssueApproved) else None
    if not ours and not (isinstance(data, BudgetRaised) and data.scope == f"issue:{issue}"):
        return found
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
            enter(it, IssueState.REFUSED)
        case IssueEscalated(reason=reason) if not it.state.final:
            if reason.of_a_merge != (it.merge_sha is not None):
                return False  # somebody merged it, or wants it done again, since this was decided
            enter(it, IssueState.ESCALATED)
        case IssueDone() if it.merge_sha is not None and it.state is not IssueState.DONE:
            enter(it, IssueState.DONE)
        case _:
            return _wish(it, data) or forge(it, said, data) or delivery(it, data)
    return True


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
        case IssueWithdrawn(reason=reason):
            it.ownership.apply(data)
            by_its_merge = reason is Withdrawal.CLOSED and it.merge_sha is not None
            if it.state is IssueState.DONE or by_its_merge:
                return False
            enter(it, IssueState.WITHDRAWN)
        case Stopped():
            it.ownership.apply(data)
            if it.state.final:
                return False
            enter(it, IssueState.STOPPED)
        case RetryRequested() | AssignRequested() if may_be_tried_again(it):
            _again(it)
        case RetryRequested() | AssignRequested() if rests(it):
            it.deadline = None
        case PriorityChanged(priority=priority):
            it.priority = priority
            return False
        case _:
            return False
    return True


def _again(it: Standing) -> None:
    """What is merged and was not taken out again goes on from there."""
    if it.reverted:
        it.merge_sha, it.head, it.pull_request, it.reverted = None, None, None, False
    enter(it, IssueState.QUEUED if it.merge_sha is None else IssueState.DEPLOYING)


def _revised(it: Standing, data: IssueRevised) -> bool:
    it.title = it.title if data.title is UNSET else data.title
    it.priority = it.priority if data.priority is UNSET else data.priority
    it.depends_on = it.depends_on if data.depends_on is UNSET else data.depends_on
    if it.state is IssueState.REFUSED:
        enter(it, IssueState.QUEUED)
        return True
    if data.labels is UNSET or any(label.lower() in it.house.blocking for label in data.labels):
        return False
    return _opened(it, [key for key in it.gates if key[0] is GateReason.POLICY])


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
                enter(it, IssueState.QUEUED if answered[0][1] is None else IssueState.CHANGES_REQUESTED)
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
        enter(it, IssueState.GATED)
    it.gates[key] = OpenGate(
        reason=data.reason,
        head_sha=data.head_sha,
        since=said.event.time,
        paths=data.paths,
        detail=data.detail,
        opened=said,
    )
    return True


def _opened(it: Standing, keys: list[GateKey]) -> bool:
    """These let it through; behind the last one it goes on."""
    for key in keys:
        del it.gates[key]
    if keys and not it.gates:
        enter(it, IssueState.QUEUED if keys[0][1] is None else IssueState.IN_REVIEW)
    return bool(keys)


# ── work ─────────────────────────────────────────────────────────────────────


def _work(it: Standing, data: IssueAssigned | WorkStarted | WorkPushed | WorkFailed | IssueUnassigned) -> bool:
    """Assignments, and what their owner says."""
    if not it.ownership.apply(data):
        return False
    if isinstance(data, IssueAssigned):
        it.role, it.agent = data.role, None
    if isinstance(data, WorkStarted):
        it.agent = data.agent
        it.workers |= {data.agent, it.role or ""}
    if it.state.final or it.merge_sha is not None:
        return False  # a decision that a person's word, or a merge, overtook
    if isinstance(data, IssueUnassigned) and it.state not in (IssueState.ASSIGNED, IssueState.IN_PROGRESS):
        return False
    enter(it, _AFTER[type(data)])
    if isinstance(data, WorkPushed):
        if data.head_sha == it.head:
            it.verdicts.get(data.head_sha, {}).pop(CHECKS, None)  # as it was: the forge checks it again
        it.head, it.base_moved = data.head_sha, None
        judge(it)
    return True


_AFTER: Final[dict[type[Event], IssueState]] = {
    IssueAssigned: IssueState.ASSIGNED,
    WorkStarted: IssueState.IN_PROGRESS,
    WorkPushed: IssueState.IN_REVIEW,
    WorkFailed: IssueState.QUEUED,
    IssueUnassigned: IssueState.QUEUED,
}
