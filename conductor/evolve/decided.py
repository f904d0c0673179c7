"""The conductor's own words that move an issue, and its deadlines. They come in batches, each folded once."""

from conductor.awaits import lacks_review
from conductor.evolve.moves import enter
from conductor.state import Deadline, Issue, Review, State, Trust
from schemas import (
    DeadlineKind,
    DeadlinePassed,
    DeadlineSet,
    Envelope,
    IssueDone,
    IssueEscalated,
    IssueNeedsHuman,
    IssueOrphaned,
    IssueRefused,
    IssueState,
    IssueWaiting,
    MergeRequested,
    Refusal,
    ReviewRequested,
)

_OF_THE_FORGE = (DeadlineKind.PULL_REQUEST, DeadlineKind.CHECKS)


def fold_decided(state: State, issue: Issue, event: Envelope) -> bool:
    match event.data:
        case IssueRefused(reason=reason) if issue.wants_work:
            cured = not issue.cycle if reason is Refusal.CYCLE else issue.ref.repository in state.repositories
            if cured:
                return False  # by what came since this was decided
            enter(issue, IssueState.REFUSED)
        case IssueWaiting(reasons=reasons, waits_for=waits_for):
            issue.waiting = (reasons, waits_for)
            return False
        case IssueOrphaned():
            issue.told = max(issue.told, 1)
            return False
        case IssueNeedsHuman():
            issue.told = 2
            return False
        case ReviewRequested(head_sha=head, reviewer=reviewer):
            issue.reviews.setdefault(head, Review()).asked.append(reviewer)
            issue.deadline = None
        case MergeRequested(head_sha=head) if head == issue.head and issue.state is IssueState.IN_REVIEW:
            if head not in issue.checks or lacks_review(issue, state.repositories.get(issue.ref.repository)):
                return False  # the base has moved, or a reviewer was named since; if the forge merges it, it is merged
            issue.merge_refused = False
            enter(issue, IssueState.MERGING)
        case MergeRequested(head_sha=head) if head == issue.head and issue.state is IssueState.MERGING:
            issue.forge_retries += 1
            issue.merge_refused, issue.deadline = False, None
        case IssueEscalated(reason=reason) if not issue.state.final:
            if reason.of_a_merge != (issue.merge_sha is not None):
                return False  # somebody merged it, or wants it done again, since this was decided
            enter(issue, IssueState.ESCALATED)
        case IssueDone() if issue.merge_sha is not None and issue.state is not IssueState.DONE:
            enter(issue, IssueState.DONE)
            _clean_merge(state, issue, event.id)
        case _:
            return False
    return True


def _clean_merge(state: State, issue: Issue, cause: str) -> None:
    """Done, and nobody had to bypass anything: the role has earned a little trust."""
    if issue.role and issue.kind and not issue.bypassed and not issue.reverted:
        trust = state.trust.setdefault((issue.role, issue.kind), Trust())
        trust.clean.append(issue.ref)
        trust.cause = cause
        state.unsettled_trust.add((issue.role, issue.kind))


def fold_deadline(_: State, issue: Issue, event: Envelope) -> bool:
    """A new deadline replaces the one before; one that passed counts only while it lives."""
    live = issue.deadline
    match event.data:
        case DeadlineSet(kind=kind, at=at):
            if live is not None and live.passed and live.kind is kind and kind in _OF_THE_FORGE:
                issue.forge_retries += 1
            issue.deadline = Deadline(kind, at, event.id)
            return False
        case DeadlinePassed(kind=kind, at=at):
            if event.id in issue.heard:
                return False
            issue.heard.add(event.id)
            if live is None or (live.kind, live.at) != (kind, at) or live.passed:
                return False
            issue.deadline = Deadline(live.kind, live.at, live.id, passed=True)
            if kind is DeadlineKind.BACKOFF:
                if issue.retry_at is None or at >= issue.retry_at:  # and not only people's moment to hear of it
                    issue.backoff, issue.retry_at = False, None
            elif kind is DeadlineKind.WAITING:
                issue.waited += 1
            return True
        case _:
            return False
