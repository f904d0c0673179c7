"""What is due of replicas: that they get no work for now, and that work is taken from those that have fallen silent."""

from collections.abc import Iterator

from conductor.decide.round import Round
from conductor.policy import after
from conductor.state import Agent
from schemas import (
    AgentDeadlineKind,
    AgentDeadlineSet,
    AgentEvent,
    AgentRef,
    AgentStuck,
    AgentSuspended,
    Draft,
    IssueUnassigned,
    UnassignReason,
)


def agents_due(this: Round) -> Iterator[list[Draft]]:
    """Replica by replica; of one that is stuck, issue by issue."""
    for name in sorted(this.state.unsettled_agents):
        agent = this.state.agents[name]
        said = [*_suspended(agent), *_silent(this, agent)]
        cause = agent.suspension.cause if agent.suspension is not None and not agent.suspension.said else agent.silence
        if said:
            yield [Draft(about=AgentRef(name), data=event, cause=cause or None) for event in said]
        silent = agent.deadlines.get(AgentDeadlineKind.SILENT)
        if silent is not None and silent.passed:
            yield from _stuck(this, name, agent)


def _suspended(agent: Agent) -> list[AgentEvent]:
    """No work goes to it any more: people hear of that, and when it ends is set down."""
    rest = agent.suspension
    if rest is None or rest.said:
        return []
    said: list[AgentEvent] = [AgentSuspended(boot=agent.boot, reason=rest.reason, until=rest.until)]
    if rest.until is not None:
        said.append(AgentDeadlineSet(kind=AgentDeadlineKind.QUOTA, at=rest.until))
    return said


def _silent(this: Round, agent: Agent) -> list[AgentEvent]:
    """It may come back; if it does not, what it works on is taken from it."""
    if agent.silent_since is None or not agent.busy or AgentDeadlineKind.SILENT in agent.deadlines:
        return []
    at = after(agent.silent_since, this.policy.silent_seconds)
    return [AgentDeadlineSet(kind=AgentDeadlineKind.SILENT, at=max(at, this.now))]


def _stuck(this: Round, name: str, agent: Agent) -> Iterator[list[Draft]]:
    if agent.silent_since is None:
        return
    seconds = round((this.now - agent.silent_since).total_seconds(), 1)
    for ref in sorted(agent.busy):
        issue = this.state.issues[ref]
        epoch = issue.ownership.epoch
        this.spoken_of.add(ref)
        yield [
            Draft(
                about=AgentRef(name),
                data=AgentStuck(issue=ref, epoch=epoch, silent_seconds=max(0.0, seconds)),
                cause=agent.silence,
                correlation=issue.id,
            ),
            Draft(
                about=ref,
                data=IssueUnassigned(epoch=epoch, reason=UnassignReason.STUCK),
                cause=agent.silence,
                correlation=issue.id,
            ),
        ]
