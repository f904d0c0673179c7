"""Money of one issue: what is over is settled, what never began is released, a run that takes over is paid for."""

from typing import Final

from conductor.awaits import closed_accounts
from conductor.decide.round import Round
from conductor.policy import too_dear
from conductor.state import Issue, dollars
from schemas import BudgetReleased, BudgetSettled, IssueEvent, IssueUnassigned, UnassignReason

SETTLED_MAX: Final = 100
"""Of one issue in one round: what is due of it always fits into one."""


def settlements(issue: Issue) -> list[IssueEvent]:
    """Money that is set aside for what is over."""
    return [
        BudgetReleased(epoch=account.epoch, amount_usd=dollars(account.reserved))
        if not account.claimed
        else BudgetSettled(epoch=account.epoch, run=key, amount_usd=dollars(account.charge))
        for key, account in closed_accounts(issue)[:SETTLED_MAX]
    ]


def takeover(this: Round, issue: Issue) -> list[IssueEvent]:
    """Sets money aside for a run that took the work over; where there is none, the work is taken from it."""
    owner = issue.ownership
    if this.exhausted(issue, issue.role) is None and too_dear(issue, this.state, this.policy) is None:
        return this.reserve(issue, issue.role, owner.epoch, owner.run)
    return [IssueUnassigned(epoch=owner.epoch, reason=UnassignReason.BUDGET)]
