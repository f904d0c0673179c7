"""How memories that say the same become one: those of one scope and kind whose title and text are equal. Pure.

Equal but for the case of plain words, white space and the punctuation around them, and no more: similar texts may hold
different facts, and to make one of them is for an agent, who understands them.
"""

import unicodedata
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from msgspec import Struct

from conductor.projector.memory import MemoryRow
from schemas import Draft, MemoriesCompacted, MemoryRef

QUOTES: Final = "\"'“”„‘’‚«»‹› "
STOPS: Final = ".,;:!…"
"""What may end a sentence and changes nothing; a question is another thing, and so are C# and .env."""
COMPACTED_MAX: Final = 100
"""Memories that become part of another by one event; the others are next."""


class Twin(Struct, frozen=True):
    """What is to be known of a memory to find others that say the same: much less than it holds."""

    says: bytes
    """Equal where two say the same."""
    memory: str
    position: int
    importance: int
    uses: int


def twin(row: MemoryRow) -> Twin:
    """A memory, for comparing it."""
    says = "\0".join((row.scope, row.kind, normal(row.title), normal(row.text)))
    return Twin(sha256(says.encode()).digest(), row.memory, row.position, row.importance, row.uses)


def normal(text: str) -> str:
    """A text without what makes no difference to what it says."""
    words = " ".join(map(_word, unicodedata.normalize("NFC", text).split()))
    return words.lstrip(QUOTES).rstrip(QUOTES + STOPS)


def _word(word: str) -> str:
    """Case tells -k from -K, $path from $PATH, and a.b from A.b: only what is all letters, and several, has none."""
    bare = word.strip(QUOTES + STOPS)
    return word.casefold() if len(bare) > 1 and bare.isalpha() else word


def compactions(scope: str, twins: Iterable[Twin]) -> list[Draft]:
    """What is to be said of the memories of one scope: each that others repeat takes these in.

    That is the most important, then the most used, then the newest of them. One that is written anew meanwhile stays
    as it is. Two who say this of the same memories say the same.
    """
    equal: dict[bytes, list[Twin]] = {}
    for one in twins:
        equal.setdefault(one.says, []).append(one)
    return [_compaction(scope, group) for group in equal.values() if len(group) > 1]


def _compaction(scope: str, group: list[Twin]) -> Draft:
    into, *others = sorted(group, key=lambda one: (-one.importance, -one.uses, -one.position))
    others = sorted(others, key=lambda one: one.position)[:COMPACTED_MAX]
    return Draft(
        about=MemoryRef(scope),
        data=MemoriesCompacted(
            into=into.memory,
            replaced=tuple(one.memory for one in others),
            written={one.memory: one.position for one in (into, *others)},
        ),
    )
