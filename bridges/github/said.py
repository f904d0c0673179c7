"""What a translation comes to: events to say, places to look at, or the reason why there is nothing in it."""

from datetime import datetime
from typing import TypeAlias

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
    """An issue, whose pull request's checks may have ended or which may have been closed by its merge: ask for the
    issue, then for its pull request, tell of the pull request first (`of_pull_request`) and then of the issue
    (`of_issue`). Or a repository whose base branch moved."""


class Seen(Struct, frozen=True):
    """How new a thing was when it was looked at, also where that led to no event: what is older changes nothing."""

    about: IssueRef
    """A pull request or a milestone goes under its own number."""
    what: str
    at: datetime
    digest: str = ""
    """Of the delivery that told so: it may come again, and others may bear the same second."""


class Translation(Struct, frozen=True):
    """Of one delivery."""

    said: tuple[Said, ...] = ()
    looks: tuple[Look, ...] = ()
    skipped: str | None = None
    """Why there is nothing to say and nothing to look at, or not all that was asked for; recorded beside the
    delivery."""
    seen: tuple[Seen, ...] = ()
    """For `Heard.see`, once all this is said; recorded beside the delivery, so that a restart knows it, too."""


# ── what has to be known before a delivery can be translated ─────────────────


class Permission(Struct, frozen=True):
    """What may this person do here? The answer is one word: admin, maintain, write, triage, read or none."""

    repository: RepoRef
    login: str


class BlockedBy(Struct, frozen=True):
    """Which issues block this one, by GitHub's own links? The answer names them: `acme/web#7`."""

    issue: IssueRef


class ReviewComments(Struct, frozen=True):
    """What does a review say of single lines? The answer is a text for each comment, with its file and line."""

    repository: RepoRef
    pull_request: int
    review: int


Question: TypeAlias = Permission | BlockedBy | ReviewComments
Answer: TypeAlias = str | tuple[str, ...]
