"""Short names: `shop` for demo/shop and `shop#3` for demo/shop#3, where one repository alone is called so."""

from typing import TYPE_CHECKING

from bridges.terminal.errors import BadInput
from schemas import (
    BadReference,
    IssueRef,
    Recorded,
    Ref,
    RepoRef,
    RepositoryRemoved,
    everything_about,
    repositories_named,
)

if TYPE_CHECKING:
    from bus import Bus


def check_repository(typed: str) -> None:
    """Raises BadReference for what cannot be a repository's name, short or whole."""
    try:
        RepoRef.parse(typed if "/" in typed else f"owner/{typed}")
    except BadReference:
        raise BadReference(f"{typed[:60]!r} is not a repository: write OWNER/REPO, like acme/web") from None


def check_issue(typed: str) -> None:
    """Raises BadReference for what cannot name an issue."""
    try:
        IssueRef.parse(typed if "/" in typed else f"owner/{typed}")
    except BadReference:
        how = "OWNER/REPO#NUMBER, like acme/web#42" if "#" in typed else f"{typed[:60]}#N"
        raise BadReference(f"{typed[:60]!r} is not an issue: write {how}") from None


async def repository(bus: "Bus", typed: str) -> RepoRef:
    """The repository that is meant. Raises BadReference, or BadInput where a short name names none or several."""
    check_repository(typed)
    if "/" in typed:
        return RepoRef.parse(typed)
    found: dict[RepoRef, bool] = {}
    for said in await bus.log.history([repositories_named(typed)]):
        if isinstance(said.event.about, RepoRef):
            found[said.event.about] = not isinstance(said.event.data, RepositoryRemoved)
    match [ref for ref, there in found.items() if there]:
        case [ref]:
            return ref
        case []:
            raise BadInput(f"no repository {typed!r} is under this rig; `rig status` lists them")
        case several:
            raise BadInput(f"{typed!r} could be {' or '.join(map(str, several))}: write OWNER/REPO")


async def check_under_the_rig(bus: "Bus", about: Ref) -> None:
    """Raises BadInput for a repository that was never added, or has been removed, and for an issue of one."""
    match about:
        case RepoRef() as ref:
            pass
        case IssueRef():
            ref = about.repository
        case _:
            return
    last = await bus.log.last(everything_about(ref))
    if last is None or (isinstance(last, Recorded) and isinstance(last.event.data, RepositoryRemoved)):
        raise BadInput(f"{ref} is not under this rig; `rig repo add PATH --name {ref} --check …` puts it there")


async def issue(bus: "Bus", typed: str) -> IssueRef:
    """The issue that is meant. Raises as `repository` does."""
    check_issue(typed)
    place, _, number = typed.partition("#")
    ref = await repository(bus, place)
    return IssueRef(ref.owner, ref.repo, int(number))
