"""Events about a repository under the rig."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from schemas.event import RepoEvent
from schemas.fields import Branch, Line, Sha
from schemas.policy import Overrides
from schemas.refs import Name


class Forge(StrEnum):
    """Which bridge serves a repository."""

    LOCAL = "local"
    GITHUB = "github"


class ReviewScope(StrEnum):
    """Which pull requests of a repository the rig has reviewed."""

    RIG = "rig"
    """Its own."""
    LABELLED = "labelled"
    """Those, too, that bear the label `needs-review`."""
    ALL = "all"


class RepositoryAdded(RepoEvent, frozen=True, kw_only=True):
    """A person put a repository under the rig."""

    forge: Forge = Forge.LOCAL
    clone_url: Line
    """Where agents clone from and push to: for the local forge, the path of the repository."""
    check: Line
    """The repository's own check command, a line for /bin/sh: an operator's word, never an issue's."""
    base_branch: Branch | None = None
    """None: what the repository's HEAD names."""
    reviewers: tuple[Name, ...] = ()
    """Roles of agents, or people: whoever's verdict counts."""
    capabilities: tuple[Name, ...] = ()
    """What a replica must have to work here."""
    overrides: Overrides | None = None
    """Where this repository's policy differs from the rig's."""
    reviews: ReviewScope = ReviewScope.RIG
    by: Line


class RepositoryConfigured(RepoEvent, frozen=True, kw_only=True):
    """The forge looked at the repository; this is what holds from here on."""

    base_branch: Branch
    base_sha: Sha
    clone_url: Line
    check: Line
    reviewers: tuple[Name, ...] = ()
    stack: tuple[Name, ...] = ()
    """What it is written in; said by its `.rig-agent.yaml`, as the next four are."""
    capabilities: tuple[Name, ...] = ()
    """What a replica must have to work here: the operator's, and the tools that the repository names."""
    build: Line | None = None
    required_checks: tuple[Line, ...] = ()
    escalate: Line | None = None
    """Whom to ask when the rig is at its end; None: people."""
    overrides: Overrides | None = None
    reviews: ReviewScope = ReviewScope.RIG


class RepositoryRemoved(RepoEvent, frozen=True, kw_only=True):
    """The rig takes no more work in this repository."""

    by: Line


class RunConclusion(StrEnum):
    """How one run of a workflow ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMED_OUT = "timed_out"
    STARTUP_FAILURE = "startup_failure"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    NEUTRAL = "neutral"
    ACTION_REQUIRED = "action_required"
    STALE = "stale"

    @property
    def red(self) -> bool:
        """Whether the run says that something is broken; one that was cancelled or skipped says nothing."""
        return self in (RunConclusion.FAILURE, RunConclusion.TIMED_OUT, RunConclusion.STARTUP_FAILURE)


class MainChecksFailed(RepoEvent, frozen=True, kw_only=True):
    """A workflow did not succeed on the base branch."""

    sha: Sha
    workflow: Line
    run: Line
    conclusion: RunConclusion
    previous_conclusion: RunConclusion | None = None
    """Of the same workflow on the parent commit; None: nobody knows."""
    url: str = ""


class MainChecksPassed(RepoEvent, frozen=True, kw_only=True):
    """A workflow succeeded on the base branch."""

    sha: Sha
    workflow: Line
    run: Line
    conclusion: RunConclusion = RunConclusion.SUCCESS
    previous_conclusion: RunConclusion | None = None
    url: str = ""


class AuditCompleted(RepoEvent, frozen=True, kw_only=True):
    """What the forge delivered was compared with what was stored."""

    delivered: Annotated[int, Meta(ge=0)]
    missing: Annotated[int, Meta(ge=0)]
    reinjected: Annotated[int, Meta(ge=0)]
