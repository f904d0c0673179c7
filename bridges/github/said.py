"""What a translation comes to: events to say, places to look at, or the reason why there is nothing in it."""

from msgspec import Struct

from schemas import Draft, IssueRef, RepoRef


class Untranslatable(Exception):
    """A delivery that is not what GitHub says it is. It goes to the dead letters with this reason."""


class Said(Struct, frozen=True):
    """One event to say. `draft.time` is GitHub's own; `id` follows from the fact (see ids)."""

    draft: Draft
    id: str


class Look(Struct, frozen=True):
    """Something changed about which a delivery tells too little: whoever does effects asks the API."""

    about: IssueRef | RepoRef
    """An issue whose pull request's checks may have ended, or a repository whose base branch moved."""


class Translation(Struct, frozen=True):
    """Of one delivery."""

    said: tuple[Said, ...] = ()
    looks: tuple[Look, ...] = ()
    skipped: str | None = None
    """Why there is nothing to say and nothing to look at; recorded beside the delivery."""


class Permission(Struct, frozen=True):
    """A question that has to be answered before a delivery can be translated: what may this person do here?"""

    repository: RepoRef
    login: str
