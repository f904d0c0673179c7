"""Memories for people: what was typed of them, what stands of them in the log, and how they are shown. Pure."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct, structs

from bridges.terminal import show
from bridges.terminal.errors import BadInput
from bridges.terminal.spoken import Spoken
from schemas import (
    BadReference,
    FoundMemories,
    FoundMemory,
    Memories,
    MemoriesCompacted,
    MemoryForgotten,
    MemoryKind,
    MemoryLine,
    MemoryRef,
    MemoryWritten,
    Recorded,
    RepoRef,
    one_line,
    printable,
)

LONGEST: Final = timedelta(days=36_600)
SAME: Final = timedelta(minutes=1)
"""Two memories that expire so close together, and are equal otherwise, are one, said twice."""
TEXT_SHOWN: Final = 500
_FOR: Final = re.compile(r"(\d{1,6})([hdw])")
_UNITS: Final = {"h": 3_600, "d": 86_400, "w": 604_800}
_NAMED: Final = ("session", "user")


class Forgot(Struct, frozen=True, kw_only=True):
    """`rig memory forget --json`, `rig chat forget --json`."""

    forgotten: list[Spoken]


# ── typed ────────────────────────────────────────────────────────────────────


def scope(typed: str) -> MemoryRef:
    """`rig`, `acme/web` or `repo:acme/web`, `user:ann`, `session:…`. Raises BadInput."""
    kind, colon, name = typed.partition(":")
    if typed == "rig":
        return MemoryRef(typed)
    if kind in _NAMED and name.strip() and len(typed) <= 100 and name == printable(name) == one_line(name):
        return MemoryRef(typed)
    try:
        if kind == "repo" and colon:
            return MemoryRef(f"repo:{RepoRef.parse(name)}")
        if not colon:
            return MemoryRef(f"repo:{RepoRef.parse(typed)}")
    except BadReference:
        pass
    raise BadInput(
        f"{one_line(typed, 60)!r} is no scope: write rig, a repository (acme/web), user:NAME or session:NAME"
    )


def repository(ref: MemoryRef) -> RepoRef | None:
    """Of a scope that is one's."""
    kind, _, name = ref.scope.partition(":")
    return RepoRef.parse(name) if kind == "repo" else None


def kind(typed: str) -> MemoryKind:
    """Raises BadInput."""
    try:
        return MemoryKind(typed.lower())
    except ValueError:
        raise BadInput(f"--kind: {one_line(typed, 40)!r} is none of {', '.join(MemoryKind)}") from None


def lasts(typed: str) -> timedelta:
    """`12h`, `30d`, `8w`. Raises BadInput."""
    found = _FOR.fullmatch(typed)
    time = timedelta(seconds=int(found[1]) * _UNITS[found[2]]) if found else timedelta()
    if not timedelta() < time <= LONGEST:
        raise BadInput(f"--expires: {one_line(typed, 40)!r} is not how long, like 12h, 30d or 8w, up to a century")
    return time


def expiry(typed: str | None, now: datetime) -> datetime | None:
    """When what lasts as long as was typed expires; None: never. Raises BadInput."""
    return None if typed is None else now + lasts(typed)


# ── in the log ───────────────────────────────────────────────────────────────


def last_words(history: Iterable[Recorded]) -> dict[str, Recorded]:
    """By name, the last that was said of each memory in a scope's events: its writing, or how it ended."""
    found: dict[str, Recorded] = {}
    for said in history:
        match said.event.data:
            case MemoryWritten(memory=name):
                found[name] = said
            case MemoryForgotten(memory=name, as_it_stood=stood):
                if stood is None or _written_at(found, name) == stood.position:
                    found[name] = said
            case MemoriesCompacted(into=into, replaced=replaced, written=at):
                stands = _written_at(found, into)
                if stands is not None and (at is None or stands == at.get(into)):
                    gone = [name for name in replaced if at is None or _written_at(found, name) == at.get(name, 0)]
                    found.update({name: said for name in gone if name != into})
            case _:
                pass
    return found


def _written_at(found: dict[str, Recorded], name: str) -> int | None:
    """Where the memory was written that stands there; None: none does."""
    last = found.get(name)
    return last.position if last is not None and isinstance(last.event.data, MemoryWritten) else None


def may_stand(last: Recorded) -> bool:
    """Whether the memory that this was said of last may be there still.

    What retention says is void for one that was used meanwhile, which is not read here: to forget that again does no
    harm.
    """
    data = last.event.data
    return isinstance(data, MemoryWritten) or (isinstance(data, MemoryForgotten) and data.as_it_stood is not None)


def is_same(before: Recorded | None, data: MemoryWritten) -> bool:
    """Whether that stands there already."""
    if before is None or not isinstance(before.event.data, MemoryWritten):
        return False
    was = before.event.data
    if was.expires_at is not None and data.expires_at is not None and abs(was.expires_at - data.expires_at) < SAME:
        was = structs.replace(was, expires_at=data.expires_at)
    return was == data


# ── shown ────────────────────────────────────────────────────────────────────


def listed(answer: Memories) -> Iterator[str]:
    """`rig memory list`."""
    if not answer.memories:
        yield "no memories"
        return
    rows = [("SCOPE", "NAME", "KIND", "WRITTEN", "BY", "USED", "TITLE")]
    rows += [
        (
            one_line(line.scope, 60),
            one_line(line.memory, 60),
            line.kind.value,
            show.clock(line.written),
            one_line(line.source, 40),
            str(line.uses or "-"),
            _title(line),
        )
        for line in answer.memories
    ]
    yield from show.table(rows)
    if answer.next is not None:
        yield f"… and more: --after {answer.next}"


def found(answer: FoundMemories) -> Iterator[str]:
    """`rig memory search`."""
    if not answer.found:
        yield "nothing found"
        return
    for one in answer.found:
        yield from _block(one)
    if answer.next is not None:
        yield f"… and more: --after {answer.next}"


def _block(one: FoundMemory) -> Iterator[str]:
    line = one.memory
    yield f"{one.score:.2f}  {one_line(line.scope, 60)}  {line.kind}  {one_line(line.title)}"
    facts = [f"{one_line(line.memory, 100)!r} by {one_line(line.source, 60)}, {show.clock(line.written)}"]
    facts += [f"tags {', '.join(one_line(tag, 40) for tag in line.tags)}"] if line.tags else []
    facts += [f"about {line.about}"] if line.about is not None else []
    if line.last_used is not None:
        facts.append(f"used {line.uses} time{'s' if line.uses > 1 else ''}, last {show.clock(line.last_used)}")
    facts += [f"until {show.clock(line.expires_at)}"] if line.expires_at is not None else []
    yield f"      {'; '.join(facts)}"
    if text := one_line(line.text, TEXT_SHOWN):
        yield f"      {text}"


def _title(line: MemoryLine) -> str:
    until = f" (until {show.clock(line.expires_at)})" if line.expires_at is not None else ""
    return one_line(line.title, 80) + until
