"""Assignments, and what their owner says. What a non-owner says changes nothing."""

from datetime import datetime

from conductor.evolve.agents import suspend
from conductor.evolve.money import claim
from conductor.evolve.moves import enter
from conductor.policy import LONGEST_REST, after, rests_after
from conductor.state import Issue, State
from schemas import (
    AssignReason,
    Envelope,
    FailureKind,
    IssueAssigned,
    IssueState,
    IssueUnassigned,
    QuestionAsked,
    SuspensionReason,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)


def fold_work(state: State, issue: Issue, event: Envelope) -> bool:
    """Known by epoch and run."""
    data = event.data
    if isinstance(data, QuestionAsked):
        return _asked(issue, event.id, data)
    claimed_before = issue.ownership.run is not None
    if not issue.ownership.apply(data):
        return False
    match data:
        case IssueAssigned(role=role):
            issue.role = role
        case WorkStarted(run=run, agent=agent, session=session):
            issue.agent, issue.session, issue.wanted_agent, issue.question = agent, session, None, None
            issue.workers |= {agent, issue.role}
            if not claimed_before:
                claim(state, issue, issue.ownership.epoch, run)
        case _:
            pass
    if issue.state.final or issue.merge_sha is not None:
        return True  # a decision that a withdrawal or a merge overtook; the next round takes it back
    match data:
        case IssueAssigned():
            enter(issue, IssueState.ASSIGNED)
        case WorkStarted():
            issue.unassignments += claimed_before  # a takeover: the run before this one died
            enter(issue, IssueState.IN_PROGRESS)
        case WorkPushed(head_sha=head):
            _pushed(issue, head)
        case WorkFailed() as failed:
            _failed(state, issue, failed, event)
        case IssueUnassigned() if issue.working:
            issue.unassignments += 1
            _untouched(issue)
            enter(issue, IssueState.QUEUED)
        case _:
            pass
    return True


def _asked(issue: Issue, known_as: str, asked: QuestionAsked) -> bool:
    if known_as in issue.heard or not issue.ownership.owns(asked.epoch, asked.run):
        return False
    issue.heard.add(known_as)
    issue.question, issue.deadline = asked.run, None
    return True


def _pushed(issue: Issue, head: str) -> None:
    if head == issue.head:
        issue.checks.pop(head, None)  # pushed again as it was: the forge checks it again and says so
    else:
        issue.since_progress, issue.bypassed = 0, False
    issue.head, issue.unassignments, issue.failed_runs, issue.forge_retries, issue.base_moved = head, 0, 0, 0, None
    enter(issue, IssueState.IN_REVIEW)
    judge(issue)


def _failed(state: State, issue: Issue, failed: WorkFailed, event: Envelope) -> None:
    """Each kind of failure has a treatment of its own."""
    kind = failed.kind
    issue.unassignments, issue.findings = 0, failed.detail
    if kind.of_the_work:
        issue.attempts, issue.failed_runs = issue.attempts + 1, 0
        issue.reason = AssignReason.CHECKS_FAILED if kind is FailureKind.CHECKS_FAILED else AssignReason.RETRY
    else:
        issue.failed_runs += 1
        _untouched(issue)
    if rests_after(kind) or (not kind.of_the_work and not _rests(state, issue, kind, failed.retry_at, event)):
        longest = after(event.time, LONGEST_REST.total_seconds())
        issue.backoff, issue.retry_at = True, failed.retry_at and min(failed.retry_at, longest)
    if kind is FailureKind.GUARD:
        issue.guarded = True
    enter(issue, IssueState.QUEUED)


def _untouched(issue: Issue) -> None:
    """Nothing came of the assignment: what led to it (a dispute, a conflict) still waits to be seen to."""
    if issue.reason is AssignReason.NEW:
        issue.reason = AssignReason.RETRY


def _rests(state: State, issue: Issue, kind: FailureKind, until: datetime | None, event: Envelope) -> bool:
    """After a quota or a login it is the replica that rests, and another may go on; False: nobody knows it."""
    if issue.agent is None or issue.agent not in state.agents:
        return False
    reason = SuspensionReason.QUOTA if kind is FailureKind.QUOTA else SuspensionReason.AUTH
    suspend(state, issue.agent, reason, until, event)
    return True


def judge(issue: Issue) -> None:
    """Sends the issue back to work when a verdict on its current head is against it."""
    if issue.head is None:
        return
    checks, review = issue.checks.get(issue.head), issue.reviews.get(issue.head)
    disputes = [verdict for verdict in review.verdicts.values() if not verdict.passed] if review is not None else []
    if checks is not None and not checks.passed:
        issue.attempts += 1
        issue.findings, issue.reason = checks.findings, AssignReason.CHECKS_FAILED
    elif disputes:
        issue.review_rounds += 1
        issue.findings = "\n\n".join(verdict.findings for verdict in disputes)
        issue.reason = AssignReason.REVIEW_DISPUTED
    else:
        return
    enter(issue, IssueState.CHANGES_REQUESTED)
