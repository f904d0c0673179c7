"""What one conversation may use, and what it has used so far. Pure."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from agents.llm.messages import NO_TOKENS, ModelError, Reply, Tokens

__all__ = ["Limit", "Limits", "Spent"]


class Limit(StrEnum):
    """What was used up."""

    TURNS = "turns"
    TIME = "time"
    TOKENS = "tokens"
    MONEY = "money"
    TOOL_OUTPUT = "tool_output"
    REPETITION = "repetition"
    """It did the same again and again."""


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Of everything from what was said to the answer, but for the last turn, which says that one was reached."""

    turns: Annotated[int, Meta(ge=1, le=1_000)] = 20
    """Replies of the model."""
    seconds: Annotated[float, Meta(gt=0, le=86_400)] = 600.0
    tokens: Annotated[int, Meta(ge=1)] = 1_000_000
    """That the model has read and written, also from its cache, summaries with them."""
    cost_usd: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    """Of what a price is known for; None: whatever the rig grants."""
    history_tokens: Annotated[int, Meta(ge=1_000)] = 60_000
    """More of a conversation is not shown to the model: what came before is summed up."""
    tool_seconds: Annotated[float, Meta(gt=0, le=3_600)] = 300.0
    """One call; what waits for a person takes that long, too."""
    tool_characters: Annotated[int, Meta(ge=200)] = 20_000
    """Of one answer of a tool; its middle is left out."""
    all_tool_characters: Annotated[int, Meta(ge=200)] = 400_000
    """Of all answers, as the model sees them."""
    calls_at_once: Annotated[int, Meta(ge=1, le=64)] = 8
    """Of safe tools."""
    calls_of_a_turn: Annotated[int, Meta(ge=1, le=256)] = 32
    """What is asked for beyond them is refused."""


class Spent:
    """Counts."""

    def __init__(self) -> None:
        self.turns = 0
        self.tokens: Tokens = NO_TOKENS
        self.known_usd = 0.0
        self.cost_known = True
        self.tool_characters = 0

    @property
    def cost_usd(self) -> float | None:
        """None: the price of something is not known."""
        return self.known_usd if self.cost_known else None

    def replied(self, reply: Reply | ModelError) -> None:
        """A model has answered, or none has, whatever it was asked for."""
        self.tokens += reply.tokens
        if reply.cost_usd is None:
            self.cost_known = False
        else:
            self.known_usd += reply.cost_usd

    def reached(self, limits: Limits) -> Limit | None:
        """Which limit is reached; time is watched elsewhere."""
        tokens = self.tokens
        if limits.cost_usd is not None and self.known_usd >= limits.cost_usd:
            return Limit.MONEY
        if tokens.input + tokens.output + tokens.cache_read + tokens.cache_write >= limits.tokens:
            return Limit.TOKENS
        if self.tool_characters >= limits.all_tool_characters:
            return Limit.TOOL_OUTPUT
        return Limit.TURNS if self.turns >= limits.turns else None
