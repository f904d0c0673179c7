"""What is said of a request, in the words of the log. Pure."""

from collections.abc import Iterable
from typing import Final, TypeAlias

from agents.review_e.answer import Finding, Judgement, Verdict
from agents.review_e.request import Request
from schemas import ReviewAbstained, ReviewDisputed, ReviewPassed

__all__ = ["Said", "abstained", "said"]

SUMMARY_CHARACTERS: Final = 8_192
COMMENT_CHARACTERS: Final = 4_000
"""So that the longest answer fits into one event."""

Said: TypeAlias = ReviewPassed | ReviewDisputed | ReviewAbstained


def abstained(request: Request, why: str, comments: tuple[str, ...] = ()) -> ReviewAbstained:
    """No verdict, for that reason."""
    return ReviewAbstained(
        pull_request=request.pull_request,
        head_sha=request.head_sha,
        reviewer=request.reviewer,
        summary=why[:SUMMARY_CHARACTERS],
        comments=comments,
    )


def said(request: Request, found: Judgement) -> Said:
    """The judgement of a model."""
    match found.verdict:
        case Verdict.PASS:
            advice = "\n".join(f"- {finding}" for finding in found.advice)
            return ReviewPassed(
                pull_request=request.pull_request,
                head_sha=request.head_sha,
                reviewer=request.reviewer,
                summary=f"{found.summary}\n\n{advice}".strip()[:SUMMARY_CHARACTERS],
            )
        case Verdict.DISPUTE:
            return ReviewDisputed(
                pull_request=request.pull_request,
                head_sha=request.head_sha,
                reviewer=request.reviewer,
                summary=found.summary,
                comments=_comments((*found.blocking, *found.advice)),
            )
        case Verdict.ABSTAIN:
            return abstained(request, found.summary, _comments(found.findings))


def _comments(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(str(finding)[:COMMENT_CHARACTERS] for finding in findings)
