"""The GitHub bridge, asked by a person's command; and what to do where nobody answers."""

from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from bridges.terminal.errors import BadInput, Failed
from schemas import RepoRef

if TYPE_CHECKING:
    from bus import Bus
    from schemas.queries import Looked

LOOK_SECONDS = 30.0
"""How long GitHub may take to show a repository."""
T = TypeVar("T", bound=Struct)


async def look(bus: "Bus", repository: RepoRef, base: str | None) -> "Looked":
    """What is there. Raises BadInput where the bridge could not serve it, Failed where there is no bridge."""
    from bus import Refused
    from schemas.queries import Looked, LookRequest

    try:
        return await ask(bus, "look", LookRequest(repository=repository, base_branch=base), Looked, LOOK_SECONDS)
    except Refused as error:
        raise BadInput(f"{repository}: {error}") from None


async def ask(bus: "Bus", what: str, asked: Struct, answer: type[T], timeout_seconds: float) -> T:
    """Raises Refused, and Failed where there is no bridge."""
    from bus import NoService

    try:
        return await bus.services.ask("github", what, asked, answer, timeout_seconds=timeout_seconds)
    except NoService as error:
        raise Failed(
            f"{error}; `rig up` starts the GitHub bridge where RIG_GITHUB_… is set, as does `rig run github`;"
            " `rig doctor` says what is wrong with the settings"
        ) from None
