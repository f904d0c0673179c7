"""GitHub's own objects, as far as Rig reads them: one shape for what a webhook brings and what the REST API answers.

Nothing here is trusted: what is missing, of another type or too long is refused by msgspec when it is decoded, and a
text is data. Instants are GitHub's clock, in whole seconds. Source: GitHub REST API, version 2022-11-28.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct, field

Number = Annotated[int, Meta(ge=1, lt=1 << 53)]
Instant = Annotated[datetime, Meta(tz=True)]
Second = Annotated[int, Meta(ge=0, lt=1 << 33)]
"""Since 1970: so webhooks tell the times of an installation, which the REST API writes as all others."""


class User(Struct, frozen=True):
    """A person, an App or an organization."""

    login: Annotated[str, Meta(min_length=1, max_length=100)]
    type: str = "User"


class Label(Struct, frozen=True):
    name: str


class Milestone(Struct, frozen=True):
    title: str
    number: Number = 1
    state: str = "open"
    updated_at: Instant | None = None


class Repository(Struct, frozen=True):
    full_name: str
    default_branch: str = ""
    clone_url: str = ""
    archived: bool = False
    updated_at: Instant | None = None


class Installation(Struct, frozen=True):
    id: Number
    updated_at: Instant | Second | None = None
    suspended_at: Instant | Second | None = None


class Dependencies(Struct, frozen=True):
    """How many issues block one, by GitHub's own links."""

    total_blocked_by: int = 0


class Issue(Struct, frozen=True, kw_only=True):
    """One issue; GitHub tells of a pull request as of an issue, too, and then `pull_request` is there."""

    number: Number
    title: str
    body: str | None = None
    state: str = ""
    """Empty: it is not told (of one that was pinned)."""
    state_reason: str | None = None
    html_url: str = ""
    repository_url: str = ""
    user: User | None = None
    labels: list[Label] = field(default_factory=list[Label])
    milestone: Milestone | None = None
    assignees: list[User] = field(default_factory=list[User])
    updated_at: Instant
    closed_at: Instant | None = None
    pull_request: dict[str, object] | None = None
    issue_dependencies_summary: Dependencies | None = None


class Side(Struct, frozen=True):
    """Head or base of a pull request."""

    ref: str
    sha: str
    repo: Repository | None = None
    """None: the fork was deleted."""


class Asked(Struct, frozen=True):
    """Who is asked for a review: a person, or a team, which has no login."""

    login: str = ""


class PullRequest(Struct, frozen=True, kw_only=True):
    number: Number
    title: str
    body: str | None = None
    state: str
    draft: bool = False
    merged: bool | None = None
    merged_at: Instant | None = None
    """A list of pull requests tells this and not `merged`."""
    merge_commit_sha: str | None = None
    merged_by: User | None = None
    html_url: str = ""
    user: User | None = None
    head: Side
    base: Side
    labels: list[Label] = field(default_factory=list[Label])
    requested_reviewers: list[Asked | None] = field(default_factory=list[Asked | None])
    updated_at: Instant
    closed_at: Instant | None = None
    mergeable: bool | None = None
    mergeable_state: str = "unknown"
    changed_files: int | None = None
    additions: int | None = None
    deletions: int | None = None

    @property
    def is_merged(self) -> bool:
        return bool(self.merged) or self.merged_at is not None


class Review(Struct, frozen=True, kw_only=True):
    id: Number
    user: User | None = None
    state: str
    """approved, changes_requested, commented, dismissed; the REST API writes it in capitals."""
    body: str | None = None
    commit_id: str | None = None
    submitted_at: Instant | None = None
    html_url: str = ""


class Comment(Struct, frozen=True, kw_only=True):
    id: Number
    user: User | None = None
    body: str | None = None
    created_at: Instant
    updated_at: Instant
    html_url: str = ""


class CheckOutput(Struct, frozen=True):
    title: str | None = None
    summary: str | None = None


class CheckRun(Struct, frozen=True, kw_only=True):
    id: Number
    name: str
    head_sha: str
    status: str
    conclusion: str | None = None
    html_url: str | None = None
    completed_at: Instant | None = None
    output: CheckOutput | None = None


class CheckSuite(Struct, frozen=True, kw_only=True):
    id: Number
    head_sha: str
    head_branch: str | None = None
    status: str | None = None
    conclusion: str | None = None


class Status(Struct, frozen=True, kw_only=True):
    """A commit status of one context."""

    context: str
    state: str
    target_url: str | None = None
    description: str | None = None
    updated_at: Instant


class WorkflowRun(Struct, frozen=True, kw_only=True):
    id: Number
    name: str | None = None
    head_branch: str | None = None
    head_sha: str
    status: str
    conclusion: str | None = None
    event: str = ""
    head_repository: Repository | None = None
    """Where the branch is: a fork's has any name."""
    run_attempt: int = 1
    html_url: str = ""
    updated_at: Instant


class Deployment(Struct, frozen=True, kw_only=True):
    id: Number
    sha: str
    environment: str


class DeploymentStatus(Struct, frozen=True, kw_only=True):
    id: Number
    state: str
    environment_url: str | None = None
    target_url: str | None = None
    description: str | None = None
    created_at: Instant
