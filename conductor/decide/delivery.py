"""What follows a merge: deployed, tried out, verified, as far as the policy asks; then it is done."""

from conductor.awaits import awaits, delivery_failed
from conductor.decide.round import Round
from conductor.policy import delivery_of
from conductor.state import Issue, Repository, dollars
from schemas import EscalationReason, IssueDone, IssueEvent


def delivery_due(this: Round, issue: Issue, repository: Repository | None) -> list[IssueEvent]:
    """The next word about a merge."""
    if issue.merge_sha is None:
        return []
    kind, delivery = awaits(issue, repository, this.policy), delivery_of(repository, this.policy)
    failed = delivery_failed(issue, kind, delivery)
    if failed is not None:
        return [this.escalation(issue, failed)]
    if kind is None:
        return [_done(this, issue, issue.merge_sha)]
    if issue.deadline is None or issue.deadline.kind is not kind:
        return [this.deadline(kind, issue)]
    return [this.escalation(issue, EscalationReason.DEPLOY_SILENT)] if issue.deadline.passed else []


def _done(this: Round, issue: Issue, merge_sha: str) -> IssueDone:
    minutes = max(0.0, (this.now - issue.approved_at).total_seconds() / 60)
    cost = sum(account.charge for account in issue.accounts.values())
    return IssueDone(
        duration_minutes=round(minutes, 2),
        attempts=issue.attempts + 1,
        merge_sha=merge_sha,
        cost_usd=dollars(cost),
    )
