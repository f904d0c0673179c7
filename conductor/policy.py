"""What follows from the policy's numbers: how long a wait may last, when it is enough, what a person must see.

The numbers themselves are schemas.Policy; they reach the conductor through the log alone. Everything here is a function
of its arguments.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from fnmatch import translate
from functools import lru_cache
from typing import Final

from conductor.state import Issue, Micros, Repository, State, micros
from schemas import (
    Changes,
    DeadlineKind,
    Delivery,
    EscalationReason,
    FailureKind,
    IssueRef,
    Policy,
    RepoRef,
    Scope,
    Tier,
    Tiers,
)

LONGEST_REST: Final = timedelta(days=7)
"""However far away an agent says that it may be tried again."""
WAITS_DOUBLED: Final = 6
"""How often the pause doubles before it is looked at again why an issue waits."""
RESTS_DOUBLED: Final = 7
"""How often the rest doubles after runs that failed for reasons that are not the work's."""
EXHAUSTED: Final = 100.0
"""Percent of a quota."""
CODE: Final = "code"
"""The kind of a change that is of no narrower kind."""

# ── time ─────────────────────────────────────────────────────────────────────


def deadline_at(kind: DeadlineKind, issue: Issue, now: datetime, policy: Policy, delivery: Delivery) -> datetime:
    """When a wait of this kind that begins now must have ended."""
    rests_until = issue.retry_at if kind is DeadlineKind.BACKOFF else None
    if rests_until is not None and rests_until > now:
        at = rests_until
    else:
        at = now + timedelta(seconds=_seconds(kind, issue, policy, delivery))
    if kind is DeadlineKind.WAITING or at == rests_until:
        told = (after(issue.since, seconds) for seconds in _people_after(policy))
        at = min((moment for moment in told if now < moment < at), default=at)
    return at


def after(moment: datetime, seconds: float) -> datetime:
    """So much later; as late as can be said, where somebody's clock is that far ahead."""
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _seconds(kind: DeadlineKind, issue: Issue, policy: Policy, delivery: Delivery) -> float:
    match kind:
        case DeadlineKind.WAITING:
            return policy.waiting_seconds * 2 ** min(issue.waited, WAITS_DOUBLED)
        case DeadlineKind.BACKOFF:
            return policy.failed_run_backoff_seconds * 2 ** min(max(issue.failed_runs - 1, 0), RESTS_DOUBLED)
        case DeadlineKind.CLAIM:
            return policy.claim_seconds
        case DeadlineKind.RUN:
            return policy.run_seconds
        case DeadlineKind.QUESTION:
            return policy.question_seconds
        case DeadlineKind.PULL_REQUEST:
            return policy.pull_request_seconds
        case DeadlineKind.CHECKS:
            return policy.checks_seconds
        case DeadlineKind.REVIEW:
            return policy.review_seconds
        case DeadlineKind.GATE:
            return policy.gates.reminder_seconds
        case DeadlineKind.MERGE:
            return policy.merge_retry_seconds if issue.merge_refused else policy.merge_seconds
        case DeadlineKind.DEPLOY:
            return delivery.deploy_seconds
        case DeadlineKind.SMOKE:
            return delivery.smoke_seconds
        case DeadlineKind.END_TO_END:
            return delivery.end_to_end_seconds
        case DeadlineKind.VERIFY:
            return delivery.verify_seconds


def _people_after(policy: Policy) -> tuple[float, float]:
    return policy.orphan_seconds, policy.needs_human_seconds


def to_tell(issue: Issue, now: datetime, policy: Policy) -> int:
    """What people should have been told by now of the issue's waiting: see Issue.told."""
    waited = (now - issue.since).total_seconds()
    return sum(waited >= seconds for seconds in _people_after(policy))


# ── enough ───────────────────────────────────────────────────────────────────


def enough(issue: Issue, policy: Policy) -> EscalationReason | None:
    """Why the rig should stop trying, if it should, before it assigns the issue once more."""
    if issue.attempts >= policy.attempts_max:
        return EscalationReason.ATTEMPTS
    if issue.unassignments >= policy.unassignments_max:
        return EscalationReason.NOBODY_WORKS
    if issue.failed_runs >= policy.failed_runs_max:
        return EscalationReason.RUNS
    if issue.conflicts >= policy.conflicts_max:
        return EscalationReason.CONFLICTS
    if issue.review_rounds >= policy.review_rounds_max:
        return EscalationReason.REVIEW_ROUNDS
    return None


def rests_after(kind: FailureKind) -> bool:
    """Whether an issue rests after a run that failed so; after a quota or a login it is the replica that rests."""
    return not kind.of_the_work and kind not in (FailureKind.QUOTA, FailureKind.AUTH)


# ── where a repository differs ───────────────────────────────────────────────


def delivery_of(repository: Repository | None, policy: Policy) -> Delivery:
    """What leads from merged to done there."""
    own = repository.overrides.delivery if repository is not None else None
    return policy.delivery if own is None else own


def in_progress_max(repository: Repository, policy: Policy) -> int | None:
    """How much may be under way there at once; None: whatever the slots allow."""
    own = repository.overrides.in_progress_max
    return policy.repository_in_progress_max if own is None else own


def may_approve(by: str, repository: Repository | None, policy: Policy) -> bool:
    """Whether this person may let something through there."""
    own = repository.overrides.approvers if repository is not None else None
    allowed = policy.gates.approvers if own is None else own
    return not allowed or by in allowed


# ── money ────────────────────────────────────────────────────────────────────


def day_limits(issue: Issue, role: str, state: State, policy: Policy) -> list[tuple[Scope, Micros]]:
    """The budgets of a day that work on the issue counts against and that have a limit, with it."""
    return _day_limits(issue.ref.repository, role, state, policy)


def _day_limits(place: RepoRef | None, role: str, state: State, policy: Policy) -> list[tuple[Scope, Micros]]:
    limits = {f"role:{role}": policy.of_role(role).day_usd, "day": policy.budget.day_usd}
    if place is not None:
        repository = state.repositories.get(place)
        own = repository.overrides.day_usd if repository is not None else None
        limits = {f"repository:{place}": policy.budget.repository_day_usd if own is None else own, **limits}
    found: list[tuple[Scope, Micros]] = []
    for scope, usd in limits.items():
        if usd is not None:
            raised = state.ledger.raised.get(scope)
            found.append((scope, micros(usd) if raised is None else max(micros(usd), raised.limit)))
    return found


def call_limits(ref: IssueRef | None, role: str, state: State, policy: Policy) -> list[tuple[Scope, Micros, Micros]]:
    """The budgets that a call of a model outside the runs counts against and that have a limit: each with the limit,
    and with what counts against it now. The breaker of an issue is among them."""
    place = None if ref is None else ref.repository
    of_the_day = _day_limits(place, role, state, policy)
    found = [(scope, limit, state.ledger.committed(scope)) for scope, limit in of_the_day]
    issue = None if ref is None else state.issues.get(ref)
    if issue is not None:
        limit, breaker = issue_limit(issue, state, policy), policy.budget.breaker_usd
        if limit is not None:
            found.append((f"issue:{ref}", limit, issue.committed))
        if breaker:
            found.append((f"issue:{ref}", micros(breaker), issue.since_progress))
    return found


def issue_limit(issue: Issue, state: State, policy: Policy) -> Micros | None:
    """What the issue may cost, with what people have allowed beyond; None: as much as it takes."""
    usd = policy.budget.issue_usd
    if usd is None:
        return None
    raised = state.ledger.raised.get(f"issue:{issue.ref}")
    return max(micros(usd) + issue.granted, 0 if raised is None else raised.limit)


def at_limit(issue: Issue, state: State, policy: Policy) -> str | None:
    """Why the issue may not cost another run; None: it may."""
    run, limit = micros(policy.budget.run_usd), issue_limit(issue, state, policy)
    if limit is not None and issue.committed + run > limit:
        return f"${issue.committed / 1e6:.2f} of ${limit / 1e6:.2f} are spent or set aside"
    return None


def too_dear(issue: Issue, state: State, policy: Policy) -> str | None:
    """Why no more money goes into the issue until a person says so; None: it may cost another run."""
    breaker = policy.budget.breaker_usd
    if breaker is not None and issue.since_progress >= micros(breaker) > 0:
        return f"${issue.since_progress / 1e6:.2f} since anything new was pushed"
    return at_limit(issue, state, policy)


# ── changes ──────────────────────────────────────────────────────────────────


def blocking_labels(issue: Issue, policy: Policy) -> list[str]:
    """The issue's labels that hold it."""
    blocking = {label.lower() for label in policy.gates.blocking_labels}
    return [label for label in issue.labels if label.lower() in blocking]


def matching(paths: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The paths that any of the patterns finds."""
    found = _finder(tuple(patterns))
    return [path for path in paths if found(f"/{path.lower()}")]


@lru_cache(maxsize=1_024)
def _finder(patterns: tuple[str, ...]) -> Callable[[str], object]:
    """All the patterns as one expression: it is asked of each path of each change."""
    return re.compile("|".join(translate(pattern.lower()) for pattern in patterns) or r"(?!)").match


def sensitive_paths(changes: Changes, repository: Repository | None, policy: Policy) -> list[str]:
    """The changed paths at which a person must look."""
    own = repository.overrides.sensitive if repository is not None else ()
    return matching(changes.paths, [pattern for topic in policy.gates.sensitive.values() for pattern in topic] + [*own])


def kind_of(changes: Changes | None, tiers: Tiers) -> str:
    """The kind that every changed path is of; `code` where there is none, or where nobody counted every path."""
    if changes is None or not changes.paths or not changes.all_named:
        return CODE
    for kind in sorted(tiers.kinds):
        if len(matching(changes.paths, tiers.kinds[kind])) == len(changes.paths):
            return kind
    return CODE


def tier_of(role: str, kind: str, state: State, policy: Policy) -> Tier:
    """How far the role is trusted with such changes: as it has earned, or as the policy begins; T3 by policy alone."""
    begins, trust = policy.tiers.begin.get(kind, policy.tiers.otherwise), state.trust.get((role, kind))
    return begins if begins is Tier.T3 or trust is None or trust.tier is None else trust.tier


def more_trust(tier: Tier) -> Tier:
    """One step up, by what was earned."""
    return {Tier.T2: Tier.T1, Tier.T1: Tier.T0}.get(tier, tier)


def less_trust(tier: Tier) -> Tier:
    """One step down."""
    return {Tier.T0: Tier.T1, Tier.T1: Tier.T2}.get(tier, tier)
