"""The money for calls of models: asked for before each, told after it.

What a call may cost is an estimate; what it has cost, the log says.
"""

from typing import Protocol

from msgspec import Struct

from agents.llm.messages import NO_TOKENS, TaskKind, Tokens

__all__ = ["Purse", "Spent"]


class Spent(Struct, frozen=True, kw_only=True):
    """What one call of a model has used."""

    call: str
    """Its id: [A-Za-z0-9-]."""
    purpose: TaskKind
    name: str
    """Of the model, with its provider."""
    tokens: Tokens = NO_TOKENS
    cost_usd: float | None = None
    """None: nobody knows."""
    assumed_usd: float | None = None
    """Then: what it counts for."""


class Purse(Protocol):
    """Whose money it is."""

    async def allow(self, call: str, amount_usd: float) -> str | None:
        """Asks for it: why it may not be spent, or None. Then either `spent` or `not_spent` follows.

        0: it costs nothing.
        """
        ...

    def spent(self, spent: Spent) -> None:
        """That call has cost something, or may have; the next `tell` says so."""
        ...

    def not_spent(self, call: str) -> None:
        """It cost nothing: no model has worked."""
        ...

    async def tell(self) -> None:
        """Says what is not said yet, as far as that goes just now. Raises nothing."""
        ...
