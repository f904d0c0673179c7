"""How the rig stands, and how far the read side follows the log."""

from msgspec import Struct

from schemas.queries.paging import Position
from schemas.refs import RepoRef
from schemas.state import IssueState


class StatusRequest(Struct, frozen=True, kw_only=True):
    """How the rig stands."""

    wait_for: Position | None = None
    """Answer only once the read side has reached this position of the log (bounded; refused when it does not)."""


class RepositoryLine(Struct, frozen=True, kw_only=True):
    """One repository under the rig."""

    repository: RepoRef
    configured: bool
    """Whether the forge has looked at it since it was added."""
    base_branch: str | None
    clone_url: str
    check: str
    reviewers: tuple[str, ...] = ()


class LeftOut(Struct, frozen=True):
    """An event that the read side could not take."""

    position: int
    why: str
    letter: int | None
    """Its dead letter; None: it is being written."""


class Status(Struct, frozen=True, kw_only=True):
    """The log and how far the read side follows it; what there is, counted."""

    position: int
    """The position that this answer is true for."""
    log_position: int
    """The log's last position when asked."""
    behind: int
    skipped: int
    """Positions that hold no event this version can read."""
    issues: dict[IssueState, int]
    agents: int
    """Agents that have joined and not left."""
    repositories: tuple[RepositoryLine, ...]
    lossy: str | None = None
    """How the server may lose what it has acknowledged, where RIG_ALLOW_LOSSY=1 accepts that."""
    left_out: int = 0
    """Events that the read side could not take, and goes on without."""
    left_out_first: tuple[LeftOut, ...] = ()
    """The first of them."""
    dead_letters: int = 0
    """Those that nobody has decided about."""
    writing: str | None = None
    """Why the read side is not written just now; None: it is."""


class WritingRequest(Struct, frozen=True, kw_only=True):
    """How the projector stands; the query service asks it, and tells it in Status."""


class Writing(Struct, frozen=True, kw_only=True):
    """Whether the read side is being written."""

    trouble: str | None
    """Why not just now; None: it is."""
