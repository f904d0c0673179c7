"""Gates: opened by the conductor, answered by a person who may."""

from conductor.evolve.index import NO_POLICY
from conductor.evolve.moves import enter
from conductor.policy import at_limit, blocking_labels, kind_of, may_approve, tier_of, too_dear
from conductor.state import Gate, GateKey, Issue, State, Trust, micros
from schemas import (
    AssignReason,
    Envelope,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    GateTriggered,
    IssueState,
    Tier,
)

_BEFORE_MERGE = (IssueState.IN_REVIEW, IssueState.MERGING)


def fold_gate(state: State, issue: Issue, event: Envelope) -> bool:
    """What people answer is known by its id; a gate is its reason and its head."""
    match event.data:
        case GateTriggered(reason=reason, head_sha=head):
            return _stands(state, issue, reason) and _opened(issue, (reason, head), event)
        case GateApproved() | GateRejected() | GateBypassed() as answer:
            if event.id in issue.heard:
                return False
            issue.heard.add(event.id)
            repository, policy = state.repositories.get(issue.ref.repository), state.policy or NO_POLICY
            answered = [
                key for key in issue.open_gates if key[1] == answer.head_sha and answer.reason in (None, key[0])
            ]
            if isinstance(answer, GateApproved) and _driven(state, issue):
                answered = [key for key in answered if key[0] is not GateReason.TIER]
            if not answered or not may_approve(answer.by, repository, policy):
                return False
            return _answered(state, issue, answered, answer, event.id)
        case _:
            return False


def _driven(state: State, issue: Issue) -> bool:
    """Whether a person drives such changes: no approval is enough for them."""
    policy = state.policy or NO_POLICY
    return tier_of(issue.role, kind_of(issue.changes, policy.tiers), state, policy) is Tier.T3


def _stands(state: State, issue: Issue, reason: GateReason) -> bool:
    """Whether what the gate is for still is so: it may have been seen to since this was decided."""
    policy = state.policy or NO_POLICY
    match reason:
        case GateReason.BUDGET:
            return too_dear(issue, state, policy) is not None
        case GateReason.GUARD:
            return issue.guarded
        case GateReason.POLICY:
            return bool(blocking_labels(issue, policy))
        case _:
            return True


def _opened(issue: Issue, key: GateKey, event: Envelope) -> bool:
    """Only where the issue still stands as it stood when this was decided."""
    if issue.state is not IssueState.GATED:
        before_work = key[1] is None and issue.wants_work
        before_merge = key[1] is not None and key[1] == issue.head and issue.state in _BEFORE_MERGE
        if not before_work and not before_merge:
            return False
        enter(issue, IssueState.GATED)
    issue.gates[key] = Gate(event.time)
    return True


def _answered(
    state: State, issue: Issue, keys: list[GateKey], answer: GateApproved | GateRejected | GateBypassed, known_as: str
) -> bool:
    if isinstance(answer, GateRejected):
        _rejected(issue, keys, answer)
        return True
    for key in keys:
        issue.gates[key].open = False
        _let_through(state, issue, key[0])
    if isinstance(answer, GateBypassed) and answer.head_sha is not None:
        issue.bypassed = True
        subject = (issue.role, issue.kind)
        trust = state.trust.setdefault(subject, Trust())
        trust.lost.append((issue.ref, f"{answer.by} bypassed a gate: {answer.note}", known_as))
        state.unsettled_trust.add(subject)
    if not issue.open_gates:
        enter(issue, IssueState.IN_REVIEW if keys[0][1] is not None else IssueState.QUEUED)
    return True


def _let_through(state: State, issue: Issue, reason: GateReason) -> None:
    """What was in the way before work could begin is so no more."""
    if reason is GateReason.GUARD:
        issue.guarded = False
    elif reason is GateReason.BUDGET:
        policy = state.policy or NO_POLICY
        if at_limit(issue, state, policy) is not None:
            issue.granted += micros(policy.budget.issue_usd or 0)
        issue.since_progress = 0


def _rejected(issue: Issue, keys: list[GateKey], answer: GateRejected) -> None:
    """Back to work with what the person wrote; work that may not begin goes to people for good."""
    issue.findings = f"{answer.by} did not let it through ({', '.join(key[0] for key in keys)}): {answer.note}"
    if keys[0][1] is None:
        issue.rejected = True
        enter(issue, IssueState.QUEUED)
    else:
        issue.review_rounds += 1
        issue.reason = AssignReason.REVIEW_DISPUTED
        enter(issue, IssueState.CHANGES_REQUESTED)
