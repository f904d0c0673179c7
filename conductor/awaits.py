"""What an issue waits for where it stands, and whether anything is due of it. Pure; the indexes follow from it."""

from typing import Final

from conductor.policy import delivery_of, enough
from conductor.state import Account, Issue, Repository, micros, unclaimed
from schemas import DeadlineKind, Delivery, EscalationReason, IssueState, Policy

_ALWAYS: Final = {
    IssueState.ASSIGNED: DeadlineKind.CLAIM,
    IssueState.MERGING: DeadlineKind.MERGE,
    IssueState.GATED: DeadlineKind.GATE,
}
_IN_LINE: Final = (IssueState.QUEUED, IssueState.CHANGES_REQUESTED, IssueState.MERGE_CONFLICT)
_IN_REVIEW: Final = IssueState.IN_REVIEW
_DEPLOYING: Final = IssueState.DEPLOYING
"""Asked for with every event: a member of an enumeration is slow to look up."""


def awaits(issue: Issue, repository: Repository | None, policy: Policy) -> DeadlineKind | None:
    """What an issue waits for in its state; None: for nothing (it is final, or ready for the next word)."""
    if issue.state in _ALWAYS:
        return _ALWAYS[issue.state]
    if issue.state in _IN_LINE:
        return DeadlineKind.BACKOFF if issue.backoff else DeadlineKind.WAITING
    match issue.state:
        case IssueState.IN_REVIEW:
            return _of_the_forge(issue, repository)
        case IssueState.IN_PROGRESS:
            return DeadlineKind.RUN if issue.question is None else DeadlineKind.QUESTION
        case IssueState.DEPLOYING:
            return _of_the_delivery(issue, delivery_of(repository, policy))
        case _:
            return None


def _of_the_forge(issue: Issue, repository: Repository | None) -> DeadlineKind | None:
    if issue.head is None or issue.pull_request_head != issue.head:
        return DeadlineKind.PULL_REQUEST
    if issue.head not in issue.checks:
        return DeadlineKind.CHECKS
    return DeadlineKind.REVIEW if lacks_review(issue, repository) else None


def lacks_review(issue: Issue, repository: Repository | None) -> bool:
    """Whether somebody reviews there, and nobody has given a verdict on the current head."""
    return repository is not None and bool(repository.reviewers) and not issue.review().verdicts


def _of_the_delivery(issue: Issue, delivery: Delivery) -> DeadlineKind | None:
    """The first step that is still to come."""
    done = issue.delivered
    if delivery.environment is None or done.verified:
        return None
    if issue.merge_sha not in done.deployed:
        return DeadlineKind.DEPLOY
    if delivery.smoke and not done.smoke_passed:
        return DeadlineKind.SMOKE
    if delivery.end_to_end and not done.end_to_end:
        return DeadlineKind.END_TO_END
    return DeadlineKind.VERIFY if delivery.verified else None


def review_due(issue: Issue, repository: Repository | None) -> bool:
    """Whether somebody is still to be asked about the current head: nobody was, or whoever was gives no verdict."""
    if issue.state is not _IN_REVIEW or issue.head is None or issue.pull_request_head != issue.head:
        return False
    review = issue.review()
    return lacks_review(issue, repository) and (not review.asked or review.asked[-1] in review.abstained)


def closed_accounts(issue: Issue) -> list[tuple[str, Account]]:
    """Money that is set aside for what is over."""
    owner = issue.ownership
    closed: list[tuple[str, Account]] = []
    for key, account in issue.accounts.items():
        if account.settled is None and not (owner.open and key == (owner.run or unclaimed(owner.epoch))):
            closed.append((key, account))
    return closed


def reservation_due(issue: Issue, policy: Policy) -> bool:
    """Whether a run has taken the work over for which nothing is set aside yet."""
    owner = issue.ownership
    if not owner.open or owner.run is None or not micros(policy.budget.run_usd):
        return False
    account = issue.accounts.get(owner.run)
    return account is None or not account.reserved


def settled(issue: Issue, repository: Repository | None, policy: Policy) -> bool:
    """Whether nothing can be due of this issue until the log says more (an assignment aside)."""
    if issue.state.final:
        return not overtaken(issue) and not closed_accounts(issue)
    deadline = issue.deadline
    if deadline is None or deadline.passed or repository is None or issue.pull_request_closed:
        return False
    if overtaken(issue) or reservation_due(issue, policy) or closed_accounts(issue):
        return False
    if issue.wants_work and (issue.cycle or issue.guarded or issue.rejected or enough(issue, policy) is not None):
        return False
    if awaits(issue, repository, policy) is not deadline.kind:
        return False
    if issue.state is _DEPLOYING:
        return delivery_failed(issue, deadline.kind, delivery_of(repository, policy)) is None
    return not review_due(issue, repository)


def overtaken(issue: Issue) -> bool:
    """Whether it is given to somebody although nobody shall work on it."""
    return issue.ownership.open and not issue.working


def delivery_failed(issue: Issue, kind: DeadlineKind | None, delivery: Delivery) -> EscalationReason | None:
    """Why what is waited for after the merge will not come: it was tried as often as it may be, or taken out again."""
    done = issue.delivered
    if issue.reverted:
        return EscalationReason.REVERTED
    if kind is DeadlineKind.SMOKE and len(done.smoke_failures) > delivery.smoke_retries_max:
        return EscalationReason.SMOKE_FAILED
    if kind is DeadlineKind.END_TO_END and done.end_to_end is False:
        return EscalationReason.END_TO_END_FAILED
    return None
