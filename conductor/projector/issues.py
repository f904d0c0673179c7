"""The read model of one issue: where it stands, as the facts in the log tell it. Pure.

It says what a person sees and decides nothing; the conductor has a fold of its own, made for deciding. Only the owner's
work counts (schemas.Ownership), and of two verdicts about one head the source's later one.
"""

from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from schemas import (
    ChecksFailed,
    ChecksPassed,
    Deadline,
    DeadlineKind,
    DeadlinePassed,
    DeadlineSet,
    EscalationReason,
    GateRejected,
    IssueApproved,
    IssueAssigned,
    IssueDone,
    IssueEscalated,
    IssueEvent,
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
    Recorded,
    Refusal,
    RetryRequested,
    ReviewDisputed,
    ReviewPassed,
    Stopped,
    Verdict,
    WaitingReason,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)

FINDINGS_MAX = 32_768
"""Characters of findings that are kept."""

T = TypeVar("T")


class Judgement(Struct):
    """A verdict and what it found."""

    verdict: Verdict
    findings: str = ""


class IssueRow(Struct, kw_only=True):
    """One issue. Stored whole as JSON beside the columns that are searched."""

    issue: IssueRef
    opened: int
    """Position of its approval: the order in which issues are listed."""
    position: int
    """Position of the last event folded in."""
    approved: datetime
    updated: datetime
    state: IssueState
    title: str
    body: str
    author: str
    priority: Priority
    depends_on: tuple[IssueRef, ...]
    waiting: tuple[WaitingReason, ...] = ()
    waits_for: tuple[IssueRef, ...] = ()
    ownership: Ownership = msgspec.field(default_factory=Ownership)
    agent: str | None = None
    attempts: int = 0
    branch: str | None = None
    pull_request: int | None = None
    url: str = ""
    head_sha: str | None = None
    checks: dict[str, Judgement] = {}
    """By head."""
    reviews: dict[str, dict[str, Judgement]] = {}
    """By head, then by reviewer."""
    merge_sha: str | None = None
    findings: str = ""
    refusal: Refusal | None = None
    cycle: tuple[IssueRef, ...] = ()
    escalation: EscalationReason | None = None
    deadline: Deadline | None = None


def fold_issue(row: IssueRow | None, said: Recorded, reviewers: tuple[str, ...] = ()) -> IssueRow | None:
    """The row after one event of its issue; it is changed in place. `reviewers` are those the repository names.

    None: there is no such issue, because nobody has approved one. An event at or before the row's position is one
    that it holds already, and changes nothing.
    """
    event = said.event.data
    if row is None:
        return _approved(said, event) if isinstance(event, IssueApproved) else None
    if said.position <= row.position or not isinstance(event, IssueEvent):
        return row
    before = row.state
    _fold(row, said, event, reviewers)
    if row.state is not before:
        if not isinstance(event, DeadlineSet):
            row.deadline = None
        if row.state is not IssueState.QUEUED:
            row.waiting, row.waits_for = (), ()
    row.position, row.updated = said.position, said.stored_at
    return row


def _approved(said: Recorded, event: IssueApproved) -> IssueRow:
    about = said.event.about
    if not isinstance(about, IssueRef):
        raise TypeError(f"an approval about {about!r}, which is no issue")
    return IssueRow(
        issue=about,
        opened=said.position,
        position=said.position,
        approved=said.stored_at,
        updated=said.stored_at,
        state=IssueState.QUEUED,
        title=event.title,
        body=event.body,
        author=event.author,
        priority=event.priority,
        depends_on=event.depends_on,
    )


def _fold(row: IssueRow, said: Recorded, event: IssueEvent, reviewers: tuple[str, ...]) -> None:
    took_effect = row.ownership.apply(event)
    match event:
        case IssueApproved() if row.state is IssueState.WITHDRAWN:
            row.title, row.body, row.author = event.title, event.body, event.author
            row.priority, row.depends_on = event.priority, event.depends_on
            _reopen(row, IssueState.WITHDRAWN)
        case IssueRevised():
            row.title = _given(event.title, row.title)
            row.body = _given(event.body, row.body)
            row.priority = _given(event.priority, row.priority)
            row.depends_on = _given(event.depends_on, row.depends_on)
            _reopen(row, IssueState.REFUSED)
        case PriorityChanged():
            row.priority = event.priority
        case RetryRequested():
            _reopen(row, IssueState.ESCALATED, IssueState.STOPPED)
        case Stopped():
            _move(row, IssueState.STOPPED)
        case IssueWithdrawn():
            if row.state is not IssueState.DONE:
                row.state = IssueState.WITHDRAWN
        case IssueRefused():
            row.refusal, row.cycle = event.reason, event.cycle
            _move(row, IssueState.REFUSED)
        case IssueWaiting():
            _reopen(row, IssueState.REFUSED)  # what it was refused for has come
            row.waiting, row.waits_for = event.reasons, event.waits_for
        case IssueAssigned() if took_effect:
            row.attempts = event.attempt
            _reopen(row, IssueState.REFUSED)
            _move(row, IssueState.ASSIGNED)
        case IssueUnassigned() if took_effect:
            _move(row, IssueState.QUEUED)
        case GateRejected() if row.state is IssueState.GATED:
            row.findings = _cut(event.note)
        case WorkStarted() if took_effect:
            row.agent = event.agent
            _move(row, IssueState.IN_PROGRESS)
        case WorkPushed() if took_effect:
            row.head_sha = event.head_sha
            _move(row, IssueState.IN_REVIEW)
        case WorkFailed() if took_effect:
            row.findings = _cut(f"{event.kind.replace('_', ' ')}: {event.detail}")
            _move(row, IssueState.QUEUED)
        case PullRequestOpened():
            row.url = event.url
            _head(row, event.pull_request, event.branch, event.head_sha, reviewers)
        case PullRequestUpdated():
            _head(row, event.pull_request, event.branch, event.head_sha, reviewers)
        case PullRequestClosed() if event.pull_request == row.pull_request and row.merge_sha is None:
            row.pull_request, row.branch, row.head_sha, row.url = None, None, None, ""
        case ChecksPassed() | ChecksFailed():
            _check(row, said, event)
            _judge(row, reviewers)
        case ReviewPassed() | ReviewDisputed():
            _review(row, said, event)
            _judge(row, reviewers)
        case MergeRequested() if _concerns(row, event.head_sha):
            _move(row, IssueState.MERGING)
        case MergeConflicted() if _concerns(row, event.head_sha):
            row.findings = _cut("\n".join(("merge conflict", *event.paths)))
            _move(row, IssueState.MERGE_CONFLICT)
        case MergeRefused() if _concerns(row, event.head_sha):
            _merge_refused(row, event, reviewers)
        case Merged():
            row.merge_sha = event.merge_sha
        case IssueDone():
            row.merge_sha, row.attempts, row.findings = event.merge_sha, event.attempts, ""
            row.state = IssueState.DONE
        case IssueEscalated() if not row.state.final:
            row.escalation, row.attempts = event.reason, event.attempts
            row.findings = row.findings or event.summary
            row.state = IssueState.ESCALATED
        case DeadlineSet():
            row.deadline = Deadline(kind=event.kind, at=event.at)
            _move(row, _waits(row.state, event.kind))
        case DeadlinePassed() if row.deadline == Deadline(kind=event.kind, at=event.at):
            row.deadline = None
        case _:
            return
    if row.state is not IssueState.IN_PROGRESS:
        row.agent = None


def _waits(state: IssueState, kind: DeadlineKind) -> IssueState:
    """The state that a deadline of this kind belongs to, where no other event says that it was entered."""
    match kind:
        case DeadlineKind.GATE:
            return IssueState.GATED
        case DeadlineKind.DEPLOY | DeadlineKind.SMOKE | DeadlineKind.END_TO_END | DeadlineKind.VERIFY:
            return IssueState.DEPLOYING
        case DeadlineKind.WAITING | DeadlineKind.BACKOFF if state is IssueState.GATED:
            return IssueState.QUEUED
        case DeadlineKind.PULL_REQUEST | DeadlineKind.CHECKS | DeadlineKind.REVIEW if state is IssueState.GATED:
            return IssueState.IN_REVIEW
        case _:
            return state


def _move(row: IssueRow, state: IssueState) -> None:
    """A final state is left by a person's word alone, not by a decision or a report that came late."""
    if not row.state.final:
        row.state = state


def _reopen(row: IssueRow, *states: IssueState) -> None:
    if row.state in states:
        row.state = IssueState.QUEUED
        row.refusal, row.cycle, row.escalation = None, (), None


def _head(row: IssueRow, pull_request: int, branch: str, head_sha: str, reviewers: tuple[str, ...]) -> None:
    row.pull_request, row.branch, row.head_sha = pull_request, branch, head_sha
    _judge(row, reviewers)


def _concerns(row: IssueRow, head_sha: str) -> bool:
    """Whether a word about merging this head is about the work that was pushed last, and nobody works on newer."""
    return head_sha == row.head_sha and row.state in _PUSHED


def _check(row: IssueRow, said: Recorded, event: ChecksPassed | ChecksFailed) -> None:
    match event:
        case ChecksPassed():
            passed, findings = True, ""
        case ChecksFailed():
            passed, findings = (
                False,
                "\n\n".join(
                    f"{check.name}: {check.conclusion.replace('_', ' ')}\n{check.excerpt}" for check in event.failed
                ),
            )
    verdict = Verdict(
        passed=passed, head_sha=event.head_sha, base_sha=event.base_sha, by=said.event.actor, at=said.event.time
    )
    known = row.checks.get(event.head_sha)
    if known is None or known.verdict.at <= verdict.at:
        row.checks[event.head_sha] = Judgement(verdict, _cut(findings))


def _review(row: IssueRow, said: Recorded, event: ReviewPassed | ReviewDisputed) -> None:
    match event:
        case ReviewPassed():
            passed, findings = True, ""
        case ReviewDisputed():
            passed, findings = False, "\n\n".join((f"{event.reviewer}: {event.summary}", *event.comments))
    verdict = Verdict(passed=passed, head_sha=event.head_sha, by=event.reviewer, at=said.event.time)
    of_head = row.reviews.setdefault(event.head_sha, {})
    known = of_head.get(event.reviewer)
    if known is None or known.verdict.at <= verdict.at:
        of_head[event.reviewer] = Judgement(verdict, _cut(findings))


_JUDGED = (IssueState.IN_REVIEW, IssueState.CHANGES_REQUESTED, IssueState.READY_TO_MERGE)
_PUSHED = (*_JUDGED, IssueState.GATED, IssueState.MERGING, IssueState.MERGE_CONFLICT)


def _judge(row: IssueRow, reviewers: tuple[str, ...]) -> None:
    """The state that the verdicts about the current head add up to; work that goes on is not disturbed by them."""
    if row.state not in _JUDGED or row.head_sha is None:
        return
    checks = row.checks.get(row.head_sha)
    of_head = row.reviews.get(row.head_sha, {})
    reviews = {reviewer: found for reviewer, found in of_head.items() if reviewer in reviewers}
    against = [found for found in (checks, *reviews.values()) if found is not None and not found.verdict.passed]
    if against:
        row.findings = _cut("\n\n".join(found.findings for found in against))
        row.state = IssueState.CHANGES_REQUESTED
    elif checks is not None and (reviews or not reviewers):
        row.state = IssueState.READY_TO_MERGE
    else:
        row.state = IssueState.IN_REVIEW


def _merge_refused(row: IssueRow, event: MergeRefused, reviewers: tuple[str, ...]) -> None:
    if event.reason in (MergeRefusal.BASE_MOVED, MergeRefusal.HEAD_MOVED):
        checks = row.checks.get(event.head_sha)
        if checks is not None and checks.verdict.base_sha == event.base_sha:
            del row.checks[event.head_sha]  # it passed on a base that is the base no more
    else:
        row.findings = _cut(f"merge refused, {event.reason.replace('_', ' ')}: {event.detail}")
    _move(row, IssueState.IN_REVIEW)
    _judge(row, reviewers)


def _given(value: T | UnsetType, otherwise: T) -> T:
    return otherwise if value is UNSET else value  # pyright: ignore[reportReturnType] - UNSET is the one UnsetType


def _cut(text: str) -> str:
    return text if len(text) <= FINDINGS_MAX else f"{text[:FINDINGS_MAX]}\n… (cut: {len(text)} characters)"
