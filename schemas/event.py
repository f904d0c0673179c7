"""The base of every event: what a class says about itself, and nothing about any one event.

An event is one class in one file. Its noun comes from the base it extends, its name from the class
(`WorkPushed` → work_pushed; the noun is dropped where it leads, `IssueApproved` → approved), its wire type from
both and the version: `rig.issue.approved.v1`. Unknown fields are tolerated when read; fields are added with a
default, and anything else is a new version, with an upcaster for the old one (upcast.py).
"""

import re
from typing import ClassVar

from msgspec import Struct


class Event(Struct, frozen=True, kw_only=True, gc=False):  # made by the thousand, in no cycle
    """A fact or a decision. Subclass one of the noun bases below, not this."""

    noun: ClassVar[str]
    prefix: ClassVar[str]
    schema_version: ClassVar[int] = 1

    @classmethod
    def name(cls) -> str:
        """The event's name in its subject: snake_case, without the leading noun."""
        return snake_case(cls.__name__.removeprefix(cls.prefix))

    @classmethod
    def wire_type(cls) -> str:
        """The CloudEvents type, `rig.<noun>.<event>.v<n>`."""
        return f"rig.{cls.noun}.{cls.name()}.v{cls.schema_version}"


class IssueEvent(Event, frozen=True, kw_only=True):
    """Said about one issue."""

    noun: ClassVar[str] = "issue"
    prefix: ClassVar[str] = "Issue"


class RepoEvent(Event, frozen=True, kw_only=True):
    """Said about one repository."""

    noun: ClassVar[str] = "repo"
    prefix: ClassVar[str] = "Repository"


class AgentEvent(Event, frozen=True, kw_only=True):
    """Said about one agent replica."""

    noun: ClassVar[str] = "agent"
    prefix: ClassVar[str] = "Agent"


class ChatEvent(Event, frozen=True, kw_only=True):
    """Said in, or about, one conversation of a chat platform."""

    noun: ClassVar[str] = "chat"
    prefix: ClassVar[str] = "Chat"


class MemoryEvent(Event, frozen=True, kw_only=True):
    """Said about what the rig remembers in one scope."""

    noun: ClassVar[str] = "memory"
    prefix: ClassVar[str] = "Memory"


class FleetEvent(Event, frozen=True, kw_only=True):
    """Said about the rig as a whole."""

    noun: ClassVar[str] = "fleet"
    prefix: ClassVar[str] = "Fleet"


def snake_case(name: str) -> str:
    """`PullRequestOpened` → pull_request_opened."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
