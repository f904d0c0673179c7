"""What must stand in the tables, counted from the log by other means than the read side's: no model, no fold, no SQL.

Of each issue whether it is done, its last attempt and its merge; of each run who made it, what came of it and what it
used; answers of reviewers; answers at gates; replicas, repositories; and the sum of what was spent.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from schemas import (
    AgentJoined,
    GateApproved,
    GateTriggered,
    IssueApproved,
    IssueAssigned,
    IssueDone,
    IssueEscalated,
    Merged,
    Recorded,
    RepositoryAdded,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    ReviewRequested,
    TokensUsed,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)
from tests.support.readside import rows

Facts: TypeAlias = Mapping[str, Mapping[str, Any]]
"""By what it is about, then by key."""

_ASKED = {
    "events": "select 'all', count(*), max(position) from rig.events where skipped is null and repeats is null",
    "issues": """select key, state = 'done', (row ->> 'attempts')::integer, row -> 'standing' ->> 'merge_sha'
        from rig.issues""",
    "runs": """select key, agent, row ->> 'pushed', row ->> 'failed', (row -> 'tokens' ->> 'input')::integer,
        (row -> 'tokens' ->> 'output')::integer, (row -> 'tokens' ->> 'cost')::integer from rig.runs""",
    "spend": "select 'all', coalesce(sum(cost), 0)::integer from rig.spend",
    "reviews": "select key, row ->> 'answer' from rig.reviews",
    "gates": "select key, jsonb_array_length(row -> 'answers') from rig.gates",
    "agents": "select key from rig.agents",
    "repositories": "select key from rig.repositories",
}


def expected(log: Iterable[Recorded]) -> Facts:
    """What the log says."""
    issues: dict[str, list[Any]] = {}
    runs: dict[str, list[Any]] = {}
    reviews: dict[str, list[Any]] = {}
    gates: dict[str, list[Any]] = {}
    agents: dict[str, list[Any]] = {}
    repositories: dict[str, list[Any]] = {}
    count = spent = 0
    for said in log:
        about, count = str(said.event.about), count + 1
        match said.event.data:
            case IssueApproved():
                issues[about] = [False, 0, None]
            case IssueAssigned(attempt=attempt):
                issues[about][:2] = False, attempt
            case IssueDone(attempts=attempts):
                issues[about][:2] = True, attempts
            case IssueEscalated(attempts=attempts):
                issues[about][1] = attempts
            case Merged(merge_sha=merge_sha):
                issues[about][2] = merge_sha
            case WorkStarted(run=run, agent=agent):
                runs[f"{about}/{run}"] = [agent, None, None, 0, 0, 0]
            case WorkPushed(run=run, head_sha=head):
                runs[f"{about}/{run}"][1] = head
            case WorkFailed(run=run, kind=kind):
                runs[f"{about}/{run}"][2] = kind.value
            case TokensUsed(run=run) as used:
                cost = round((used.cost_usd or 0) * 1_000_000)
                before = runs[f"{about}/{run}"]
                before[3:] = before[3] + used.input, before[4] + used.output, before[5] + cost
                spent += cost
            case ReviewRequested(head_sha=head, reviewer=reviewer):
                reviews.setdefault(f"{about}/{head}/{reviewer}", [None])
            case ReviewPassed(head_sha=head, reviewer=reviewer):
                reviews[f"{about}/{head}/{reviewer}"] = ["passed"]
            case ReviewDisputed(head_sha=head, reviewer=reviewer):
                reviews[f"{about}/{head}/{reviewer}"] = ["disputed"]
            case ReviewAbstained(head_sha=head, reviewer=reviewer):
                reviews[f"{about}/{head}/{reviewer}"] = ["abstained"]
            case GateTriggered(reason=reason, head_sha=head):
                gates.setdefault(f"{about}/{head or '-'}/{reason}", [0])
            case GateApproved(reason=reason, head_sha=head):
                wanted = f"{about}/{head or '-'}/{reason or ''}"
                for key, answers in gates.items():
                    if key == wanted or (reason is None and key.startswith(wanted)):
                        answers[0] += 1
            case AgentJoined():
                agents[about] = []
            case RepositoryAdded():
                repositories[about] = []
            case _:
                pass
    return {
        "events": {"all": [count, count]},
        "issues": issues,
        "runs": runs,
        "spend": {"all": [spent]},
        "reviews": reviews,
        "gates": gates,
        "agents": agents,
        "repositories": repositories,
    }


async def differences(url: str, facts: Facts) -> list[str]:
    """What the tables say otherwise."""
    found: list[str] = []
    for what, wanted in facts.items():
        there = {key: [*values] for key, *values in await rows(url, _ASKED[what])}
        keys = sorted({*there, *wanted})
        found += [
            f"{what} {key}: {there.get(key)}, not {wanted.get(key)}"
            for key in keys
            if there.get(key) != wanted.get(key)
        ]
    return found
