"""Money of one issue: what is over is settled, what never began is released, a run that takes over is paid for."""

from conductor.awaits import closed_accounts, reservation_due
from conductor.decide.round import Round
from conductor.state import Issue, dollars
from schemas import BudgetReleased, BudgetSettled, IssueEvent


def settlements(issue: Issue) -> list[IssueEvent]:
    """Money that is set aside for what is over."""
    return [
        BudgetReleased(epoch=account.epoch, amount_usd=dollars(account.reserved))
        if key.startswith("#")
        else BudgetSettled(epoch=account.epoch, run=key, amount_usd=dollars(account.charge))
        for key, account in closed_accounts(issue)
    ]


def takeover(this: Round, issue: Issue) -> list[IssueEvent]:
    """Sets money aside for a run that took the work over; none where there is no room for it."""
    owner = issue.ownership
    if not reservation_due(issue, this.policy) or issue.state.final or this.exhausted(issue, issue.role) is not None:
        return []
    return this.reserve(issue, issue.role, owner.epoch, owner.run)
