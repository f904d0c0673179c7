"""The read models of an agent's replica and of a repository: what each last said, or was said of it. Pure."""

from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from schemas import (
    AgentCapacityChanged,
    AgentJoined,
    AgentLeft,
    AgentRef,
    Recorded,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryLine,
    RepositoryRemoved,
)


class AgentRow(Struct, frozen=True, kw_only=True):
    """One replica, by its stable name."""

    name: str
    position: int
    """Position of the last event folded in."""
    boot: str
    role: str
    slots: int
    provider: str
    version: str
    joined: datetime
    left: datetime | None = None


class RepositoryRow(Struct, frozen=True, kw_only=True):
    """One repository; a removed one is kept, with its configuration."""

    position: int
    line: RepositoryLine
    removed: bool = False


def fold_agent(row: AgentRow | None, said: Recorded) -> AgentRow | None:
    """The row after one event of its agent. What an earlier boot still says changes nothing. None: never joined."""
    event, about = said.event.data, said.event.about
    if row is not None and said.position <= row.position:
        return row
    match event:
        case AgentJoined() if isinstance(about, AgentRef):
            return AgentRow(
                name=about.agent,
                position=said.position,
                boot=event.boot,
                role=event.role,
                slots=event.slots,
                provider=event.provider,
                version=event.version,
                joined=said.stored_at,
            )
        case AgentCapacityChanged() if row is not None and event.boot == row.boot:
            return replace(row, position=said.position, slots=event.slots)
        case AgentLeft() if row is not None and event.boot == row.boot:
            return replace(row, position=said.position, left=said.stored_at)
        case _:
            return row


def fold_repository(row: RepositoryRow | None, said: Recorded) -> RepositoryRow | None:
    """The row after one event of its repository. None: neither added nor configured yet."""
    event, about = said.event.data, said.event.about
    if not isinstance(about, RepoRef) or (row is not None and said.position <= row.position):
        return row
    match event:
        case RepositoryAdded():
            base_branch, configured = event.base_branch, False
        case RepositoryConfigured():
            base_branch, configured = event.base_branch, True
        case RepositoryRemoved() if row is not None:
            return replace(row, position=said.position, removed=True)
        case _:
            return row
    line = RepositoryLine(
        repository=about,
        configured=configured,
        base_branch=base_branch,
        clone_url=event.clone_url,
        check=event.check,
        reviewers=event.reviewers,
    )
    return RepositoryRow(position=said.position, line=line)
