"""The merge gate: the only way to a merge. Verdicts that passed for exactly this head, and no gate of a person's.

Checks and review have passed when this is asked. What a person must look at follows from what the forge counted, from
the labels, and from how far the role is trusted with such a change.
"""

from conductor.decide.round import Round
from conductor.policy import blocking_labels, kind_of, sensitive_paths, tier_of
from conductor.state import Issue, Repository
from schemas import (
    DeadlineKind,
    GateReason,
    GateReminded,
    GateTriggered,
    IssueEvent,
    MergeRequested,
    Tier,
)

PATHS_SHOWN = 50


def merge_due(this: Round, issue: Issue, repository: Repository | None) -> list[IssueEvent]:
    """Every verdict that is needed has passed for the current head: the gates, or the merge."""
    gates = [gate for gate in _gates(this, issue, repository) if (gate.reason, gate.head_sha) not in issue.gates]
    if gates:
        return [*gates, this.deadline(DeadlineKind.GATE, issue)]
    return _asked(this, issue)


def _asked(this: Round, issue: Issue) -> list[IssueEvent]:
    """Asks for exactly that merge: this head, on the base that its checks ran on."""
    checks = issue.checks.get(issue.head) if issue.head is not None else None
    if issue.head is None or issue.pull_request is None or checks is None or checks.base is None or not checks.passed:
        return []
    asked = MergeRequested(
        epoch=issue.ownership.epoch, pull_request=issue.pull_request, head_sha=issue.head, base_sha=checks.base
    )
    return [asked, this.deadline(DeadlineKind.MERGE, issue)]


def gates_reminded(this: Round, issue: Issue) -> list[IssueEvent]:
    """People have not answered yet."""
    return [
        GateReminded(
            reason=reason,
            head_sha=head,
            waited_minutes=round(max(0.0, (this.now - issue.gates[reason, head].since).total_seconds() / 60), 1),
        )
        for reason, head in issue.open_gates
    ]


def _gates(this: Round, issue: Issue, repository: Repository | None) -> list[GateTriggered]:
    """Every reason why a person must look at this head."""
    changes, limits, head = issue.changes, this.policy.gates, issue.head
    kind = kind_of(changes, this.policy.tiers)
    tier = tier_of(issue.role, kind, this.state, this.policy)
    found: list[GateTriggered] = []
    blocking = blocking_labels(issue, this.policy)
    if blocking:
        found.append(GateTriggered(reason=GateReason.POLICY, head_sha=head, detail=f"labelled {', '.join(blocking)}"))
    sensitive = sensitive_paths(changes, repository, this.policy) if changes is not None else []
    if sensitive:
        paths = tuple(sensitive[:PATHS_SHOWN])
        found.append(GateTriggered(reason=GateReason.SENSITIVE_PATH, head_sha=head, paths=paths))
    if changes is None:
        found.append(GateTriggered(reason=GateReason.SIZE, head_sha=head, detail="the forge did not count the changes"))
    elif not changes.all_named:
        size = f"only {len(changes.paths)} of {changes.files} changed paths are named: the others may be sensitive"
        found.append(GateTriggered(reason=GateReason.SIZE, head_sha=head, detail=size))
    elif tier is not Tier.T0 and (changes.files > limits.files_max or changes.lines > limits.lines_max):
        size = f"{changes.files} files, {changes.lines} lines; {limits.files_max} and {limits.lines_max} go unseen"
        found.append(GateTriggered(reason=GateReason.SIZE, head_sha=head, detail=size))
    if tier in (Tier.T2, Tier.T3):
        found.append(GateTriggered(reason=GateReason.TIER, head_sha=head, detail=f"{issue.role}, {kind}: {tier}"))
    return found
