"""What a tool is to the rest of the agents: a description that a model reads, and a call. Pure.

What a model asks for is untrusted, and so is what a tool answers; whoever calls (agents.loop) bounds both.
"""

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from msgspec import Struct

from agents.llm.messages import Reply, ToolSpec

__all__ = ["Arguments", "Tool", "ToolResult"]

Arguments: TypeAlias = Mapping[str, object]
"""Decoded from JSON, and as the tool's schema wants them."""


class ToolResult(Struct, frozen=True):
    """What a call came to. An error is an answer too: the model may do better next time."""

    text: str
    error: bool = False
    replies: tuple[Reply, ...] = ()
    """Of models that it asked: they count against the limits of the conversation."""


class Tool(Protocol):
    """Something that an agent can do besides talking."""

    @property
    def spec(self) -> ToolSpec:
        """As a model sees it. Its name is unique among the tools of a conversation."""
        ...

    @property
    def safe(self) -> bool:
        """Whether it changes nothing, so that it may run beside others, and again."""
        ...

    @property
    def risky(self) -> bool:
        """Whether a person must agree to each call."""
        ...

    async def call(self, arguments: Arguments) -> ToolResult:
        """Does it. What it raises is told to the model as an error. Cancelling it ends it at once."""
        ...
