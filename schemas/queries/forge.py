"""What the local forge is asked for."""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.fields import Branch, Line, Priority, Text
from schemas.refs import IssueRef, Name, RepoRef


class AddIssue(Struct, frozen=True, kw_only=True):
    """Asks the local forge to allot a number and say `IssueApproved`."""

    request: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\A[A-Za-z0-9-]+\Z")]
    """The asker's id of this request: the same one again gives the same issue."""
    repository: RepoRef
    title: Line
    body: Text = ""
    author: Line
    priority: Priority = Priority.NORMAL
    depends_on: tuple[IssueRef, ...] = ()
    labels: tuple[Line, ...] = ()
    requires: tuple[Name, ...] = ()
    """What a replica must have to work on it, beside what the repository asks for."""
    milestone: Line | None = None
    base_branch: Branch | None = None


class IssueAdded(Struct, frozen=True, kw_only=True):
    """The issue's number, and where the log holds its approval."""

    issue: IssueRef
    position: int
