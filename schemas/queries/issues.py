"""Issues: a list, and everything about one."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from schemas.decision import DeadlineKind, EscalationReason, Refusal, WaitingReason
from schemas.fields import Priority
from schemas.queries.paging import PAGE_MAX, Position
from schemas.refs import IssueRef, RepoRef
from schemas.state import IssueState

TIMELINE_MAX = 200
"""Newest events in the answer about one issue."""


class IssuesRequest(Struct, frozen=True, kw_only=True):
    """Issues, the oldest first, a page at a time."""

    repository: RepoRef | None = None
    state: IssueState | None = None
    after: Position = 0
    """`next` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 50
    wait_for: Position | None = None


class IssueLine(Struct, frozen=True, kw_only=True):
    """One issue in a list."""

    issue: IssueRef
    state: IssueState
    priority: Priority
    title: str
    agent: str | None
    """Who works on it now."""
    attempts: int
    waiting: tuple[WaitingReason, ...]
    updated: datetime


class Issues(Struct, frozen=True, kw_only=True):
    """One page."""

    position: int
    issues: tuple[IssueLine, ...]
    next: int | None
    """Ask again with `after` set to this; None: that was all."""


class IssueRequest(Struct, frozen=True, kw_only=True):
    """Everything about one issue."""

    issue: IssueRef
    timeline: Annotated[int, Meta(ge=0, le=TIMELINE_MAX)] = TIMELINE_MAX
    """How many of its newest events to tell."""
    wait_for: Position | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """What checks or a reviewer said about one head commit."""

    passed: bool
    head_sha: str
    base_sha: str | None = None
    """Of checks: the base that head was merged with."""
    by: str
    at: datetime


class Deadline(Struct, frozen=True, kw_only=True):
    """By when something must have come."""

    kind: DeadlineKind
    at: datetime


class TimelineEntry(Struct, frozen=True, kw_only=True):
    """One event of the issue, in words."""

    position: int
    time: datetime
    """The source's own clock."""
    actor: str
    type: str
    summary: str
    """One printable line."""


class IssueDetail(Struct, frozen=True, kw_only=True):
    """Everything a person wants to know about one issue."""

    position: int
    issue: IssueRef
    state: IssueState
    title: str
    body: str
    author: str
    priority: Priority
    depends_on: tuple[IssueRef, ...]
    approved: datetime
    waiting: tuple[WaitingReason, ...]
    waits_for: tuple[IssueRef, ...]
    epoch: int
    """The newest assignment's number; 0: never assigned."""
    run: str | None
    """The run that claimed it last."""
    agent: str | None
    """Who works on it now."""
    attempts: int
    """The last assignment's attempt."""
    branch: str | None
    pull_request: int | None
    url: str
    """Of the pull request."""
    head_sha: str | None
    checks: Verdict | None
    """About the current head."""
    reviews: tuple[Verdict, ...]
    """About the current head."""
    merge_sha: str | None
    findings: str
    """What was last found wrong, in full: failed checks, a dispute, a conflict, a failed run. Empty once done."""
    refusal: Refusal | None
    cycle: tuple[IssueRef, ...]
    escalation: EscalationReason | None
    deadline: Deadline | None
    timeline: tuple[TimelineEntry, ...]
    earlier: int
    """Events before the first one of the timeline."""
