"""Replicas: who has joined, what they can, whether they are there, how much of their quota is left."""

from datetime import datetime

from conductor.evolve.index import NO_POLICY, index_agent, withdraw
from conductor.evolve.money import fold_call
from conductor.policy import EXHAUSTED, LONGEST_REST, after
from conductor.state import Agent, Due, Quota, State, Suspension
from schemas import (
    AgentBack,
    AgentCapacityChanged,
    AgentDeadlineKind,
    AgentDeadlinePassed,
    AgentDeadlineSet,
    AgentJoined,
    AgentLeft,
    AgentRested,
    AgentScheduled,
    AgentSilent,
    AgentSuspended,
    AgentWoken,
    Envelope,
    LoginRequired,
    ModelUsed,
    QuotaReported,
    SuspensionReason,
)


def fold_agent(state: State, name: str, event: Envelope) -> None:
    """What is said of a replica. Also somebody who never joins, a reviewer outside, may say what its quota is."""
    data = event.data
    if isinstance(data, QuotaReported):
        _quota(state, name, data, event)
        return
    if isinstance(data, AgentScheduled | AgentWoken | AgentRested):
        return  # its own business
    if not isinstance(data, AgentDeadlineSet | AgentSuspended):
        if event.id in state.heard:
            return
        state.heard.add(event.id)
    if isinstance(data, ModelUsed):
        fold_call(state, data)
        return
    if isinstance(data, AgentJoined):
        _joined(state, name, data, event.time)
        return
    agent = state.agents.get(name)
    if agent is None:
        return
    match data:
        case AgentCapacityChanged(boot=boot, slots=slots, degraded=degraded) if boot == agent.boot:
            agent.slots, agent.degraded = slots, bool(degraded)
        case AgentLeft(boot=boot) if boot == agent.boot:
            withdraw(state, agent)
            del state.agents[name]
            state.unsettled_agents.discard(name)
            return
        case AgentSilent(since=since):
            agent.silent_since, agent.silence = since, event.id
        case AgentBack():
            agent.silent_since = None
        case LoginRequired():
            suspend(state, name, SuspensionReason.AUTH, None, event)
        case AgentSuspended(boot=boot, reason=reason, until=until) if agent.suspension is not None:
            known = (agent.boot, agent.suspension.reason, agent.suspension.until)
            agent.suspension.said = agent.suspension.said or known == (boot, reason, until)
        case AgentDeadlineSet(kind=kind, at=at):
            if kind is AgentDeadlineKind.SILENT and event.causationid != agent.silence:
                return  # it was back since this was decided, and has fallen silent again
            agent.deadlines[kind] = Due(at, event.id)
        case AgentDeadlinePassed(kind=kind, at=at):
            _passed(agent, kind, at)
        case _:
            return
    index_agent(state, name)


def _joined(state: State, name: str, data: AgentJoined, time: datetime) -> None:
    """Joining again replaces what it said before, and what was wrong with it; its work stays its own."""
    before = state.agents.get(name)
    agent = Agent(data.boot, data.role, data.slots, data.provider, frozenset(data.capabilities))
    if before is not None:
        withdraw(state, before)
        agent.busy = before.busy
    else:
        agent.busy = {ref for ref in state.working if (slot := state.issues[ref].slot) is not None and slot[1] == name}
    quota = state.quotas.get(name)
    if quota is not None and quota.percent >= EXHAUSTED:
        until = quota.resets_at or _rested(state, quota.heard)
        if until > time:  # a restart gives nobody more quota
            agent.suspension = Suspension(SuspensionReason.QUOTA, until, quota.cause)
    state.agents[name] = agent
    index_agent(state, name)


def _quota(state: State, name: str, data: QuotaReported, event: Envelope) -> None:
    """Of two reports the later counts, by the source's own clock."""
    known = state.quotas.get(name)
    if known is not None and known.heard >= event.time:
        return
    percent = max(data.five_hour_percent, data.weekly_percent)
    state.quotas[name] = Quota(percent, event.time, data.resets_at, event.id)
    agent = state.agents.get(name)
    if agent is None:
        return
    if percent >= EXHAUSTED:
        suspend(state, name, SuspensionReason.QUOTA, data.resets_at, event)
    elif agent.suspension is not None and agent.suspension.reason is SuspensionReason.QUOTA:
        agent.suspension = None
        index_agent(state, name)


def suspend(state: State, name: str, reason: SuspensionReason, until: datetime | None, event: Envelope) -> None:
    """No new work goes to the replica, until then, or (a login) until it joins again."""
    agent = state.agents[name]
    known = agent.suspension
    if reason is SuspensionReason.QUOTA:
        until = _until(state, known, until, event.time)
        state.quotas[name] = Quota(EXHAUSTED, event.time, until, event.id)
    if known is not None and (known.reason is SuspensionReason.AUTH or (known.reason, known.until) == (reason, until)):
        return
    agent.suspension = Suspension(reason, until if reason is SuspensionReason.QUOTA else None, event.id)
    index_agent(state, name)


def _until(state: State, known: Suspension | None, said: datetime | None, time: datetime) -> datetime:
    """When the quota resets: as was said, as was said before, or after a while; never too far away."""
    if said is None and known is not None and known.until is not None and known.until > time:
        return known.until
    return min(said or _rested(state, time), after(time, LONGEST_REST.total_seconds()))


def _rested(state: State, time: datetime) -> datetime:
    return after(time, (state.policy or NO_POLICY).quota_rest_seconds)


def _passed(agent: Agent, kind: AgentDeadlineKind, at: datetime) -> None:
    due = agent.deadlines.get(kind)
    if due is None or due.at != at or due.passed:
        return
    if kind is AgentDeadlineKind.QUOTA:
        del agent.deadlines[kind]
        if agent.suspension is not None and agent.suspension.until is not None and agent.suspension.until <= at:
            agent.suspension = None
    else:
        agent.deadlines[kind] = Due(due.at, due.id, passed=True)
