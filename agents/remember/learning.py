"""Learning after work: what was of use is said, and what is worth remembering is written."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from agents.guard import secrets
from agents.remember.lessons import LESSONS, TITLE_CHARACTERS, Learned
from agents.remember.recalling import Recalled
from agents.remember.saying import SAYING_SECONDS, Embed, say, vector_of
from bus import Bus
from schemas import IssueRef, MemoryEmbedded, MemoryUsed, MemoryWritten, one_line, printable

__all__ = ["holds_secret", "learn", "write"]

LESSON_CHARACTERS: Final = 2_000

log = logging.getLogger(__name__)


async def learn(
    bus: Bus,
    learned: Learned,
    found: Sequence[Recalled],
    *,
    scope: str,
    key: str,
    about: IssueRef | None = None,
    cause: str | None = None,
    tags: tuple[str, ...] = (),
    expires_at: datetime | None = None,
    embed: Embed | None = None,
) -> tuple[str, ...]:
    """Says what was of use and what is to be remembered in a scope; the names of that. Never raises for want of a bus.

    A lesson with the title of an earlier one takes its place, also of one beside it.
    """
    for number in learned.used:
        one = found[number - 1]
        await say(bus, one.scope, MemoryUsed(memory=one.memory), key, "used", one.scope, one.memory, cause=cause)
    by_title: dict[str, MemoryWritten] = {}
    for lesson in learned.lessons[:LESSONS]:
        title = one_line(lesson.title, TITLE_CHARACTERS)
        if not title.strip():
            continue
        if holds_secret(f"{lesson.title}\n{lesson.text}"):
            log.warning("%s is not remembered: it holds a credential", key)
            continue
        by_title[title] = MemoryWritten(
            memory=title,
            kind=lesson.kind,
            title=title,
            text=printable(lesson.text)[:LESSON_CHARACTERS],
            tags=tags,
            importance=lesson.importance,
            expires_at=expires_at,
            about=about,
        )
    return tuple(
        [
            title
            for title, written in by_title.items()
            if await write(bus, scope, written, key=key, cause=cause, embed=embed)
        ]
    )


def holds_secret(text: str) -> bool:
    """Whether a credential stands there, as far as one sees that."""
    lines = printable(text).split("\n")
    return bool(secrets.found("+++ b/text\n@@ -0,0 +1 @@\n" + "\n".join(f"+{line}" for line in lines)))


async def write(
    bus: Bus, scope: str, memory: MemoryWritten, *, key: str, cause: str | None = None, embed: Embed | None = None
) -> bool:
    """Says one memory, and where it lies, if that can be known; whether it is stored."""
    if not await say(bus, scope, memory, key, "written", scope, memory.memory, cause=cause):
        return False
    vector = await vector_of(embed, f"{memory.title}\n{memory.text}", SAYING_SECONDS)
    if vector is not None:
        embedded = MemoryEmbedded(
            memory=memory.memory, model=vector.model, dimensions=vector.dimensions, vector=vector.vectors[0]
        )
        await say(bus, scope, embedded, key, "embedded", scope, memory.memory, cause=cause)
    return True
