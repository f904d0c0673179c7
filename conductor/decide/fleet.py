"""What is due of the rig as a whole: the turn of the day, raised budgets, trust, milestones, incidents, schedules."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from conductor.decide.round import Round
from conductor.policy import less_trust, more_trust, tier_of
from conductor.state import Branch, dollars
from schemas import (
    FLEET,
    BudgetExceeded,
    Draft,
    FleetDeadlineKind,
    FleetDeadlineSet,
    FleetEvent,
    IncidentClosed,
    IncidentEscalated,
    IncidentOpened,
    MilestoneCompleted,
    ScheduleFired,
    Tier,
    TierChanged,
)

ISSUES_NAMED = 500


def fleet_due(this: Round) -> Iterator[list[Draft]]:
    yield from _clock(this)
    yield from _incidents(this)
    yield from _trust(this)
    for name in sorted(this.state.unsettled_milestones):
        known = this.state.milestones[name]
        issues = tuple(sorted(known.done)[:ISSUES_NAMED])
        yield [_said(MilestoneCompleted(milestone=name, issues=issues), known.cause)]


def _said(event: FleetEvent, cause: str | None) -> Draft:
    return Draft(about=FLEET, data=event, cause=cause or None)


# ── money and the clock ──────────────────────────────────────────────────────


def budgets_exceeded(this: Round) -> Iterator[list[Draft]]:
    """A run was wanted, and there is no money for it: said once for each limit."""
    for scope in sorted(this.exceeded):
        limit, cause = this.exceeded[scope]
        if this.state.ledger.exceeded.get(scope) != limit:
            spent = dollars(this.committed(scope))
            yield [_said(BudgetExceeded(scope=scope, limit_usd=dollars(limit), spent_usd=spent), cause)]


def _clock(this: Round) -> Iterator[list[Draft]]:
    state, now = this.state, this.now
    if (state.ledger.spent or state.ledger.exceeded) and (FleetDeadlineKind.DAY, "") not in state.deadlines:
        yield [_said(FleetDeadlineSet(kind=FleetDeadlineKind.DAY, at=_midnight(now)), None)]
    for scope, raised in sorted(state.ledger.raised.items()):
        if (FleetDeadlineKind.BUDGET, scope) not in state.deadlines:
            at = max(raised.until, now)
            yield [_said(FleetDeadlineSet(kind=FleetDeadlineKind.BUDGET, key=scope, at=at), raised.cause)]
    for name, seconds in sorted(this.policy.schedules.items()):
        due = state.deadlines.get((FleetDeadlineKind.SCHEDULE, name))
        following = FleetDeadlineSet(kind=FleetDeadlineKind.SCHEDULE, key=name, at=now + timedelta(seconds=seconds))
        if due is None:
            yield [_said(following, None)]
        elif due.passed:
            yield [_said(ScheduleFired(schedule=name, due=due.at), due.id), _said(following, due.id)]


def _midnight(now: datetime) -> datetime:
    """The next one, of UTC."""
    return (now.astimezone(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


# ── incidents ────────────────────────────────────────────────────────────────


def _incidents(this: Round) -> Iterator[list[Draft]]:
    state = this.state
    for key in sorted(state.unsettled_branches):
        branch = state.branches[key]
        if branch.red:
            at = this.now + timedelta(seconds=this.policy.incident_seconds)
            yield [
                _said(
                    IncidentOpened(
                        fingerprint=key,
                        repository=branch.repository,
                        workflow=branch.workflow,
                        sha=branch.sha,
                        url=branch.url,
                    ),
                    branch.cause,
                ),
                _said(FleetDeadlineSet(kind=FleetDeadlineKind.INCIDENT, key=key, at=at), branch.cause),
            ]
        else:
            closed = IncidentClosed(
                fingerprint=key, repository=branch.repository, workflow=branch.workflow, sha=branch.sha
            )
            yield [_said(closed, branch.cause)]
    for (kind, key), due in sorted(state.deadlines.items()):
        branch = state.branches.get(key)
        if kind is FleetDeadlineKind.INCIDENT and due.passed and branch is not None and branch.red:
            yield [_said(_escalated(this, key, branch), due.id)]


def _escalated(this: Round, key: str, branch: Branch) -> IncidentEscalated:
    minutes = 0.0 if branch.opened is None else max(0.0, (this.now - branch.opened).total_seconds() / 60)
    return IncidentEscalated(
        fingerprint=key, repository=branch.repository, workflow=branch.workflow, open_minutes=round(minutes, 1)
    )


# ── trust ────────────────────────────────────────────────────────────────────


def _trust(this: Round) -> Iterator[list[Draft]]:
    """Lost at the first revert or bypass, earned by clean merges in a row; T3 is neither earned nor left by itself."""
    for role, kind in sorted(this.state.unsettled_trust):
        trust = this.state.trust[role, kind]
        before = tier_of(role, kind, this.state, this.policy)
        if trust.lost:
            ref, why, cause = trust.lost[0]
            changed = TierChanged(
                role=role, kind=kind, before=before, after=less_trust(before), evidence=(ref,), reason=why[:300]
            )
            yield [_said(changed, cause)]
        elif len(trust.clean) >= this.policy.tiers.promote_after and before in (Tier.T1, Tier.T2):
            evidence = tuple(trust.clean[-this.policy.tiers.promote_after :])
            why = f"{len(evidence)} clean merges in a row"
            changed = TierChanged(
                role=role, kind=kind, before=before, after=more_trust(before), evidence=evidence, reason=why
            )
            yield [_said(changed, trust.cause)]
