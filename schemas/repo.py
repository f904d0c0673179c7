"""Events about a repository under the rig."""

from enum import StrEnum

from schemas.event import RepoEvent
from schemas.fields import Branch, Line, Sha
from schemas.refs import Name


class Forge(StrEnum):
    """Which bridge serves a repository."""

    LOCAL = "local"
    GITHUB = "github"


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
    by: Line


class RepositoryConfigured(RepoEvent, frozen=True, kw_only=True):
    """The forge looked at the repository; this is what holds from here on."""

    base_branch: Branch
    base_sha: Sha
    clone_url: Line
    check: Line
    reviewers: tuple[Name, ...] = ()


class RepositoryRemoved(RepoEvent, frozen=True, kw_only=True):
    """The rig takes no more work in this repository."""

    by: Line
