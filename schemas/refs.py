"""What an event can be about: an issue, a repository, an agent, a conversation, a memory, or the fleet as a whole.

References are values: they compare, sort and hash by their parts. Text forms (`acme/web#42`) are for people;
on the wire a reference is an object, in a subject it is escaped tokens (see subjects.py).
"""

import re
from typing import Annotated, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from schemas.errors import BadReference

NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
Name: TypeAlias = Annotated[
    str, Meta(pattern=rf"\A{NAME.pattern}\Z", description="a name: 1 to 100 letters, digits, . _ -")
]
"""An owner, a repository, an agent: letters, digits, dot, dash and underscore, as GitHub allows."""

_REPO = re.compile(r"([^/#\s]+)/([^/#\s]+)")
_ISSUE = re.compile(r"([^/#\s]+)/([^/#\s]+)#([0-9]{1,9})")


class RepoRef(Struct, frozen=True, order=True):
    """A repository under the rig, `owner/repo`."""

    owner: Name
    repo: Name

    def __str__(self) -> str:
        return f"{self.owner}/{self.repo}"

    @classmethod
    def parse(cls, text: str) -> "RepoRef":
        """`acme/web` → RepoRef. Raises BadReference, naming the text."""
        found = _REPO.fullmatch(text)
        if found is None:
            raise BadReference(f"{text!r} is not a repository: write OWNER/REPO, like acme/web")
        return _checked(cls(found[1], found[2]), text)


class IssueRef(Struct, frozen=True, order=True):
    """One issue, `owner/repo#number`."""

    owner: Name
    repo: Name
    number: Annotated[int, Meta(ge=1)]

    def __str__(self) -> str:
        return f"{self.owner}/{self.repo}#{self.number}"

    @property
    def repository(self) -> RepoRef:
        return RepoRef(self.owner, self.repo)

    @classmethod
    def parse(cls, text: str) -> "IssueRef":
        """`acme/web#42` → IssueRef. Raises BadReference, naming the text."""
        found = _ISSUE.fullmatch(text)
        if found is None:
            raise BadReference(f"{text!r} is not an issue: write OWNER/REPO#NUMBER, like acme/web#42")
        return _checked(cls(found[1], found[2], int(found[3])), text)


class AgentRef(Struct, frozen=True, order=True):
    """One replica of an agent, by its stable name (`dev-e-1`)."""

    agent: Name

    def __str__(self) -> str:
        return self.agent


class ChatRef(Struct, frozen=True, order=True):
    """One conversation (a channel, a direct message) of a chat platform."""

    platform: Name
    conversation: Annotated[str, Meta(min_length=1, max_length=100)]

    def __str__(self) -> str:
        return f"{self.platform}:{self.conversation}"


class MemoryRef(Struct, frozen=True, order=True):
    """One scope of the rig's memory: `rig`, `repo:acme/web`, `session:…`, `user:…`."""

    scope: Annotated[str, Meta(min_length=1, max_length=100)]

    def __str__(self) -> str:
        return self.scope


class FleetRef(Struct, frozen=True, order=True):
    """The rig as a whole."""

    def __str__(self) -> str:
        return "fleet"


FLEET = FleetRef()

Ref: TypeAlias = IssueRef | RepoRef | AgentRef | ChatRef | MemoryRef | FleetRef
_T = TypeVar("_T", RepoRef, IssueRef)


def _checked(ref: _T, text: str) -> _T:
    try:
        return msgspec.convert(msgspec.to_builtins(ref), type(ref))
    except msgspec.ValidationError as error:
        raise BadReference(f"{text!r} is not a valid name: {error}") from None
