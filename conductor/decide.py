"""decide: what should be said now and is not yet said?

Pure: no clock, no I/O, no randomness, no order that hangs on hashing. It looks at the state and not at the event that
changed it, so a missed trigger cannot exist. It acts on a passed deadline only when the log says that it passed.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from conductor.policy import deadline_at, enough
from conductor.state import Issue, Repository, State, awaits, review_due
from schemas import (
    DeadlineKind,
    DeadlineSet,
    Draft,
    EscalationReason,
    IssueAssigned,
    IssueDone,
    IssueEscalated,
    IssueEvent,
    IssueRefused,
    IssueState,
    IssueUnassigned,
    IssueWaiting,
    MergeRequested,
    Policy,
    Refusal,
    ReviewRequested,
    UnassignReason,
    WaitingReason,
)

RULES: Final = 1
"""The version of evolve and decide together. A replay compares decisions of equal rules."""
ROUND_MAX: Final = 999
"""Decisions of one round: with its Decided they fill one atomic batch."""


def may_decide(state: State) -> bool:
    """Whether this prefix of the log may be decided on: it ends no batch in the middle, and its rules are not newer."""
    return state.batch_complete and state.policy is not None and state.rules <= RULES


def moment(state: State, clock: datetime) -> datetime:
    """The `now` of a round: the later of the clock and the last round's."""
    return clock if state.decided_now is None else max(clock, state.decided_now)


def decide(state: State, now: datetime, policy: Policy) -> list[Draft]:
    """Everything that is due, issue by issue, at most ROUND_MAX drafts; what does not fit comes next round."""
    drafts: list[Draft] = []
    for issue, events in _due(state, now, policy):
        if len(drafts) + len(events) > ROUND_MAX:
            break
        drafts += [Draft(about=issue.ref, data=event, cause=issue.cause, correlation=issue.id) for event in events]
    return drafts


def _due(state: State, now: datetime, policy: Policy) -> Iterator[tuple[Issue, list[IssueEvent]]]:
    """Assignments first, by the issues' static key; then the rest, by reference. Each issue comes once."""
    assigned = {issue.ref for issue in _assignable(state, policy)}
    for ref in sorted(assigned, key=lambda ref: state.issues[ref].age):
        yield state.issues[ref], _assignment(state, state.issues[ref], now, policy)
    for ref in sorted(state.unsettled - assigned):
        issue = state.issues[ref]
        events = _words(state, issue, now, policy)
        if events:
            yield issue, events


# ── assignment ───────────────────────────────────────────────────────────────


def _assignable(state: State, policy: Policy) -> list[Issue]:
    """The issues that get work in this round: as many as there are free slots, the most urgent and oldest first."""
    free = state.slots_free(policy.role)
    chosen: list[Issue] = []
    if free <= 0:
        return chosen
    for issue in sorted((state.issues[ref] for ref in state.wanting), key=lambda issue: issue.age):
        if not _obstacles(state, issue, policy):
            chosen.append(issue)
            if len(chosen) == free:
                break
    return chosen


def _obstacles(state: State, issue: Issue, policy: Policy) -> list[WaitingReason]:
    """Why the issue may not be assigned, capacity aside; empty: it may."""
    repository = state.repositories.get(issue.ref.repository)
    found: list[WaitingReason] = []
    if next(state.unmet(issue), None) is not None or issue.cycle:
        found.append(WaitingReason.DEPENDENCY)
    if repository is None or not repository.configured:
        found.append(WaitingReason.REPOSITORY)
    if issue.backoff or enough(issue, policy) is not None:
        found.append(WaitingReason.CAPACITY)
    return found


def _assignment(state: State, issue: Issue, now: datetime, policy: Policy) -> list[IssueEvent]:
    return [
        IssueAssigned(
            epoch=issue.ownership.epoch + 1,
            role=policy.role,
            agent=issue.agent if issue.agent in state.agents else None,
            attempt=issue.attempts + 1,
            resume=issue.session,
            reason=issue.reason,
        ),
        _deadline(DeadlineKind.CLAIM, issue, now, policy),
    ]


# ── everything else ──────────────────────────────────────────────────────────


def _words(state: State, issue: Issue, now: datetime, policy: Policy) -> list[IssueEvent]:
    """What is due of one issue that is not being assigned."""
    if issue.merge_sha is not None and issue.state is not IssueState.DONE:
        return [_done(issue, issue.merge_sha, now)]
    if issue.state.final:
        return [IssueUnassigned(epoch=issue.ownership.epoch, reason=_taken_back(issue))] if issue.ownership.open else []
    repository = state.repositories.get(issue.ref.repository)
    if issue.wants_work:
        return _wanting(state, issue, repository, now, policy)
    reviewers = repository.reviewers if repository is not None else ()
    kind = awaits(issue, reviewers)
    if repository is None and kind not in (DeadlineKind.CLAIM, DeadlineKind.RUN):
        return [_escalation(issue, EscalationReason.REPOSITORY_REMOVED)]
    events: list[IssueEvent] = []
    if review_due(issue, reviewers) and issue.head is not None and issue.pull_request is not None:
        events.append(
            ReviewRequested(
                epoch=issue.ownership.epoch,
                pull_request=issue.pull_request,
                head_sha=issue.head,
                reviewer=reviewers[issue.review_rounds % len(reviewers)],
                iteration=issue.review_rounds + 1,
            )
        )
    if kind is None:
        return [*events, *_merge(issue, now, policy)]
    if issue.deadline is None or issue.deadline.kind is not kind:
        if kind is DeadlineKind.RUN and enough(issue, policy) is not None:
            return [IssueUnassigned(epoch=issue.ownership.epoch, reason=UnassignReason.STUCK)]
        return [*events, _deadline(kind, issue, now, policy)]
    return [*events, *(_overdue(issue, kind, now, policy) if issue.deadline.passed else [])]


def _done(issue: Issue, merge_sha: str, now: datetime) -> IssueDone:
    minutes = max(0.0, (now - issue.approved_at).total_seconds() / 60)
    return IssueDone(duration_minutes=round(minutes, 2), attempts=issue.attempts + 1, merge_sha=merge_sha)


def _taken_back(issue: Issue) -> UnassignReason:
    return UnassignReason.WITHDRAWN if issue.state is IssueState.WITHDRAWN else UnassignReason.STOPPED


def _wanting(
    state: State, issue: Issue, repository: Repository | None, now: datetime, policy: Policy
) -> list[IssueEvent]:
    """An issue that should get work and does not in this round."""
    if issue.cycle:
        return [IssueRefused(reason=Refusal.CYCLE, cycle=issue.cycle)]
    if repository is None:
        return [IssueRefused(reason=Refusal.NO_SUCH_REPOSITORY)]
    reason = enough(issue, policy)
    if reason is not None:
        return [_escalation(issue, reason)]
    kind = DeadlineKind.BACKOFF if issue.backoff else DeadlineKind.WAITING
    if issue.deadline is None or issue.deadline.kind is not kind:
        return [_deadline(kind, issue, now, policy)]
    if not issue.deadline.passed:
        return []
    reasons = tuple(_obstacles(state, issue, policy)) or (WaitingReason.CAPACITY,)
    waits_for = tuple(state.unmet(issue))
    deadline = _deadline(kind, issue, now, policy)
    if issue.waiting == (reasons, waits_for):
        return [deadline]  # nothing new to say of it
    return [IssueWaiting(reasons=reasons, since=issue.since, waits_for=waits_for), deadline]


def _merge(issue: Issue, now: datetime, policy: Policy) -> list[IssueEvent]:
    """Every verdict that is needed has passed for the current head: ask for exactly that merge."""
    checks = issue.checks.get(issue.head) if issue.head is not None else None
    if issue.head is None or issue.pull_request is None or checks is None or checks.base is None or not checks.passed:
        return []
    return [
        MergeRequested(
            epoch=issue.ownership.epoch, pull_request=issue.pull_request, head_sha=issue.head, base_sha=checks.base
        ),
        _deadline(DeadlineKind.MERGE, issue, now, policy),
    ]


def _overdue(issue: Issue, kind: DeadlineKind, now: datetime, policy: Policy) -> list[IssueEvent]:
    """What an issue waited for has not come in time."""
    match kind:
        case DeadlineKind.CLAIM:
            return [IssueUnassigned(epoch=issue.ownership.epoch, reason=UnassignReason.STALE)]
        case DeadlineKind.RUN:
            return [IssueUnassigned(epoch=issue.ownership.epoch, reason=UnassignReason.STUCK)]
        case DeadlineKind.REVIEW:
            return [_escalation(issue, EscalationReason.REVIEW_SILENT)]
        case _ if issue.forge_retries >= policy.forge_retries_max:
            return [_escalation(issue, EscalationReason.FORGE_SILENT)]
        case DeadlineKind.MERGE:
            return _merge(issue, now, policy)
        case _:
            return [_deadline(kind, issue, now, policy)]


def _escalation(issue: Issue, reason: EscalationReason) -> IssueEscalated:
    return IssueEscalated(reason=reason, attempts=issue.attempts, summary=issue.findings[-8_000:])


def _deadline(kind: DeadlineKind, issue: Issue, now: datetime, policy: Policy) -> DeadlineSet:
    return DeadlineSet(kind=kind, at=deadline_at(kind, issue, now, policy))
