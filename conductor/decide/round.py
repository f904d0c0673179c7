"""One round: what it decides on, and what it has given away already. Slots and money are counted within the round."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from conductor.policy import day_limits, deadline_at, delivery_of
from conductor.state import Issue, Micros, State, micros
from schemas import (
    BudgetReserved,
    DeadlineKind,
    DeadlineSet,
    Draft,
    EscalationReason,
    IssueEscalated,
    IssueEvent,
    IssueRef,
    Policy,
    RepoRef,
    Scope,
    WaitingReason,
)


@dataclass(slots=True)
class Round:
    """The state at the end of a prefix of the log, the time, the policy; and what was given away since."""

    state: State
    now: datetime
    policy: Policy
    given_as: dict[str, int] = field(default_factory=dict[str, int])
    """Slots, by role."""
    given_in: dict[RepoRef, int] = field(default_factory=dict[RepoRef, int])
    """Slots, by repository."""
    spoken_of: set[IssueRef] = field(default_factory=set[IssueRef])
    """Issues of which this round has said something: each is spoken of once."""
    set_aside: dict[Scope, Micros] = field(default_factory=dict[Scope, Micros])
    exceeded: dict[Scope, tuple[Micros, str]] = field(default_factory=dict[Scope, tuple[Micros, str]])
    """Budgets without room for a run that is wanted: the limit, and the cause of what wants it."""
    spare: dict[tuple[str, frozenset[str]], int] = field(default_factory=dict[tuple[str, frozenset[str]], int])
    """Slots for what a role is to do with such capabilities, as the round began: looked up once."""
    lacking: dict[tuple[str, frozenset[str]], WaitingReason] = field(
        default_factory=dict[tuple[str, frozenset[str]], WaitingReason]
    )
    """What there is no room for want of, looked up once."""

    def drafts(self, issue: Issue, events: Iterable[IssueEvent]) -> list[Draft]:
        """What is said of an issue, with what led to it."""
        return [Draft(about=issue.ref, data=event, cause=issue.cause, correlation=issue.id) for event in events]

    def deadline(self, kind: DeadlineKind, issue: Issue) -> DeadlineSet:
        """By when what the issue waits for must have come."""
        delivery = delivery_of(self.state.repositories.get(issue.ref.repository), self.policy)
        return DeadlineSet(kind=kind, at=deadline_at(kind, issue, self.now, self.policy, delivery))

    def escalation(self, issue: Issue, reason: EscalationReason) -> IssueEscalated:
        """To whom the repository names, or to people."""
        repository = self.state.repositories.get(issue.ref.repository)
        to = repository.escalate if repository is not None else None
        summary = issue.findings[-8_000:]
        return IssueEscalated(reason=reason, attempts=issue.attempts, summary=summary, to=to or "people")

    # ── money ────────────────────────────────────────────────────────────────

    def exhausted(self, issue: Issue, role: str) -> tuple[Scope, Micros] | None:
        """The first budget of the day, with its limit, that has no room for another run; None: all have."""
        run = micros(self.policy.budget.run_usd)
        if run:
            for scope, limit in day_limits(issue, role, self.state, self.policy):
                if self.committed(scope) + run > limit:
                    return scope, limit
        return None

    def committed(self, scope: Scope) -> Micros:
        """What counts against a budget of the day, with what this round has set aside."""
        return self.state.ledger.committed(scope) + self.set_aside.get(scope, 0)

    def reserve(self, issue: Issue, role: str, epoch: int, run: str | None = None) -> list[IssueEvent]:
        """Sets aside what a run may cost. Ask `exhausted` before."""
        usd = self.policy.budget.run_usd
        if not usd:
            return []
        for scope, _ in day_limits(issue, role, self.state, self.policy):
            self.set_aside[scope] = self.set_aside.get(scope, 0) + micros(usd)
        return [BudgetReserved(epoch=epoch, run=run, amount_usd=usd)]
