"""What follows from the policy's numbers: how long a wait may last, and when the rig has tried enough.

The numbers themselves are schemas.Policy; they reach the conductor through the log alone.
"""

from datetime import datetime, timedelta
from typing import Final

from conductor.state import Issue
from schemas import DeadlineKind, EscalationReason, Policy

LONGEST_REST: Final = timedelta(days=7)
"""However far away an agent says that its quota resets."""
WAITS_DOUBLED: Final = 6
"""How often the pause doubles before it is looked at again why an issue waits."""


def deadline_at(kind: DeadlineKind, issue: Issue, now: datetime, policy: Policy) -> datetime:
    """When a wait of this kind that begins now must have ended."""
    if kind is DeadlineKind.BACKOFF and issue.retry_at is not None and issue.retry_at > now:
        return min(issue.retry_at, now + LONGEST_REST)
    return now + timedelta(seconds=_seconds(kind, issue, policy))


def _seconds(kind: DeadlineKind, issue: Issue, policy: Policy) -> float:
    match kind:
        case DeadlineKind.WAITING:
            return policy.waiting_seconds * 2 ** min(issue.waited, WAITS_DOUBLED)
        case DeadlineKind.BACKOFF:
            return policy.failed_run_backoff_seconds
        case DeadlineKind.CLAIM:
            return policy.claim_seconds
        case DeadlineKind.RUN:
            return policy.run_seconds
        case DeadlineKind.PULL_REQUEST:
            return policy.pull_request_seconds
        case DeadlineKind.CHECKS:
            return policy.checks_seconds
        case DeadlineKind.REVIEW:
            return policy.review_seconds
        case DeadlineKind.MERGE:
            return policy.merge_retry_seconds if issue.merge_refused else policy.merge_seconds
        case DeadlineKind.GATE:
            return policy.gates.reminder_seconds
        case DeadlineKind.QUESTION:
            return policy.question_seconds
        case DeadlineKind.DEPLOY:
            return policy.delivery.deploy_seconds
        case DeadlineKind.SMOKE:
            return policy.delivery.smoke_seconds
        case DeadlineKind.END_TO_END:
            return policy.delivery.end_to_end_seconds
        case DeadlineKind.VERIFY:
            return policy.delivery.verify_seconds


def enough(issue: Issue, policy: Policy) -> EscalationReason | None:
    """Why the rig should stop trying, if it should, before it assigns the issue once more."""
    if issue.attempts >= policy.attempts_max:
        return EscalationReason.ATTEMPTS
    if issue.unassignments >= policy.unassignments_max:
        return EscalationReason.NOBODY_WORKS
    if issue.failed_runs >= policy.failed_runs_max:
        return EscalationReason.RUNS
    if issue.conflicts >= policy.conflicts_max:
        return EscalationReason.CONFLICTS
    if issue.review_rounds >= policy.review_rounds_max:
        return EscalationReason.REVIEW_ROUNDS
    return None
