"""The read model of merges: every change that reached its base branch, by whoever's hand. Pure."""

from collections.abc import Iterable
from datetime import date, datetime

from msgspec import Struct

from conductor.projector.model import Model
from conductor.projector.runs import day_of
from schemas import IssueRef, Merged, Recorded, Reverted


class MergeRow(Struct, kw_only=True):
    """One change that was merged."""

    issue: IssueRef
    merge_sha: str
    head_sha: str
    day: date
    """On which it was merged (UTC)."""
    merged: datetime
    reverted: datetime | None = None
    """Since when it is taken out again."""


def _said(said: Recorded) -> Iterable[str]:
    match said.event.data:
        case Merged(merge_sha=sha) | Reverted(merge_sha=sha):
            return (f"{said.event.about}/{sha}",)
        case _:
            return ()


def fold_merge(_: str, row: MergeRow | None, said: Recorded) -> MergeRow | None:
    """However often it is said, it was merged once, and taken out once."""
    event, issue = said.event.data, said.event.about
    match event:
        case Merged() if row is None and isinstance(issue, IssueRef):
            return MergeRow(
                issue=issue,
                merge_sha=event.merge_sha,
                head_sha=event.head_sha,
                day=day_of(said),
                merged=said.event.time,
            )
        case Reverted() if row is not None and row.reverted is None:
            row.reverted = said.event.time
        case _:
            pass
    return row


MERGES = Model("merges", MergeRow, _said, fold_merge, (Merged, Reverted))
