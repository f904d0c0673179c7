"""The indexes that `decide` needs, kept up with each issue that changes. Each follows from the facts alone."""

from collections.abc import Hashable
from typing import Final, TypeVar

from conductor.awaits import settled
from conductor.state import Agent, Issue, Key, Lane, Milestone, Profile, Repository, Shelf, State
from schemas import AgentDeadlineKind, IssueState, Policy, SuspensionReason

NO_POLICY: Final = Policy()
"""Until one is adopted; nothing is decided before that."""
K = TypeVar("K", bound=Hashable)


def index(state: State, issue: Issue) -> None:
    """Puts the issue where it belongs now."""
    repository = state.repositories.get(issue.ref.repository)
    policy = state.policy or NO_POLICY
    if issue.lane is not None or issue.wants_work:
        _line_up(state, issue, repository, policy)
    if issue.slot is not None or issue.ownership.open:
        _hold_slot(state, issue)
    if settled(issue, repository, policy):
        state.unsettled.take(issue.ref)
    else:
        state.unsettled.put(issue.ref, (issue.position, 0))
    if issue.milestone is not None:
        _of_milestone(state, issue, issue.milestone)


def index_everything(state: State) -> None:
    """Anew, where everything may have changed: a policy was adopted."""
    state.lanes.clear()
    for issue in state.issues.values():
        issue.lane = None
        index(state, issue)
    for name in state.agents:
        index_agent(state, name)


# ── in line for work ─────────────────────────────────────────────────────────


def _line_up(state: State, issue: Issue, repository: Repository | None, policy: Policy) -> None:
    lane: Lane | None = None
    if repository is not None and repository.configured and _ready(state, issue):
        lane = (issue.wanted_role, issue.ref.repository, issue.requires)
    if issue.lane is not None and issue.lane != lane:
        shelf = state.lanes[issue.lane]
        shelf.take(issue.ref)
        if not len(shelf):
            del state.lanes[issue.lane]
    issue.lane = lane
    if lane is not None:
        state.lanes.setdefault(lane, Shelf()).put(issue.ref, age(issue, policy))


def _ready(state: State, issue: Issue) -> bool:
    """Whether the issue could be worked on, if somebody had a slot and the money for it."""
    return (
        issue.wants_work
        and not (issue.cycle or issue.backoff or issue.guarded or issue.rejected)
        and next(state.unmet(issue), None) is None
    )


def age(issue: Issue, policy: Policy) -> Key:
    """The static key by which issues get work: when it was approved, less a bonus for its priority."""
    bonus = policy.priority_bonus_seconds.of(issue.priority)
    return issue.approved_at.timestamp() - bonus, issue.position


# ── slots ────────────────────────────────────────────────────────────────────


def _hold_slot(state: State, issue: Issue) -> None:
    """An open epoch holds a slot of its role, and of the replica that has claimed it."""
    owner = issue.ownership
    slot = (issue.role, issue.agent if owner.run is not None else None) if owner.open else None
    if slot == issue.slot:
        return
    before, issue.slot = issue.slot, slot
    for held, by in ((before, -1), (slot, 1)):
        if held is not None:
            _slot_of_role(state, issue, held[0], by)
            _slot_of_replica(state, issue, held, by)


def _slot_of_role(state: State, issue: Issue, role: str, by: int) -> None:
    _member(state.working, issue.ref, belongs=by > 0)
    _count(state.working_in, issue.ref.repository, by)
    _count(state.working_as, role, by)


def _slot_of_replica(state: State, issue: Issue, slot: tuple[str, str | None], by: int) -> None:
    role, name = slot
    agent = state.agents.get(name) if name is not None else None
    if name is None:
        _count(state.unclaimed, role, by)
    elif agent is not None:
        _member(agent.busy, issue.ref, belongs=by > 0)
        index_agent(state, name)


def index_agent(state: State, name: str) -> None:
    """What the replica offers now, which of its deadlines live, and whether something is due of it."""
    agent = state.agents[name]
    if agent.silent_since is None or not agent.busy:
        agent.deadlines.pop(AgentDeadlineKind.SILENT, None)
    if agent.suspension is None or agent.suspension.reason is not SuspensionReason.QUOTA:
        agent.deadlines.pop(AgentDeadlineKind.QUOTA, None)
    free = max(0, agent.slots - len(agent.busy)) if agent.usable else 0
    there = agent.slots if agent.silent_since is None else 0
    withdraw(state, agent)
    agent.offered = (agent.role, agent.capabilities), free, there, agent.slots
    _offer(state, agent.offered, 1)
    _member(state.unsettled_agents, name, belongs=agent_due(agent))


def withdraw(state: State, agent: Agent) -> None:
    """Takes back what the replica offers."""
    if agent.offered is not None:
        _offer(state, agent.offered, -1)
        agent.offered = None


def _offer(state: State, offered: tuple[Profile, int, int, int], by: int) -> None:
    profile, free, there, joined = offered
    _count(state.offers, profile, by * free)
    _count(state.there, profile[0], by * there)
    _count(state.joined, profile[0], by * joined)


def agent_due(agent: Agent) -> bool:
    """Whether something may be due of the replica."""
    untold = agent.suspension is not None and not agent.suspension.said
    return untold or (agent.silent_since is not None and bool(agent.busy))


# ── milestones ───────────────────────────────────────────────────────────────


def _of_milestone(state: State, issue: Issue, name: str) -> None:
    known = state.milestones.get(name)
    if known is None:
        known = state.milestones[name] = Milestone()
    before = len(known.open), len(known.done)
    _member(known.done, issue.ref, belongs=issue.state is IssueState.DONE)
    _member(known.open, issue.ref, belongs=issue.state not in (IssueState.DONE, IssueState.WITHDRAWN))
    if known.open:
        known.completed = False
    if (len(known.open), len(known.done)) != before:
        known.cause = issue.cause
    index_milestone(state, name)


def leave_milestone(state: State, issue: Issue) -> None:
    """The issue belongs to its milestone no more."""
    if issue.milestone is not None:  # it is known then, since the issue was in it
        known = state.milestones[issue.milestone]
        known.open.discard(issue.ref)
        known.done.discard(issue.ref)
        index_milestone(state, issue.milestone)


def index_milestone(state: State, name: str) -> None:
    known = state.milestones[name]
    _member(state.unsettled_milestones, name, belongs=bool(known.done) and not known.open and not known.completed)


def _member(index: set[K], key: K, *, belongs: bool) -> None:
    if belongs:
        index.add(key)
    else:
        index.discard(key)


def _count(counts: dict[K, int], key: K, by: int) -> None:
    if not by:
        return
    total = counts.get(key, 0) + by
    if total:
        counts[key] = total
    else:
        del counts[key]
