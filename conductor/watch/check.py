"""check: what does not go on that must, who has fallen silent, which canaries are back? Pure.

A halt is one of an invariant: it is said when its first evidence has waited for too long, again for what has come to it
since (not more often than once in that time), and it is over when nothing of what was said waits any more.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from conductor.watch.fold import Fold
from schemas import (
    FLEET,
    AgentBack,
    AgentRef,
    AgentSilent,
    CanaryReturned,
    Draft,
    HaltCleared,
    HaltDetected,
    Invariant,
    Policy,
    RepoRef,
    one_line,
)

EVIDENCE_MAX: Final = 50
"""Lines in one HaltDetected; more come with the next."""
LINE_MAX: Final = 300
KEY_MAX: Final = 250
SHORTEST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 5.0
_ANY: Final = datetime.max.replace(tzinfo=UTC)


class Wait(NamedTuple):
    """Something that must come to an end."""

    since: datetime
    about: object
    what: str
    lacks: str

    @property
    def key(self) -> str:
        """What it is, whatever more is said of it: see `fold.key`."""
        return f"{self.about}, {self.what}"[:KEY_MAX]

    @property
    def line(self) -> str:
        """As evidence."""
        return f"{self.key}: {one_line(self.lacks).replace(': ', ', ')}"[:LINE_MAX]


class CanaryDue(NamedTuple):
    """A canary that is to be put in."""

    repository: RepoRef
    at: datetime
    request: str
    """The same until the log says that it was put in: asked for twice, it is one issue."""


def check(fold: Fold, now: datetime, policy: Policy) -> list[Draft]:
    """Everything that a watch says now and has not said yet; nothing while it does not see everything."""
    if fold.watching is None:
        return []
    halts = [draft for invariant in Invariant for draft in _halt(fold, invariant, now, policy)]
    return [*_agents(fold, now, policy), *_canaries(fold), *halts]


def canary_due(fold: Fold, now: datetime, policy: Policy) -> CanaryDue | None:
    """The next canary, when its time has come. Raises BadReference where the policy names no repository."""
    name, at = policy.watch.canary_repository, _canary_at(fold, policy)
    if fold.watching is None or name is None or at is None or now < at:
        return None
    before = fold.last_canary[0] if fold.last_canary is not None else 0
    return CanaryDue(RepoRef.parse(name), at, f"canary-{before}")


def pause(policy: Policy) -> float:
    """Seconds between two looks, so that what is late is said soon."""
    least = min(policy.watch.silent_seconds, *(_patience(invariant, policy) for invariant in Invariant))
    return min(max(least / 10, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


def _allowed(invariant: Invariant, policy: Policy) -> timedelta:
    return timedelta(seconds=_patience(invariant, policy))


def _patience(invariant: Invariant, policy: Policy) -> float:
    """How long something may wait, in seconds."""
    watch = policy.watch
    match invariant:
        case Invariant.ISSUE_UNANSWERED:  # before waiting_seconds nobody says why an issue waits
            return max(watch.issue_seconds, policy.waiting_seconds + watch.decision_seconds)
        case Invariant.FACT_WITHOUT_CONSEQUENCE | Invariant.DEADLINE_UNHEARD | Invariant.DELIVERY_UNANSWERED:
            return watch.decision_seconds
        case Invariant.PROJECTION_BEHIND:
            return watch.projection_seconds
        case Invariant.CANARY_LOST:
            return watch.canary_within_seconds


# ── halts ────────────────────────────────────────────────────────────────────


def _halt(fold: Fold, invariant: Invariant, now: datetime, policy: Policy) -> Iterator[Draft]:
    known = fold.halts.get(invariant)
    said: set[str] = known.keys if known is not None else set()
    late = sorted(_late(fold, invariant, now, policy), key=lambda wait: wait.since)
    fresh = list(islice((wait for wait in late if wait.key not in said), EVIDENCE_MAX))
    if fresh:
        if known is None or now - known.said >= _allowed(invariant, policy):
            evidence = tuple(wait.line for wait in fresh)
            yield Draft(about=FLEET, data=HaltDetected(invariant=invariant, evidence=evidence, since=fresh[0].since))
    elif known is not None and not any(wait.key in said for wait in _waits(fold, invariant, policy, _ANY)):
        yield Draft(about=FLEET, data=HaltCleared(invariant=invariant, since=known.since))


def _late(fold: Fold, invariant: Invariant, now: datetime, policy: Policy) -> Iterator[Wait]:
    before = now - _allowed(invariant, policy)
    if fold.watching is not None and fold.watching <= before:
        yield from _waits(fold, invariant, policy, before)


def _waits(fold: Fold, invariant: Invariant, policy: Policy, before: datetime) -> Iterator[Wait]:
    """Everything that the invariant is about, that has not come, and that has been waited for since before."""
    match invariant:
        case Invariant.ISSUE_UNANSWERED:
            for issue in fold.issues.values():
                if issue.wanting is not None and issue.wanting <= before:
                    what = f"could be worked on since {issue.wanting:%FT%TZ}"
                    yield Wait(issue.wanting, issue.ref, what, "neither assigned nor is it said why not")
        case Invariant.FACT_WITHOUT_CONSEQUENCE:
            for about, owed in fold.owed():
                if owed.since <= before:
                    yield Wait(owed.since, about, f"{owed.what} at position {owed.position}", "no decision follows")
        case Invariant.DEADLINE_UNHEARD:
            for issue in fold.issues.values():
                if issue.due is not None and issue.due.at <= before:
                    yield _deadline(issue.due.at, issue.ref, issue.due.kind)
            for (kind, name), at in fold.deadlines.items():
                if at <= before:
                    yield _deadline(at, FLEET, one_line(f"{kind} {name}"))
        case Invariant.PROJECTION_BEHIND:
            side = fold.read_side
            since = side.since or before  # not asked yet: what was said of it still holds
            if not side.well and since <= before:
                yield Wait(since, "the read side", "behind the log", side.detail)
        case Invariant.DELIVERY_UNANSWERED:
            for role, (since, count) in fold.undelivered.items():
                if since <= before:
                    lacks = f"{count} since {since:%FT%TZ} and nobody has translated the first of them"
                    yield Wait(since, f"the inbox of {role}", "deliveries wait", lacks)
        case Invariant.CANARY_LOST:
            for ref, since in fold.canaries.items():
                if since <= before:
                    yield Wait(since, ref, "a canary", "it has not come back")
            due = _canary_at(fold, policy)
            if due is not None and due <= before:
                yield Wait(due, policy.watch.canary_repository, f"a canary due at {due:%FT%TZ}", "it is not put in")


def _deadline(at: datetime, about: object, kind: str) -> Wait:
    return Wait(at, about, f"deadline {kind} at {at:%FT%TZ}", "nobody has said that it is over")


def _canary_at(fold: Fold, policy: Policy) -> datetime | None:
    if policy.watch.canary_repository is None or fold.policy_at is None:
        return None
    if fold.last_canary is None:
        return fold.policy_at
    return fold.last_canary[1] + timedelta(seconds=policy.watch.canary_every_seconds)


# ── agents and canaries ──────────────────────────────────────────────────────


def _agents(fold: Fold, now: datetime, policy: Policy) -> Iterator[Draft]:
    for name, replica in sorted(fold.agents.items()):
        presence = fold.presence.get(name)
        there = presence is not None and presence.there
        signs = [replica.alive, presence.at] if presence is not None else [replica.alive]
        if replica.silent is not None:
            if there or max(signs) > replica.silent:
                yield Draft(about=AgentRef(name), data=AgentBack(since=replica.silent))
            continue
        since = max(*signs, fold.watching or now)
        if not there and now - since >= timedelta(seconds=policy.watch.silent_seconds):
            yield Draft(about=AgentRef(name), data=AgentSilent(since=since))


def _canaries(fold: Fold) -> Iterator[Draft]:
    for ref, since in fold.canaries.items():
        if (done := fold.done.get(ref)) is not None:
            seconds = max(0.0, (done.at - since).total_seconds())
            yield Draft(about=FLEET, data=CanaryReturned(issue=ref, seconds=seconds))
