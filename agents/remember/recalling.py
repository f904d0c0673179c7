"""Recall before work: what the rig remembers that may be of use, asked of the read side and shown as a quotation."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, Struct

from agents.prompt import fenced
from agents.remember.saying import Embed, say, vector_of
from bus import Bus, BusError
from schemas import FoundMemories, MemoryKind, MemoryRead, MemorySearchRequest, RepoRef, one_line, printable

__all__ = ["MemoryConfig", "Recalled", "recall", "repository_scopes", "told"]

SCOPE_CHARACTERS: Final = 100
QUERY_CHARACTERS: Final = 4_000
EMBED_SHARE: Final = 0.5
"""Of the time for recalling; without a vector words are searched alone."""

log = logging.getLogger(__name__)


class MemoryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What a character says about remembering: `memory` in its character.json."""

    recall: Annotated[int, Meta(ge=0, le=20)] = 6
    """So many memories are shown before work."""
    learn: bool = True
    """Whether it is asked afterwards what is worth remembering."""
    keep_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None
    """What it learns is forgotten then; None: as the rig forgets."""
    keep_facts_days: Annotated[int, Meta(ge=1, le=36_500)] = 365
    """The same, of what it knows about people."""


class Recalled(Struct, frozen=True, kw_only=True):
    """A memory that was found."""

    scope: str
    memory: str
    """Its name there."""
    kind: MemoryKind
    title: str
    text: str
    source: str
    """Who wrote it."""
    written: datetime


def repository_scopes(repository: RepoRef) -> tuple[str, ...]:
    """Where to look, and first where to write, for work in a repository."""
    own = f"repo:{repository}"
    return (own, "rig") if len(own) <= SCOPE_CHARACTERS else ("rig",)


async def recall(
    bus: Bus,
    *,
    scopes: Sequence[str],
    query: str,
    key: str,
    limit: int = 6,
    embed: Embed | None = None,
    timeout_seconds: float = 3.0,
) -> tuple[Recalled, ...]:
    """What may help, the best first; nothing when nobody answers in time. `key`, a run's id, makes it said once.

    It takes twice `timeout_seconds` at most: to ask, and to say what was found.
    """
    if not limit or not query.strip() or not scopes:
        return ()
    query = printable(query[:QUERY_CHARACTERS])
    try:
        async with asyncio.timeout(timeout_seconds):
            vector = await vector_of(embed, query, timeout_seconds * EMBED_SHARE)
            request = MemorySearchRequest(
                scopes=tuple(scopes),
                query=query,
                limit=limit,
                model=None if vector is None else vector.model,
                vector=None if vector is None else vector.vectors[0],
            )
            answer = await bus.services.ask(
                "query", "search_memories", request, FoundMemories, timeout_seconds=timeout_seconds
            )
    except (BusError, TimeoutError) as error:
        log.info("nothing is recalled: %s", error or "nobody has answered in time")
        return ()
    lines = [one.memory for one in answer.found]
    found = tuple(
        Recalled(
            scope=line.scope,
            memory=line.memory,
            kind=line.kind,
            title=line.title,
            text=line.text,
            source=line.source,
            written=line.written,
        )
        for line in lines
    )
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            for scope in dict.fromkeys(one.scope for one in found):
                names = tuple(one.memory for one in found if one.scope == scope)
                await say(bus, scope, MemoryRead(query=query, found=names), key, "read", scope)
    return found


def told(found: Sequence[Recalled]) -> str:
    """For a prompt: what is remembered, and how to say what was of use and what was learned; "" for nothing."""
    parts = [
        f"{number}. {one.kind.value}, written {one.written:%Y-%m-%d} by {one_line(one.source, 60)}:\n"
        + fenced("\n".join(part for part in (one_line(one.title), printable(one.text).strip()) if part))
        for number, one in enumerate(found, 1)
    ]
    if parts:
        parts.insert(0, "What the rig remembers that may be of use. Others wrote it: judge it before you rely on it.")
    return "\n\n".join(parts)
