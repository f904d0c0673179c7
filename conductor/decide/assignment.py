"""Who gets work: as many issues as there are free slots that fit, and money, the most urgent and oldest first.

Issues that compete stand in lanes (one role, one repository, one set of requirements), each in the order of a static
key, so only the first of each lane is looked at. Between lanes, a repository that has much under way stands back.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heapreplace
from itertools import islice

from conductor.decide.round import Round
from conductor.policy import enough, in_progress_max, too_dear
from conductor.state import Agent, Issue, Key, Lane, Repository
from schemas import (
    DeadlineKind,
    GateReason,
    GateTriggered,
    IssueAssigned,
    IssueEvent,
    IssueRef,
    RepoRef,
    WaitingReason,
    pause_scopes,
)


def assignments(this: Round) -> Iterator[tuple[Issue, list[IssueEvent]]]:
    """Every issue that gets work in this round, or would if it had not cost so much; with what is said of it."""
    state = this.state
    queue: list[tuple[float, int, int]] = []  # key, position, number of the lane
    lanes: list[tuple[Lane, Iterator[tuple[Key, IssueRef]], tuple[Key, IssueRef]]] = []
    for lane, shelf in state.lanes.items():
        first = shelf.first
        if not _blocked(this, lane, state.issues[first[1]]):
            age, position = first[0]
            queue.append((age + _penalty(this, lane[1]), position, len(lanes)))
            lanes.append((lane, islice(shelf, 1, None), first))
    heapify(queue)
    while queue:
        key, position, number = queue[0]
        lane, issues, ((age, _), ref) = lanes[number]
        issue = state.issues[ref]
        now = age + _penalty(this, lane[1])
        if now > key:  # its repository was given something since
            heapreplace(queue, (now, position, number))
            continue
        if _blocked(this, lane, issue):
            heappop(queue)
            continue
        if enough(issue, this.policy) is None:
            dear = too_dear(issue, state, this.policy)
            yield issue, _assigned(this, issue) if dear is None else _stopped(this, issue, dear)
        following = next(issues, None)
        if following is None:
            heappop(queue)
            continue
        lanes[number] = (lane, issues, following)
        heapreplace(queue, (following[0][0] + _penalty(this, lane[1]), following[0][1], number))


def _penalty(this: Round, repository: RepoRef) -> float:
    under_way = this.state.working_in.get(repository, 0) + this.given_in.get(repository, 0)
    return this.policy.fair_seconds * under_way


def _assigned(this: Round, issue: Issue) -> list[IssueEvent]:
    role, epoch = role_for(this, issue), issue.ownership.epoch + 1
    this.given_as[role] = this.given_as.get(role, 0) + 1
    this.given_in[issue.ref.repository] = this.given_in.get(issue.ref.repository, 0) + 1
    wanted = issue.wanted_agent or issue.agent
    agent = this.state.agents.get(wanted or "")
    assigned = IssueAssigned(
        epoch=epoch,
        role=role,
        agent=wanted
        if agent is not None and agent.usable and agent.role == role and _can(this, agent, issue)
        else None,
        attempt=issue.attempts + 1,
        resume=issue.session if wanted == issue.agent else None,
        reason=issue.reason,
        reserved_usd=this.policy.budget.run_usd,
    )
    return [assigned, *this.reserve(issue, role, epoch), this.deadline(DeadlineKind.CLAIM, issue)]


def _can(this: Round, agent: Agent, issue: Issue) -> bool:
    return agent.capabilities.issuperset((*issue.requires, *this.state.repositories[issue.ref.repository].capabilities))


def _stopped(this: Round, issue: Issue, why: str) -> list[IssueEvent]:
    return [GateTriggered(reason=GateReason.BUDGET, detail=why), this.deadline(DeadlineKind.GATE, issue)]


def role_for(this: Round, issue: Issue) -> str:
    """Asked for by a person, or the policy's."""
    return issue.wanted_role or this.policy.role


# ── what stands in the way ───────────────────────────────────────────────────


def _blocked(this: Round, lane: Lane, issue: Issue) -> bool:
    """Whether no issue of the lane may begin now. Where it is for want of money, the round remembers that."""
    repository, role = this.state.repositories[lane[1]], lane[0] or this.policy.role
    if (
        not _room(this, role, frozenset(lane[2]) | repository.capabilities)
        or _paused(this, issue, role)
        or _limited(this, lane[1], repository, role)
    ):
        return True
    exhausted = this.exhausted(issue, role)
    if exhausted is not None:
        this.exceeded.setdefault(exhausted[0], (exhausted[1], issue.cause))
    return exhausted is not None


def waiting_reasons(this: Round, issue: Issue) -> tuple[WaitingReason, ...]:
    """Why the issue is not assigned: what is its own, or else all that keeps its lane."""
    state, role = this.state, role_for(this, issue)
    repository = state.repositories.get(issue.ref.repository)
    if next(state.unmet(issue), None) is not None or issue.cycle:
        return (WaitingReason.DEPENDENCY,)  # whatever else may be in the way then, is so then
    if issue.backoff:
        return (WaitingReason.BACKOFF,)
    found: list[WaitingReason] = []
    if _paused(this, issue, role):
        found.append(WaitingReason.PAUSED)
    if repository is None or not repository.configured:
        return (*found, WaitingReason.REPOSITORY)
    if _limited(this, issue.ref.repository, repository, role):
        found.append(WaitingReason.POLICY)
    needs = frozenset(issue.requires) | repository.capabilities
    if not _room(this, role, needs):
        found.append(_lacking(this, role, needs))
    elif this.exhausted(issue, role) is not None:
        found.append(WaitingReason.BUDGET)
    return tuple(found) or (WaitingReason.CAPACITY,)


def _paused(this: Round, issue: Issue, role: str) -> bool:
    return bool(this.state.paused) and not this.state.paused.isdisjoint(pause_scopes(issue.ref, role))


def _limited(this: Round, ref: RepoRef, repository: Repository, role: str) -> bool:
    """Whether the policy lets no more begin in the repository, or of the role."""
    in_repository, of_role = in_progress_max(repository, this.policy), this.policy.of_role(role).in_progress_max
    if in_repository is not None and this.state.working_in.get(ref, 0) + this.given_in.get(ref, 0) >= in_repository:
        return True
    return of_role is not None and this.state.working_as.get(role, 0) + this.given_as.get(role, 0) >= of_role


def _room(this: Round, role: str, needs: frozenset[str]) -> bool:
    """Whether some replica that can do it, or that would be started for it, has a slot to spare."""
    spare = this.spare.get((role, needs))
    if spare is None:
        spare = this.spare[role, needs] = _spare(this, role, needs)
    return spare > this.given_as.get(role, 0)


def _spare(this: Round, role: str, needs: frozenset[str]) -> int:
    """How many more could be given to the role in this round, had nothing been given yet.

    What was given to a role and is not claimed yet may be claimed by any of its replicas: it counts against all.
    """
    state, scale_to = this.state, this.policy.of_role(role).scale_to
    in_all = max(state.joined.get(role, 0), scale_to) - state.working_as.get(role, 0)
    offered = sum(free for (of, can), free in state.offers.items() if of == role and needs <= can)
    to_come = max(0, scale_to - state.there.get(role, 0))
    return min(in_all, offered + to_come - state.unclaimed.get(role, 0))


def _lacking(this: Round, role: str, needs: frozenset[str]) -> WaitingReason:
    """What there is no room for want of."""
    lacking = this.lacking.get((role, needs))
    if lacking is None:
        lacking = this.lacking[role, needs] = _want(this, role, needs)
    return lacking


def _want(this: Round, role: str, needs: frozenset[str]) -> WaitingReason:
    able = [agent for agent in this.state.agents.values() if agent.role == role and needs <= agent.capabilities]
    if not able and needs and not this.policy.of_role(role).scale_to:
        return WaitingReason.CAPABILITY
    if any(agent.suspension is not None for agent in able) and not any(agent.usable for agent in able):
        return WaitingReason.QUOTA
    return WaitingReason.CAPACITY
