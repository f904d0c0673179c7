"""What a comparison of two policies on one log found. For programs as it is; in words: deploy/whatif.py."""

from datetime import datetime

from msgspec import Struct, field


class Word(Struct, frozen=True):
    """One decision: the name of its event, and in words."""

    kind: str
    text: str


class Difference(Struct, kw_only=True):
    """Where the comparison of one thing ends."""

    position: int
    """Of the round's Decided, or of the event before which a deadline would have passed."""
    time: datetime
    about: str
    recorded: tuple[Word, ...] = ()
    would: tuple[Word, ...] = ()
    rests_on: str | None = None
    """The issue that had to be done first, and whose own comparison had ended; None: it is a difference of its own."""
    left_out: int = 0
    """Recorded decisions about it that were not compared."""


class Count(Struct):
    """Decisions of one kind, among those that were compared."""

    recorded: int = 0
    would: int = 0


class Length(Struct):
    """Deadlines of one kind that would have been of another length."""

    position: int
    """Of the first."""
    recorded_seconds: float
    would_seconds: float
    count: int = 0


class WhatIf(Struct, kw_only=True):
    """What came out."""

    policy: str
    """The hash of the wanted policy."""
    rounds: int = 0
    """Rounds compared."""
    other_rules: int = 0
    """Rounds of other rules, which are not compared."""
    not_reproduced: list[int] = field(default_factory=list[int])
    """Positions of rounds that do not come out again under their own policy, and are not compared."""
    same_before: int | None = None
    """Position of the first difference; None: there is none."""
    decisions: dict[str, Count] = field(default_factory=dict[str, Count])
    """By the name of the event: what was compared."""
    lengths: dict[str, Length] = field(default_factory=dict[str, Length])
    """By the kind of deadline."""
    differences: list[Difference] = field(default_factory=list[Difference])
    """In the order of the log."""
    resting: list[Difference] = field(default_factory=list[Difference])
    """What is left out because it rests on one of the differences."""
    left_out: int = 0
    """Recorded decisions that were not compared: what led to them might not have been, or the round was too full."""
