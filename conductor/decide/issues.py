"""What is due of one issue that is not being assigned in this round."""

from datetime import timedelta

from conductor.awaits import awaits, overtaken, reservation_due, review_due
from conductor.decide.assignment import waiting_reasons
from conductor.decide.delivery import delivery_due
from conductor.decide.merging import gates_reminded, merge_due
from conductor.decide.money import settlements, takeover
from conductor.decide.review import review_requested
from conductor.decide.round import Round
from conductor.policy import enough, to_tell
from conductor.state import Issue, Repository
from schemas import (
    DeadlineKind,
    EscalationReason,
    GateReason,
    GateTriggered,
    IssueEvent,
    IssueNeedsHuman,
    IssueOrphaned,
    IssueRefused,
    IssueState,
    IssueUnassigned,
    IssueWaiting,
    Refusal,
    UnassignReason,
)


def issue_due(this: Round, issue: Issue) -> list[IssueEvent]:
    """Money first, then what the state of the issue asks for."""
    return [*settlements(issue), *_words(this, issue)]


def _words(this: Round, issue: Issue) -> list[IssueEvent]:
    repository = this.state.repositories.get(issue.ref.repository)
    if overtaken(issue):
        return [_taken_back(issue)]
    if issue.state.final:
        return []
    if issue.state is IssueState.DEPLOYING:
        return delivery_due(this, issue, repository)
    if issue.wants_work:
        return _wanting(this, issue, repository)
    kind = awaits(issue, repository, this.policy)
    if repository is None and kind not in (DeadlineKind.CLAIM, DeadlineKind.RUN, DeadlineKind.QUESTION):
        return [this.escalation(issue, EscalationReason.REPOSITORY_REMOVED)]
    if issue.pull_request_closed:
        return [this.escalation(issue, EscalationReason.PULL_REQUEST_CLOSED)]
    if reservation_due(issue, this.policy) and enough(issue, this.policy) is None:
        return takeover(this, issue)
    if kind is not None and review_due(issue, repository):
        asked = review_requested(this, issue, repository, kind)
        if asked or kind is DeadlineKind.REVIEW:
            return asked
    if kind is None:
        return merge_due(this, issue, repository)
    if issue.deadline is None or issue.deadline.kind is not kind:
        if kind is DeadlineKind.RUN and enough(issue, this.policy) is not None:
            return [IssueUnassigned(epoch=issue.ownership.epoch, reason=UnassignReason.STUCK)]
        return [this.deadline(kind, issue)]
    return _overdue(this, issue, kind, repository) if issue.deadline.passed else []


def _taken_back(issue: Issue) -> IssueUnassigned:
    """Work that a person's word, or a merge, overtook."""
    reason = UnassignReason.STOPPED
    if issue.merge_sha is not None:
        reason = UnassignReason.MERGED
    elif issue.state is IssueState.WITHDRAWN:
        reason = UnassignReason.WITHDRAWN
    return IssueUnassigned(epoch=issue.ownership.epoch, reason=reason)


# ── in line ──────────────────────────────────────────────────────────────────


def _wanting(this: Round, issue: Issue, repository: Repository | None) -> list[IssueEvent]:
    """An issue that should get work and does not in this round."""
    if issue.cycle:
        return [IssueRefused(reason=Refusal.CYCLE, cycle=issue.cycle)]
    if repository is None:
        return [IssueRefused(reason=Refusal.NO_SUCH_REPOSITORY)]
    if issue.rejected:
        return [this.escalation(issue, EscalationReason.GATE_REJECTED)]
    reason = enough(issue, this.policy)
    if reason is not None:
        return [this.escalation(issue, reason)]
    if issue.guarded:
        guard = GateTriggered(reason=GateReason.GUARD, detail=issue.findings[-8_000:])
        return [guard, this.deadline(DeadlineKind.GATE, issue)]
    kind = DeadlineKind.BACKOFF if issue.backoff else DeadlineKind.WAITING
    deadline = this.deadline(kind, issue)
    if issue.deadline is None or issue.deadline.kind is not kind:
        long = kind is DeadlineKind.BACKOFF and deadline.at > this.now + timedelta(seconds=this.policy.waiting_seconds)
        return [*_explained(this, issue), deadline] if long else [deadline]
    if not issue.deadline.passed:
        return []
    return [*_explained(this, issue), *told(this, issue), deadline]


def _explained(this: Round, issue: Issue) -> list[IssueEvent]:
    """Why it waits, unless that was said already."""
    reasons, waits_for = waiting_reasons(this, issue), tuple(this.state.unmet(issue))
    if issue.waiting == (reasons, waits_for):
        return []
    return [IssueWaiting(reasons=reasons, since=issue.since, waits_for=waits_for)]


def told(this: Round, issue: Issue) -> list[IssueEvent]:
    """What people should hear of an issue that has stood where it stands for long."""
    due = to_tell(issue, this.now, this.policy)
    hours = round(max(0.0, (this.now - issue.since).total_seconds() / 3_600), 1)
    if due > issue.told and due == 2:
        return [IssueNeedsHuman(waited_hours=hours)]
    if due > issue.told and not issue.state.final and issue.state is not IssueState.GATED:
        return [IssueOrphaned(waited_hours=hours)]
    return []


# ── what has not come in time ────────────────────────────────────────────────


def _overdue(this: Round, issue: Issue, kind: DeadlineKind, repository: Repository | None) -> list[IssueEvent]:
    match kind:
        case DeadlineKind.CLAIM:
            return [IssueUnassigned(epoch=issue.ownership.epoch, reason=UnassignReason.STALE)]
        case DeadlineKind.RUN:
            return [IssueUnassigned(epoch=issue.ownership.epoch, reason=UnassignReason.STUCK)]
        case DeadlineKind.QUESTION:
            return [this.escalation(issue, EscalationReason.QUESTION_UNANSWERED)]
        case DeadlineKind.GATE:
            return [*gates_reminded(this, issue), *told(this, issue), this.deadline(kind, issue)]
        case DeadlineKind.REVIEW:
            return review_requested(this, issue, repository, kind)
        case _ if issue.forge_retries >= this.policy.forge_retries_max:
            return [this.escalation(issue, EscalationReason.FORGE_SILENT)]
        case DeadlineKind.MERGE:
            return merge_due(this, issue, repository)
        case _:
            return [this.deadline(kind, issue)]
