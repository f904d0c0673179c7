"""Whom to ask for a verdict: whoever has the most quota left, and never the author.

What a reviewer says of his quota counts for a short time. One that says nothing (a person, somebody outside) may be
asked when nobody is known to have any left; one whose quota is used up is not asked.
"""

from datetime import timedelta

from conductor.decide.round import Round
from conductor.evolve.forge import authors
from conductor.state import Issue, Quota, Repository
from schemas import DeadlineKind, EscalationReason, IssueEvent, ReviewRequested

EXHAUSTED = 100.0


def review_requested(this: Round, issue: Issue, repository: Repository | None) -> list[IssueEvent] | EscalationReason:
    """Asks the next reviewer about the current head, or waits for one; or why nobody can be asked."""
    candidates = _candidates(issue, repository)
    if not candidates:
        return EscalationReason.NO_REVIEWER
    chosen = _routed(this, issue, candidates)
    waits = issue.deadline is not None and issue.deadline.kind is DeadlineKind.REVIEW and not issue.deadline.passed
    if chosen is None:
        return [] if waits else [this.deadline(DeadlineKind.REVIEW, issue)]
    return _ask(this, issue, chosen)


def review_overdue(this: Round, issue: Issue, repository: Repository | None) -> list[IssueEvent] | EscalationReason:
    """Whoever was asked has said nothing: the next one is asked, as long as there is one."""
    review = issue.review()
    candidates = [name for name in _candidates(issue, repository) if name not in review.asked]
    chosen = _routed(this, issue, candidates)
    if chosen is None:
        return EscalationReason.REVIEW_SILENT if review.asked else EscalationReason.NO_REVIEWER
    return _ask(this, issue, chosen)


def _ask(this: Round, issue: Issue, reviewer: str) -> list[IssueEvent]:
    if issue.head is None or issue.pull_request is None:
        return []
    asked = ReviewRequested(
        epoch=issue.ownership.epoch,
        pull_request=issue.pull_request,
        head_sha=issue.head,
        reviewer=reviewer,
        iteration=issue.review_rounds + 1,
    )
    return [asked, this.deadline(DeadlineKind.REVIEW, issue)]


def _candidates(issue: Issue, repository: Repository | None) -> list[str]:
    """Whoever the repository names, has not abstained and did not write it."""
    barred = authors(issue) | issue.review().abstained
    return [name for name in repository.reviewers if name not in barred] if repository is not None else []


def _routed(this: Round, issue: Issue, candidates: list[str]) -> str | None:
    """The one with the most quota left; among those of whom nobody knows, one after another by rounds."""
    ranked: list[tuple[int, float, int, str]] = []
    for place, name in enumerate(candidates):
        quotas = _quotas(this, name)
        fresh = [quota for quota in quotas if quota.heard + _fresh(this) >= this.now]
        left = [EXHAUSTED - quota.percent for quota in fresh if quota.percent < EXHAUSTED]
        turn = (place - issue.review_rounds) % len(candidates)
        if left:
            ranked.append((0, -max(left), turn, name))
        elif not fresh and not (quotas and all(_exhausted(this, quota) for quota in quotas)):
            ranked.append((1, 0.0, turn, name))
    return min(ranked)[3] if ranked else None


def _fresh(this: Round) -> timedelta:
    return timedelta(seconds=this.policy.quota_heard_seconds)


def _exhausted(this: Round, quota: Quota) -> bool:
    """Used up, as far as anybody said, and not reset since."""
    return quota.percent >= EXHAUSTED and (quota.resets_at is None or quota.resets_at > this.now)


def _quotas(this: Round, name: str) -> list[Quota]:
    """Of the reviewer by that name, or of every replica of the role by that name."""
    quotas = this.state.quotas
    if name in quotas:
        return [quotas[name]]
    return [quotas[agent] for agent, known in this.state.agents.items() if known.role == name and agent in quotas]
