"""A character: who an agent is, what it may use and what wakes it. Pure.

Each part is typed where it is at home: models in llm, tools in tools, waking in life. What it does in `character.json`
the descriptions here say; they are the JSON Schema's, too.
"""

from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct, field

from agents.life.schedule import Schedule
from agents.life.triggers import Messaging, Trigger
from agents.life.webhooks import Webhook
from agents.llm.config import LlmConfig
from agents.loop.limits import Limits
from agents.remember import MemoryConfig
from agents.tools.config import Egress, HttpTool, McpServer, OwnTool, ToolName
from schemas.fields import Line

__all__ = ["Character", "CharacterName", "Example", "Permissions"]

_NAME: Final = r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?"
CharacterName: TypeAlias = Annotated[
    str, Meta(pattern=rf"\A{_NAME}\Z", description="a name: 1 to 40 small letters, digits and dashes")
]
Words: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4_000, description="1 to 4000 characters")]


class Example(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How it talks, shown."""

    said: Words
    answer: Words


class Permissions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it may besides talking."""

    egress: Egress = Egress()
    """Where its tools may reach; nowhere, where nothing is named."""


class Character(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """An agent of the rig: who it is, what it may use, what wakes it."""

    schema: Annotated[str, Meta(max_length=500)] | None = field(name="$schema", default=None)
    """For editors: where this JSON Schema is."""
    name: CharacterName
    """Its own in the rig, and that of its directory."""
    bio: tuple[Words, ...] = ()
    """What it is for, in a few sentences."""
    personality: tuple[Words, ...] = ()
    """How it is."""
    lore: tuple[Words, ...] = ()
    """What it knows of where it works."""
    style: tuple[Words, ...] = ()
    """How it writes."""
    message_examples: tuple[Example, ...] = ()
    """How it has answered."""
    tools: tuple[OwnTool | HttpTool, ...] = ()
    """The rig's own by name, and requests over HTTP."""
    mcp_servers: dict[ToolName, McpServer] = field(default_factory=dict[ToolName, McpServer])
    """Servers of tools, by a name of yours."""
    messaging: Messaging = Messaging()
    """Which messages of people it answers."""
    memory: MemoryConfig = MemoryConfig()
    """What it recalls before work, and whether it learns after it."""
    llm: LlmConfig = field(default_factory=LlmConfig)
    """Its models."""
    cron: tuple[Schedule, ...] = ()
    """When it wakes by the clock."""
    triggers: tuple[Trigger, ...] = ()
    """Events that wake it."""
    webhooks: tuple[Webhook, ...] = ()
    """What other systems may wake it by."""
    permissions: Permissions = Permissions()
    """What it may besides talking."""
    budget: Limits = Limits()
    """What it may use from waking to resting."""
    zone: Line = "UTC"
    """The time zone in which it is told what time it is, like Europe/Berlin."""

    @property
    def wakes(self) -> tuple[str, ...]:
        """What wakes it, in words."""
        return (
            *(f"{each.name} at {each.cron} ({each.zone})" for each in self.cron),
            *(f"on {each.event}" for each in self.triggers),
            *(f"by webhook {each.name}" for each in self.webhooks),
            *(f"when named in {each}" for each in self.messaging.conversations),
        )
