"""Whom to ask for a verdict: whoever has the most quota left, and never the author.

What a reviewer says of his quota counts for a short time. One that says nothing (a person, somebody outside) may be
asked when nobody is known to have any left; one whose quota is used up is not asked before it resets.
"""

from datetime import datetime, timedelta

from conductor.decide.round import Round
from conductor.evolve.forge import authors
from conductor.policy import EXHAUSTED, after
from conductor.state import Deadline, Issue, Quota, Repository
from schemas import DeadlineKind, DeadlineSet, EscalationReason, IssueEvent, ReviewRequested


def review_requested(this: Round, issue: Issue, repository: Repository | None, kind: DeadlineKind) -> list[IssueEvent]:
    """Asks the next reviewer about the current head, or waits until one has quota again; a person, when none is left.

    `kind` is what the issue waits for: while the checks have not come, nobody's silence counts.
    """
    if repository is None or issue.head is None or issue.pull_request is None:
        return []
    review, now = issue.review(), this.now
    waits = issue.deadline if issue.deadline is not None and issue.deadline.kind is DeadlineKind.REVIEW else None
    if waits is not None and waits.passed:
        now = max(now, waits.at)
    barred = {*authors(issue), *review.abstained, *review.asked}
    candidates = [name for name in repository.reviewers if name not in barred]
    chosen = _routed(this, issue, candidates, now)
    if chosen is not None:
        asked = ReviewRequested(
            epoch=issue.ownership.epoch,
            pull_request=issue.pull_request,
            head_sha=issue.head,
            reviewer=chosen,
            iteration=issue.review_rounds + 1,
        )
        return [asked, this.deadline(kind, issue)]
    if candidates and (waits is None or not waits.passed):
        return _waiting(this, issue, candidates, waits) if kind is DeadlineKind.REVIEW else []
    silent = set(review.asked) - review.abstained
    return [this.escalation(issue, EscalationReason.REVIEW_SILENT if silent else EscalationReason.NO_REVIEWER)]


def _waiting(this: Round, issue: Issue, candidates: list[str], waits: Deadline | None) -> list[IssueEvent]:
    """Everybody's quota is used up: until the first of them resets, but no longer than a review may take."""
    review = this.deadline(DeadlineKind.REVIEW, issue)
    resets = [_resets(this, quota) for name in candidates for quota in _quotas(this, name)]
    at = min([moment for moment in resets if moment > this.now] + [review.at])
    return [] if waits is not None and waits.at <= at else [DeadlineSet(kind=review.kind, at=at)]


def _routed(this: Round, issue: Issue, candidates: list[str], now: datetime) -> str | None:
    """The one with the most quota left; among those of whom nobody knows, one after another by rounds."""
    ranked: list[tuple[int, float, int, str]] = []
    for place, name in enumerate(candidates):
        quotas = _quotas(this, name)
        usable = [quota for quota in quotas if quota.percent < EXHAUSTED]
        left = [EXHAUSTED - quota.percent for quota in usable if now - quota.heard <= _fresh(this)]
        turn = (place - issue.review_rounds) % len(candidates)
        if left:
            ranked.append((0, -max(left), turn, name))
        elif usable or not quotas or any(_resets(this, quota) <= now for quota in quotas):
            ranked.append((1, 0.0, turn, name))
    return min(ranked)[3] if ranked else None


def _fresh(this: Round) -> timedelta:
    return timedelta(seconds=this.policy.quota_heard_seconds)


def _resets(this: Round, quota: Quota) -> datetime:
    """When one that is used up counts as unknown again."""
    return quota.resets_at or after(quota.heard, this.policy.quota_rest_seconds)


def _quotas(this: Round, name: str) -> list[Quota]:
    """Of the reviewer by that name, or of every replica of the role by that name."""
    quotas = this.state.quotas
    if name in quotas:
        return [quotas[name]]
    return [quotas[agent] for agent, known in this.state.agents.items() if known.role == name and agent in quotas]
