"""The read models of reviews and gates: who was asked about which head, and what they answered. A history, and pure.

Whether an answer counted, and which gates are open now, stands with the issue.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from conductor.projector.model import Model
from schemas import (
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    GateReminded,
    GateTriggered,
    IssueRef,
    Recorded,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    ReviewRequested,
)


class Answer(StrEnum):
    """What somebody said."""

    PASSED = "passed"
    DISPUTED = "disputed"
    ABSTAINED = "abstained"
    APPROVED = "approved"
    REJECTED = "rejected"
    BYPASSED = "bypassed"


class ReviewRow(Struct, kw_only=True):
    """One reviewer and one head commit."""

    issue: IssueRef
    head_sha: str
    reviewer: str
    iteration: int | None = None
    """None: nobody asked."""
    asked: datetime | None = None
    answer: Answer | None = None
    answered: datetime | None = None
    """By the source's clock: of two answers the later one counts."""
    summary: str = ""
    comments: tuple[str, ...] = ()


class GateAnswer(Struct, frozen=True, kw_only=True):
    """What a person said at a gate."""

    answer: Answer
    by: str
    note: str
    at: datetime


class GateRow(Struct, kw_only=True):
    """One gate: its reason, and the head that it was opened for."""

    issue: IssueRef
    reason: GateReason
    head_sha: str | None
    opened: datetime
    paths: tuple[str, ...]
    detail: str
    reminded: int = 0
    answers: tuple[GateAnswer, ...] = ()


def _reviews_said(said: Recorded) -> Iterable[str]:
    match said.event.data:
        case (
            ReviewRequested(head_sha=head, reviewer=reviewer)
            | ReviewPassed(head_sha=head, reviewer=reviewer)
            | ReviewDisputed(head_sha=head, reviewer=reviewer)
            | ReviewAbstained(head_sha=head, reviewer=reviewer)
        ):
            return (f"{said.event.about}/{head}/{reviewer}",)
        case _:
            return ()


def fold_review(_: str, row: ReviewRow | None, said: Recorded) -> ReviewRow | None:
    event, issue, time = said.event.data, said.event.about, said.event.time
    match event:
        case ReviewRequested() | ReviewPassed() | ReviewDisputed() | ReviewAbstained() if isinstance(issue, IssueRef):
            review = row or ReviewRow(issue=issue, head_sha=event.head_sha, reviewer=event.reviewer)
        case _:
            return row
    match event:
        case ReviewRequested():
            review.iteration, review.asked = event.iteration, time
        case _ if review.answered is not None and time < review.answered:
            pass
        case ReviewPassed(summary=summary):
            review.answer, review.answered, review.summary, review.comments = Answer.PASSED, time, summary, ()
        case ReviewDisputed(summary=summary, comments=comments):
            review.answer, review.answered, review.summary = Answer.DISPUTED, time, summary
            review.comments = comments
        case ReviewAbstained(summary=summary, comments=comments):
            review.answer, review.answered, review.summary = Answer.ABSTAINED, time, summary
            review.comments = comments
    return review


def _gates_said(said: Recorded) -> Iterable[str]:
    match said.event.data:
        case GateTriggered(reason=reason, head_sha=head) | GateReminded(reason=reason, head_sha=head):
            reasons: Iterable[GateReason] = (reason,)
        case (
            GateApproved(reason=answered, head_sha=head)
            | GateRejected(reason=answered, head_sha=head)
            | GateBypassed(reason=answered, head_sha=head)
        ):
            reasons = GateReason if answered is None else (answered,)
        case _:
            return ()
    return [f"{said.event.about}/{head or '-'}/{reason}" for reason in reasons]


def fold_gate(_: str, row: GateRow | None, said: Recorded) -> GateRow | None:
    """None: no such gate was opened."""
    event, issue, time = said.event.data, said.event.about, said.event.time
    if row is None:
        if not isinstance(event, GateTriggered) or not isinstance(issue, IssueRef):
            return None
        head, paths, detail = event.head_sha, event.paths, event.detail
        return GateRow(issue=issue, reason=event.reason, head_sha=head, opened=time, paths=paths, detail=detail)
    match event:
        case GateTriggered(paths=paths, detail=detail):
            row.opened, row.paths, row.detail = time, paths, detail
        case GateReminded():
            row.reminded += 1
        case GateApproved(by=by, note=note):
            row.answers += (GateAnswer(answer=Answer.APPROVED, by=by, note=note, at=time),)
        case GateRejected(by=by, note=note):
            row.answers += (GateAnswer(answer=Answer.REJECTED, by=by, note=note, at=time),)
        case GateBypassed(by=by, note=note):
            row.answers += (GateAnswer(answer=Answer.BYPASSED, by=by, note=note, at=time),)
        case _:
            pass
    return row


REVIEWS = Model(
    "reviews", ReviewRow, _reviews_said, fold_review, (ReviewRequested, ReviewPassed, ReviewDisputed, ReviewAbstained)
)
GATES = Model(
    "gates", GateRow, _gates_said, fold_gate, (GateTriggered, GateReminded, GateApproved, GateRejected, GateBypassed)
)
