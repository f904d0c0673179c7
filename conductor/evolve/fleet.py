"""What is said of the rig as a whole: policy, pauses, budgets, trust, incidents, milestones, schedules."""

from datetime import datetime

from conductor.evolve.index import NO_POLICY, index, index_everything, index_milestone
from conductor.evolve.moves import enter
from conductor.evolve.repositories import index_branch
from conductor.state import Due, Raised, State, Trust, micros
from schemas import (
    BudgetExceeded,
    BudgetRaised,
    Envelope,
    FleetDeadlineKind,
    FleetDeadlinePassed,
    FleetDeadlineSet,
    GateReason,
    IncidentClosed,
    IncidentEscalated,
    IncidentOpened,
    IssueRef,
    IssueState,
    MilestoneCompleted,
    Paused,
    PolicyAdopted,
    Resumed,
    ScheduleFired,
    Scope,
    TierChanged,
)


def fold_fleet(state: State, event: Envelope) -> None:
    match event.data:
        case PolicyAdopted() | Paused() | Resumed() | BudgetRaised():
            if event.id not in state.heard:
                state.heard.add(event.id)
                _said(state, event)
        case FleetDeadlineSet(kind=kind, key=key, at=at):
            if kind is not FleetDeadlineKind.BUDGET or _still_ends(state, key, at):
                state.deadlines[kind, key] = Due(at, event.id)
        case FleetDeadlinePassed() as passed:
            if event.id not in state.heard:
                state.heard.add(event.id)
                _passed(state, passed)
        case _:
            _decided(state, event)


def _said(state: State, event: Envelope) -> None:
    """By people."""
    match event.data:
        case PolicyAdopted(policy=policy, hash=known_as):
            before = state.policy
            state.policy, state.policy_hash = policy, known_as
            for name, seconds in (before or NO_POLICY).schedules.items():
                if policy.schedules.get(name) != seconds:
                    state.deadlines.pop((FleetDeadlineKind.SCHEDULE, name), None)
            if policy != (before or NO_POLICY):
                index_everything(state)
        case Paused(scope=scope):
            state.paused.add(scope)
        case Resumed(scope=scope):
            state.paused.discard(scope)
        case BudgetRaised(scope=scope, limit_usd=usd, until=until):
            state.ledger.raised[scope] = Raised(micros(usd), until, event.id)
            state.ledger.exceeded.pop(scope, None)
            state.deadlines.pop((FleetDeadlineKind.BUDGET, scope), None)
            _raised(state, scope, event)
        case _:
            pass


def _raised(state: State, scope: Scope, event: Envelope) -> None:
    """An issue that stood still for want of money goes on."""
    if not scope.startswith("issue:"):
        return
    issue = state.issues.get(IssueRef.parse(scope.removeprefix("issue:")))
    if issue is None or issue.state is not IssueState.GATED:
        return
    for key in issue.open_gates:
        if key[0] is GateReason.BUDGET:
            del issue.gates[key]
    issue.since_progress = 0
    if not issue.open_gates:
        enter(issue, IssueState.QUEUED)
        issue.cause, issue.since = event.id, event.time
    index(state, issue)


def _tier(state: State, changed: TierChanged, cause: str | None) -> None:
    """What trust was lost with since this was decided is still to be answered."""
    subject = (changed.role, changed.kind)
    known = state.trust.get(subject, Trust())
    lost = [loss for loss in known.lost if loss[2] != cause]
    state.trust[subject] = Trust(known.tier if changed.after is changed.before else changed.after, lost=lost)
    if not state.trust[subject].lost:
        state.unsettled_trust.discard(subject)


def _still_ends(state: State, scope: Scope, at: datetime) -> bool:
    """Whether what people have allowed ends then: they may have said something else since that was decided."""
    raised = state.ledger.raised.get(scope)
    return raised is not None and at == max(raised.until, state.decided_now or raised.until)


def _passed(state: State, passed: FleetDeadlinePassed) -> None:
    due = state.deadlines.get((passed.kind, passed.key))
    if due is None or due.at != passed.at or due.passed:
        return
    match passed.kind:
        case FleetDeadlineKind.DAY:
            state.ledger.spent.clear()
            state.ledger.exceeded.clear()
            del state.deadlines[passed.kind, passed.key]
        case FleetDeadlineKind.BUDGET:
            state.ledger.raised.pop(passed.key, None)
            state.ledger.exceeded.pop(passed.key, None)
            del state.deadlines[passed.kind, passed.key]
        case FleetDeadlineKind.INCIDENT | FleetDeadlineKind.SCHEDULE:
            state.deadlines[passed.kind, passed.key] = Due(due.at, due.id, passed=True)


def _decided(state: State, event: Envelope) -> None:
    """The conductor's own words."""
    match event.data:
        case BudgetExceeded(scope=scope, limit_usd=usd):
            state.ledger.exceeded[scope] = micros(usd)
        case MilestoneCompleted(milestone=name) if name in state.milestones:
            state.milestones[name].completed = not state.milestones[name].open
            index_milestone(state, name)
        case TierChanged() as changed:
            _tier(state, changed, event.causationid)
        case IncidentOpened(fingerprint=key) if key in state.branches:
            state.branches[key].opened, state.branches[key].escalated = event.time, False
            index_branch(state, key)
        case IncidentEscalated(fingerprint=key) if key in state.branches:
            state.branches[key].escalated = True
            state.deadlines.pop((FleetDeadlineKind.INCIDENT, key), None)
        case IncidentClosed(fingerprint=key) if key in state.branches:
            state.branches[key].opened = None
            state.deadlines.pop((FleetDeadlineKind.INCIDENT, key), None)
            index_branch(state, key)
        case ScheduleFired(schedule=name):
            state.deadlines.pop((FleetDeadlineKind.SCHEDULE, name), None)
        case _:
            pass
