"""The conductor's indexes, made anew from the facts that they follow from. The fold keeps them up event by event; here
each is one line over everything, so that the two can be held against one another."""

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from conductor.awaits import settled
from conductor.evolve.index import NO_POLICY, age, agent_due
from conductor.state import Ledger, Shelf, State
from schemas import IssueRef, IssueState, scopes


def unlike(one: State, other: State) -> list[str]:
    """Where two states differ; of issues and replicas, in which of their fields."""
    return list(_unlike("", one, other)) if one != other else []


def _unlike(where: str, one: object, other: object) -> Iterable[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from _unlike(f"{where}[{key}]", one.get(key), other.get(key))
    elif isinstance(one, Struct) and type(one) is type(other):
        for name in one.__struct_fields__:
            yield from _unlike(f"{where}.{name}", getattr(one, name), getattr(other, name))
    elif one != other:
        yield f"{where}: {one!r} ≠ {other!r}"


def differences(state: State) -> list[str]:
    """Every index that is not what the facts say, with both."""
    return [
        f"{name}: {kept!r}, and the facts say {made!r}" for name, (kept, made) in _both(state).items() if kept != made
    ]


def _both(state: State) -> dict[str, tuple[object, object]]:
    policy = state.policy or NO_POLICY
    issues, agents = state.issues.values(), state.agents.items()
    open_epochs = [issue for issue in issues if issue.ownership.open]
    claimed = [issue for issue in open_epochs if issue.ownership.run is not None]
    due = {issue.ref for issue in issues if not settled(issue, state.repositories.get(issue.ref.repository), policy)}
    names = {issue.milestone for issue in issues if issue.milestone is not None}
    usable = [(name, agent) for name, agent in agents if agent.usable]
    return {
        "dependents": (state.dependents, _dependents(state)),
        "unsettled": (_refs(state.unsettled), due),
        "lanes": ({lane: dict(_keys(shelf)) for lane, shelf in state.lanes.items()}, _lanes(state)),
        "working": (state.working, {issue.ref for issue in open_epochs}),
        "working_in": (state.working_in, Counter(issue.ref.repository for issue in open_epochs)),
        "working_as": (state.working_as, Counter(issue.role for issue in open_epochs)),
        "unclaimed": (
            state.unclaimed,
            Counter(issue.role for issue in open_epochs if issue.ownership.run is None),
        ),
        "busy": (
            {name: agent.busy for name, agent in agents},
            {name: {issue.ref for issue in claimed if issue.agent == name} for name, _ in agents},
        ),
        "offers": (
            state.offers,
            _sums(((agent.role, agent.capabilities), max(0, agent.slots - len(agent.busy))) for _, agent in usable),
        ),
        "there": (
            state.there,
            _sums((agent.role, agent.slots) for _, agent in agents if agent.silent_since is None),
        ),
        "joined": (state.joined, _sums((agent.role, agent.slots) for _, agent in agents)),
        "unsettled_agents": (state.unsettled_agents, {name for name, agent in agents if agent_due(agent)}),
        "unsettled_trust": (
            state.unsettled_trust,
            {subject for subject, trust in state.trust.items() if trust.lost or trust.clean},
        ),
        "milestones": (
            {name: (known.open, known.done) for name, known in state.milestones.items() if known.open or known.done},
            {name: members for name in names if any(members := _members(state, name))},
        ),
        "unsettled_milestones": (
            state.unsettled_milestones,
            {name for name, known in state.milestones.items() if known.done and not known.open and not known.completed},
        ),
        "completed milestones that are open": (
            [name for name, known in state.milestones.items() if known.open and known.completed],
            [],
        ),
        "unsettled_branches": (
            state.unsettled_branches,
            {key for key, branch in state.branches.items() if branch.red != (branch.opened is not None)},
        ),
        "committed": (
            {issue.ref: issue.committed for issue in issues},
            {issue.ref: sum(account.counts for account in issue.accounts.values()) for issue in issues},
        ),
        "reserved": (state.ledger.reserved, _reserved(state)),
    }


def _dependents(state: State) -> dict[IssueRef, set[IssueRef]]:
    found: dict[IssueRef, set[IssueRef]] = {}
    for issue in state.issues.values():
        for ref in issue.depends_on:
            found.setdefault(ref, set()).add(issue.ref)
    return found


def _lanes(state: State) -> dict[object, dict[IssueRef, object]]:
    found: dict[object, dict[IssueRef, object]] = {}
    for issue in state.issues.values():
        repository = state.repositories.get(issue.ref.repository)
        waits = issue.cycle or issue.backoff or issue.guarded or issue.rejected or any(state.unmet(issue))
        if repository is not None and repository.configured and issue.wants_work and not waits:
            lane = (issue.wanted_role, issue.ref.repository, issue.requires)
            found.setdefault(lane, {})[issue.ref] = age(issue, state.policy or NO_POLICY)
    return found


def _members(state: State, name: str) -> tuple[set[IssueRef], set[IssueRef]]:
    of = [issue for issue in state.issues.values() if issue.milestone == name]
    done = {issue.ref for issue in of if issue.state is IssueState.DONE}
    return {issue.ref for issue in of if issue.state is not IssueState.WITHDRAWN} - done, done


def _reserved(state: State) -> dict[str, int]:
    ledger = Ledger()
    for issue in state.issues.values():
        for account in issue.accounts.values():
            if account.settled is None:
                ledger.move(scopes(issue.ref, account.role or "none")[1:], reserved=account.counts)
    return ledger.reserved


def _sums(parts: Iterable[tuple[object, int]]) -> dict[object, int]:
    sums: dict[object, int] = {}
    for key, number in parts:
        sums[key] = sums.get(key, 0) + number
    return {key: number for key, number in sums.items() if number}


def _refs(shelf: Shelf) -> set[IssueRef]:
    return {ref for _, ref in shelf}


def _keys(shelf: Shelf) -> Iterable[tuple[IssueRef, object]]:
    return ((ref, key) for key, ref in shelf)
