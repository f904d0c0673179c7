"""What the rig may no longer reach: the App was removed or suspended, or a repository deleted or archived.

That a repository may be reached puts nothing under the rig: a person does that.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct, field

from bridges.github import ids, payloads
from bridges.github.heard import Heard
from bridges.github.said import Said, Translation
from bridges.github.translate.reading import decoded, line, once, person, skip, stamp, utc
from schemas import RepositoryRemoved

_REMOVED: Final = ("deleted", "suspend")
_GONE: Final = ("deleted", "archived")


class InstallationPayload(Struct, frozen=True):
    """The event `installation`."""

    action: str
    installation: payloads.Installation
    repositories: list[payloads.Repository] = field(default_factory=list[payloads.Repository])
    sender: payloads.User | None = None


class RepositoriesPayload(Struct, frozen=True):
    """The event `installation_repositories`."""

    action: str
    installation: payloads.Installation
    repositories_removed: list[payloads.Repository] = field(default_factory=list[payloads.Repository])
    sender: payloads.User | None = None


class RepositoryPayload(Struct, frozen=True):
    """The event `repository`."""

    action: str
    repository: payloads.Repository
    sender: payloads.User | None = None


def translate_installation(body: bytes, heard: Heard) -> Translation:
    """The event `installation`."""
    payload = decoded(body, InstallationPayload)
    if payload.action not in _REMOVED:
        return skip(f"an installation that is {payload.action} changes nothing")
    suspended = payload.installation.suspended_at if payload.action == "suspend" else None
    at, which = suspended or payload.installation.updated_at, (payload.installation.id, payload.action)
    by, exact = person(payload.sender), suspended is not None
    return _removed(payload.repositories, heard, by, _instant(at), which, exact=exact)


def translate_repositories(body: bytes, heard: Heard) -> Translation:
    """The event `installation_repositories`."""
    payload = decoded(body, RepositoriesPayload)
    if payload.action != "removed":
        return skip("what the App may reach is under the rig once a person puts it there")
    which = (payload.installation.id, payload.action)
    at = _instant(payload.installation.updated_at)
    return _removed(payload.repositories_removed, heard, person(payload.sender), at, which, exact=False)


def translate_repository(body: bytes, heard: Heard) -> Translation:
    """The event `repository`."""
    payload = decoded(body, RepositoryPayload)
    if payload.action not in _GONE:
        return skip(f"a repository that is {payload.action} stays what it is to the rig")
    which = (payload.action,)
    at = payload.repository.updated_at
    return _removed([payload.repository], heard, person(payload.sender), at, which, exact=True)


def _instant(told: datetime | int | None) -> datetime | None:
    return datetime.fromtimestamp(told, UTC) if isinstance(told, int) else told


def _removed(
    named: Sequence[payloads.Repository],
    heard: Heard,
    by: str,
    at: datetime | None,
    which: tuple[str | int, ...],
    *,
    exact: bool,
) -> Translation:
    """`exact`: `at` is when that was. What was put under the rig after it stays there."""
    when = None if at is None else utc(at)
    at_that_time = when if exact else None
    told: list[Said] = []
    for one in named:
        home = heard.repository(one.full_name)
        if home is not None:
            id_ = ids.of_repository(home.ref, "removed", *which, "-" if when is None else stamp(when))
            if at_that_time is None or at_that_time >= home.added_at.replace(microsecond=0):
                told += once(heard, home.ref, RepositoryRemoved(by=line(by, "GitHub")), id_, None)
    return Translation(
        said=tuple(told), skipped=None if told else "none of these is under the rig, or it came there since"
    )
