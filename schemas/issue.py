"""Events about one issue: what is asked for, and what people say of it."""

from enum import StrEnum

from msgspec import UNSET, UnsetType

from schemas.event import IssueEvent
from schemas.fields import Branch, Epoch, Line, Priority, Run, Text
from schemas.refs import IssueRef, Name


class IssueApproved(IssueEvent, frozen=True, kw_only=True):
    """Somebody who may has approved this issue for work."""

    title: Line
    body: Text = ""
    url: str = ""
    author: Line
    priority: Priority = Priority.NORMAL
    depends_on: tuple[IssueRef, ...] = ()
    milestone: Line | None = None
    labels: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    base_branch: Branch | None = None
    """None: the repository's own."""


class IssueRevised(IssueEvent, frozen=True, kw_only=True):
    """What changed of an approved issue; what is absent did not change."""

    title: Line | UnsetType = UNSET
    body: Text | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    depends_on: tuple[IssueRef, ...] | UnsetType = UNSET
    milestone: Line | UnsetType | None = UNSET
    labels: tuple[str, ...] | UnsetType = UNSET
    requires: tuple[str, ...] | UnsetType = UNSET


class Withdrawal(StrEnum):
    """Why an issue is wanted no more."""

    CLOSED = "closed"
    UNLABELLED = "unlabelled"
    CANCELLED = "cancelled"


class IssueWithdrawn(IssueEvent, frozen=True, kw_only=True):
    """Nobody wants this done any more."""

    reason: Withdrawal = Withdrawal.CANCELLED
    by: Line


class Stopped(IssueEvent, frozen=True, kw_only=True):
    """A person stops the work; it waits for a person to ask again."""

    by: Line
    note: Text = ""


class RetryRequested(IssueEvent, frozen=True, kw_only=True):
    """A person asks for another round, with attempts counted from nought."""

    by: Line
    note: Text = ""


class PriorityChanged(IssueEvent, frozen=True, kw_only=True):
    """A person changes how urgent this is."""

    priority: Priority
    by: Line
    note: Text = ""


class AssignRequested(IssueEvent, frozen=True, kw_only=True):
    """A person asks that a certain role, or a certain replica, takes this on."""

    to: Name
    by: Line
    note: Text = ""


class QuestionAnswered(IssueEvent, frozen=True, kw_only=True):
    """A person answers what a run asked."""

    epoch: Epoch
    run: Run
    answer: Text
    by: Line
