"""What the GitHub bridge is asked for."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from schemas.fields import Branch, Line, Sha
from schemas.refs import RepoRef


class LookRequest(Struct, frozen=True, kw_only=True):
    """Asks what is there, before a repository is put under the rig. Refused with the reason where it cannot be."""

    repository: RepoRef
    base_branch: Branch | None = None
    """None: the repository's default branch."""


class Looked(Struct, frozen=True, kw_only=True):
    """A repository as GitHub shows it to the bridge."""

    repository: RepoRef
    """As GitHub itself writes it."""
    base_branch: Branch
    base_sha: Sha
    clone_url: Line
    test: Line | None
    """The check that its `.rig-agent.yaml` names."""


class DeliveryLog(StrEnum):
    """Which log of GitHub's an audit compared with the inbox."""

    APP = "app"
    HOOKS = "hooks"
    """Of each repository's own webhook."""
    NONE = "none"
    """None could be read: what is open was compared with what is known."""


class AuditRequest(Struct, frozen=True, kw_only=True):
    """Asks how the last audit ended."""

    now: bool = False
    """Make one first."""


class RepositoryAudit(Struct, frozen=True, kw_only=True):
    """Of one repository."""

    repository: RepoRef
    log: DeliveryLog
    delivered: int = 0
    missing: int = 0
    reinjected: int = 0
    said: int = 0
    """Without a log: events that were missing, and looks at what may have changed."""
    trouble: str | None = None
    """Why its log could not be read, or why it could not be looked at."""


class Audited(Struct, frozen=True, kw_only=True):
    """What GitHub delivered in the last three days, against what the inbox holds."""

    audited_at: datetime | None
    """None: not yet."""
    log: DeliveryLog = DeliveryLog.NONE
    delivered: int = 0
    missing: int = 0
    """Not in the inbox when the audit began."""
    reinjected: int = 0
    """Of those, put there by it."""
    repositories: tuple[RepositoryAudit, ...] = ()
    trouble: str | None = None
    """Why it did not come to its end."""
