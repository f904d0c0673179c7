"""The read models that are the conductor's fold itself, shown: budgets, trust, milestones, incidents, pauses. Pure."""

from datetime import datetime

from msgspec import Struct

from conductor.projector.model import Overview
from conductor.state import State, dollars
from schemas import IssueRef, RepoRef, Tier


class BudgetRow(Struct, frozen=True, kw_only=True):
    """One budget of the day. Those of single issues stand with the issues."""

    scope: str
    reserved_usd: float
    spent_usd: float
    raised_to_usd: float | None = None
    raised_until: datetime | None = None
    exceeded_at_usd: float | None = None
    """The limit of which it was said that it leaves no room."""


class TrustRow(Struct, frozen=True, kw_only=True):
    """How far a role has earned to be trusted with a kind of change."""

    role: str
    kind: str
    tier: Tier | None
    """None: the policy's."""
    clean: tuple[IssueRef, ...]
    """Merges since the tier last changed that nobody had to regret."""


class MilestoneRow(Struct, frozen=True, kw_only=True):
    """Issues that belong together."""

    milestone: str
    open: tuple[IssueRef, ...]
    done: tuple[IssueRef, ...]
    completed: bool


class IncidentRow(Struct, frozen=True, kw_only=True):
    """How one workflow fares on one base branch."""

    fingerprint: str
    repository: RepoRef
    workflow: str
    red: bool
    sha: str
    url: str
    opened: datetime | None
    """Since when there is an incident."""
    escalated: bool


class PauseRow(Struct, frozen=True, kw_only=True):
    """Where no new work begins."""

    scope: str


def _budgets(state: State) -> dict[str, BudgetRow]:
    ledger = state.ledger
    rows: dict[str, BudgetRow] = {}
    for scope in sorted({*ledger.reserved, *ledger.spent, *ledger.raised, *ledger.exceeded}):
        raised, exceeded = ledger.raised.get(scope), ledger.exceeded.get(scope)
        rows[scope] = BudgetRow(
            scope=scope,
            reserved_usd=dollars(ledger.reserved.get(scope, 0)),
            spent_usd=dollars(ledger.spent.get(scope, 0)),
            raised_to_usd=None if raised is None else dollars(raised.limit),
            raised_until=None if raised is None else raised.until,
            exceeded_at_usd=None if exceeded is None else dollars(exceeded),
        )
    return rows


def _trust(state: State) -> dict[str, TrustRow]:
    return {
        f"{role}/{kind}": TrustRow(role=role, kind=kind, tier=trust.tier, clean=tuple(trust.clean))
        for (role, kind), trust in state.trust.items()
    }


def _milestones(state: State) -> dict[str, MilestoneRow]:
    return {
        name: MilestoneRow(
            milestone=name, open=tuple(sorted(it.open)), done=tuple(sorted(it.done)), completed=it.completed
        )
        for name, it in state.milestones.items()
    }


def _incidents(state: State) -> dict[str, IncidentRow]:
    return {
        key: IncidentRow(
            fingerprint=key,
            repository=it.repository,
            workflow=it.workflow,
            red=it.red,
            sha=it.sha,
            url=it.url,
            opened=it.opened,
            escalated=it.escalated,
        )
        for key, it in state.branches.items()
    }


def _pauses(state: State) -> dict[str, PauseRow]:
    return {scope: PauseRow(scope=scope) for scope in state.paused}


BUDGETS = Overview("budgets", BudgetRow, _budgets)
TRUST = Overview("trust", TrustRow, _trust)
MILESTONES = Overview("milestones", MilestoneRow, _milestones)
INCIDENTS = Overview("incidents", IncidentRow, _incidents)
PAUSES = Overview("pauses", PauseRow, _pauses)
OVERVIEWS = (BUDGETS, TRUST, MILESTONES, INCIDENTS, PAUSES)
