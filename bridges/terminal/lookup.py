"""What a command must know before it speaks, read from the log: by subject, and never the whole of it."""

from typing import TYPE_CHECKING

from bridges.terminal import fleet as fleet_
from bridges.terminal.errors import BadInput, Failed
from bridges.terminal.fleet import Fleet
from bridges.terminal.standing import Standing, standing
from schemas import (
    FLEET,
    Actor,
    AgentRef,
    Event,
    IssueRef,
    Overrides,
    Policy,
    PolicyAdopted,
    Recorded,
    Ref,
    RepoRef,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
    branch,
    everything_about,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bus import Bus

AGENT_ROLES = (Actor.DEV_E, Actor.REVIEW_E)


async def issue_standing(bus: "Bus", issue: IssueRef) -> Standing:
    """Where the issue stands. Raises Failed for one that nobody has approved."""
    return must_stand(standing(await bus.log.history([everything_about(issue)]), issue), issue)


def must_stand(found: Standing | None, issue: IssueRef) -> Standing:
    """The same. Raises Failed where there is none."""
    if found is None:
        raise Failed(f"there is no issue {issue} in the log; `rig issues` lists those that there are")
    return found


async def whole_fleet(bus: "Bus", events: "Iterable[type[Event]]" = fleet_.OF_NOTE) -> Fleet:
    """What holds of the rig as a whole, as far as these kinds of events tell."""
    return fleet_.fleet(await bus.log.history(fleet_.filters(events)))


async def policy_adopted(bus: "Bus") -> Recorded | None:
    """The event of the policy in force; None: there is none yet."""
    return await last_said(bus, FLEET, PolicyAdopted)


async def policy_in_force(bus: "Bus") -> Policy | None:
    """The policy in force; None: there is none yet."""
    said = await policy_adopted(bus)
    return said.event.data.policy if said is not None and isinstance(said.event.data, PolicyAdopted) else None


async def overrides_of(bus: "Bus", repository: RepoRef) -> Overrides | None:
    """Where the policy of a repository differs; None: nowhere."""
    said = [await last_said(bus, repository, kind) for kind in (RepositoryAdded, RepositoryConfigured)]
    words = sorted((word for word in said if word is not None), key=lambda word: word.position)
    return repository_of(words, repository)[1]


def repository_of(history: "Iterable[Recorded]", repository: RepoRef) -> tuple[bool, Overrides | None]:
    """Whether the forge serves the repository, and where its policy differs, after these events, in order."""
    configured, overrides = False, None
    for said in history:
        match said.event.about, said.event.data:
            case ref, RepositoryConfigured() as data if ref == repository:
                configured, overrides = True, data.overrides
            case ref, RepositoryAdded() as data if ref == repository:
                overrides = data.overrides
            case ref, RepositoryRemoved() if ref == repository:
                configured, overrides = False, None
            case _:
                pass
    return configured, overrides


async def last_said(bus: "Bus", about: Ref, event: type[Event]) -> Recorded | None:
    """The newest event of that kind about something, whoever said it."""
    found = await bus.log.last(f"{branch(about)}.*.{event.name()}")
    return found if isinstance(found, Recorded) else None


async def check_role(bus: "Bus", role: str) -> None:
    """Raises BadInput for a role that nobody here has."""
    known = roles(await policy_in_force(bus))
    if role not in known:
        raise BadInput(f"nobody here has the role {role[:60]!r} (there are {', '.join(known)})")


async def check_worker(bus: "Bus", to: str) -> None:
    """Raises BadInput for what is neither a role nor a replica that ever joined."""
    known = roles(await policy_in_force(bus))
    if to not in known and await bus.log.last(everything_about(AgentRef(to))) is None:
        raise BadInput(f"{to[:60]!r} is no role ({', '.join(known)}) and no agent that ever joined (`rig agents`)")


def roles(policy: Policy | None) -> list[str]:
    """The roles that work can go to."""
    named = () if policy is None else (policy.role, *policy.roles)
    return list(dict.fromkeys([*AGENT_ROLES, *named]))
