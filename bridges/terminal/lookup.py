"""What a command must know before it speaks, read from the log: by subject, and never the whole of it."""

from typing import TYPE_CHECKING

from msgspec import Struct

from bridges.standing import House, Standing
from bridges.standing_fold import standing
from bridges.terminal import fleet as fleet_
from bridges.terminal.errors import BadInput, Failed
from bridges.terminal.fleet import Fleet
from schemas import (
    FLEET,
    Actor,
    AgentRef,
    BudgetRaised,
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
    Tier,
    branch,
    everything_about,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bus import Bus

AGENT_ROLES = (Actor.DEV_E, Actor.REVIEW_E)
OF_REPOSITORY = (RepositoryAdded, RepositoryConfigured, RepositoryRemoved)


async def issue_standing(bus: "Bus", issue: IssueRef) -> Standing:
    """Where the issue stands. Raises Failed for one that nobody has approved."""
    return must_stand((await standings(bus, [issue]))[issue], issue)


async def standings(bus: "Bus", issues: "Sequence[IssueRef]") -> dict[IssueRef, Standing | None]:
    """Where several issues stand, in one reading; None: nobody has approved it."""
    if not issues:
        return {}
    repositories = dict.fromkeys(ref.repository for ref in issues)
    filters = [everything_about(ref) for ref in issues]
    filters += [name for ref in repositories for name in about_repository(ref)]
    history = await bus.log.history([*filters, *fleet_.filters((PolicyAdopted, BudgetRaised))])
    return standings_in(history, issues)


def standings_in(history: "Sequence[Recorded]", issues: "Iterable[IssueRef]") -> dict[IssueRef, Standing | None]:
    """The same, of events that were read: those of the issues, their repositories, policies and raised budgets."""
    of, known = _by_what_they_are_about(history), houses(history)
    raised = [said for said in of.get(FLEET, []) if isinstance(said.event.data, BudgetRaised)]
    found: dict[IssueRef, Standing | None] = {}
    for ref in issues:
        words = sorted([*of.get(ref, []), *raised], key=lambda said: said.position)
        found[ref] = standing(words, ref, known.get(ref.repository))
    return found


def houses(history: "Iterable[Recorded]") -> dict[RepoRef, House]:
    """Whose word counts, of each repository that is spoken of."""
    of = _by_what_they_are_about(history)
    policy = fleet_.fleet(of.get(FLEET, [])).policy_data
    refs = {ref if isinstance(ref, RepoRef) else ref.repository for ref in of if isinstance(ref, RepoRef | IssueRef)}
    return {ref: served(of.get(ref, [])).house(policy) for ref in refs}


def _by_what_they_are_about(history: "Iterable[Recorded]") -> dict[Ref, list[Recorded]]:
    of: dict[Ref, list[Recorded]] = {}
    for said in history:
        of.setdefault(said.event.about, []).append(said)
    return of


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
    return fleet_.Fleet(policy=await policy_adopted(bus)).policy_data


class Served(Struct):
    """A repository, as its events tell it."""

    configured: bool = False
    """Whether the forge has looked at it, and serves it."""
    overrides: Overrides | None = None
    reviewers: tuple[str, ...] = ()

    def house(self, policy: Policy | None) -> House:
        """Whose word counts there."""
        approvers = () if policy is None else policy.gates.approvers
        if self.overrides is not None and self.overrides.approvers is not None:
            approvers = self.overrides.approvers
        tiers = () if policy is None else (policy.tiers.otherwise, *policy.tiers.begin.values())
        labels = () if policy is None else policy.gates.blocking_labels
        return House(
            approvers=approvers,
            reviewers=self.reviewers,
            blocking=frozenset(label.lower() for label in labels),
            driven=Tier.T3 in tiers,
        )


def served(history: "Iterable[Recorded]") -> Served:
    """What these events, in order, say of their repository."""
    found = Served()
    for said in history:
        match said.event.data:
            case RepositoryAdded() as data:
                found.overrides, found.reviewers = data.overrides, data.reviewers
            case RepositoryConfigured() as data:
                found = Served(configured=True, overrides=data.overrides, reviewers=data.reviewers)
            case RepositoryRemoved():
                found = Served()
            case _:
                pass
    return found


async def house_words(bus: "Bus", ref: RepoRef) -> Served:
    """What holds of a repository now."""
    return served(await bus.log.history(about_repository(ref)))


def about_repository(ref: RepoRef) -> list[str]:
    """Where such events are said; what its workflows did is not among them."""
    return [f"{branch(ref)}.*.{kind.name()}" for kind in OF_REPOSITORY]


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
