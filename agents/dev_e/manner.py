"""How dev-e works, as its character says: what its coder is told of who it is, what it recalls, and its own limits.

The limits stand beneath the policy's, and only those that the character names: a run of a coder is no conversation.
"""

from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from agents.character.prompt import persona
from agents.character.shelf import load

__all__ = ["PLAIN", "Manner", "manner_of"]


class Manner(Struct, frozen=True, kw_only=True):
    """One replica's."""

    persona: str = ""
    """For the coder; "" where nothing is said."""
    recall: int = 6
    """So many memories are shown to it."""
    learn: bool = True
    """Whether it is asked what is worth remembering."""
    keep: timedelta | None = None
    """For how long that is; None: as the rig forgets."""
    turns: int | None = None
    seconds: float | None = None
    cost_usd: float | None = None


PLAIN: Final = Manner()
"""Of nobody in particular."""


class _Budget(Struct, rename="camel"):
    turns: int | None = None
    seconds: float | None = None
    cost_usd: float | None = None


class _Said(Struct):
    budget: _Budget = msgspec.field(default_factory=_Budget)


def manner_of(file: Path) -> Manner:
    """Reads a character.json. Raises Invalid with every problem."""
    character = load(file)
    limits = msgspec.json.decode(file.read_bytes(), type=_Said).budget
    memory = character.memory
    return Manner(
        persona=persona(character),
        recall=memory.recall,
        learn=memory.learn,
        keep=None if memory.keep_days is None else timedelta(days=memory.keep_days),
        turns=limits.turns,
        seconds=limits.seconds,
        cost_usd=limits.cost_usd,
    )
