"""The read models of replicas and of repositories: what each last said, or was said of it. Pure."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from conductor.projector.model import Model
from conductor.state import State
from schemas import (
    AgentCapacityChanged,
    AgentEvent,
    AgentJoined,
    AgentLeft,
    AgentRef,
    FailureKind,
    Recorded,
    RepoEvent,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryLine,
    RepositoryRemoved,
    SuspensionReason,
    WorkFailed,
)

_SUSPENDS = (FailureKind.QUOTA, FailureKind.AUTH)


class AgentRow(Struct, kw_only=True):
    """One replica, by its stable name."""

    name: str
    boot: str
    role: str
    slots: int
    provider: str
    version: str
    capabilities: tuple[str, ...]
    joined: datetime
    left: datetime | None = None
    degraded: tuple[str, ...] = ()
    silent_since: datetime | None = None
    suspended: SuspensionReason | None = None
    suspended_until: datetime | None = None
    quota_percent: float | None = None
    """Of the fuller of its windows, as was said last."""


class RepositoryRow(Struct, kw_only=True):
    """One repository; a removed one is kept, with its configuration."""

    line: RepositoryLine
    removed: bool = False


def agents(state: State) -> Model[AgentRow]:
    """The table, beside the conductor's fold that it follows."""

    def keys(said: Recorded) -> Iterable[str]:
        match said.event.about:
            case AgentRef(name):
                return (name,)
            case _ if isinstance(said.event.data, WorkFailed) and said.event.data.kind in _SUSPENDS:
                return list(state.agents)  # the one that worked on it, by then
            case _:
                return ()

    def finish(key: str, row: AgentRow) -> AgentRow:
        known, quota = state.agents.get(key), state.quotas.get(key)
        suspension = None if known is None else known.suspension
        row.silent_since = None if known is None else known.silent_since
        row.suspended = None if suspension is None else suspension.reason
        row.suspended_until = None if suspension is None else suspension.until
        row.quota_percent = None if quota is None else quota.percent
        return row

    return Model("agents", AgentRow, keys, fold_agent, (AgentEvent, WorkFailed), finish)


def fold_agent(_: str, row: AgentRow | None, said: Recorded) -> AgentRow | None:
    """What an earlier boot still says changes nothing. None: never joined."""
    event, about = said.event.data, said.event.about
    match event:
        case AgentJoined() if isinstance(about, AgentRef):
            return AgentRow(
                name=about.agent,
                boot=event.boot,
                role=event.role,
                slots=event.slots,
                provider=event.provider,
                version=event.version,
                capabilities=event.capabilities,
                joined=said.stored_at,
            )
        case AgentCapacityChanged() if row is not None and event.boot == row.boot:
            row.slots, row.degraded = event.slots, event.degraded
        case AgentLeft() if row is not None and event.boot == row.boot:
            row.left = said.stored_at
        case _:
            pass
    return row


def _repositories_said(said: Recorded) -> Iterable[str]:
    return (str(said.event.about),) if isinstance(said.event.about, RepoRef) else ()


def fold_repository(_: str, row: RepositoryRow | None, said: Recorded) -> RepositoryRow | None:
    """None: neither added nor configured yet."""
    event, about = said.event.data, said.event.about
    match event:
        case RepositoryAdded():
            base_branch, configured = event.base_branch, False
        case RepositoryConfigured():
            base_branch, configured = event.base_branch, True
        case RepositoryRemoved() if row is not None:
            row.removed = True
            return row
        case _:
            return row
    if not isinstance(about, RepoRef):
        return row
    line = RepositoryLine(
        repository=about,
        configured=configured,
        base_branch=base_branch,
        clone_url=event.clone_url,
        check=event.check,
        reviewers=event.reviewers,
    )
    return RepositoryRow(line=line)


REPOSITORIES = Model("repositories", RepositoryRow, _repositories_said, fold_repository, (RepoEvent,))
