"""`rig memory search`, `add`, `list`, `forget`: what the rig remembers, asked of the read side and said to the log."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bridges.terminal import memories, names, reading, spoken
from bridges.terminal.errors import BadInput, Failed
from bridges.terminal.memories import Forgot
from bridges.terminal.output import say, say_json
from bridges.terminal.publish import read_text
from bridges.terminal.session import person, reported, run
from bridges.terminal.spoken import Spoken, wish
from bridges.terminal.views import Json
from schemas import (
    MEMORIES_MAX,
    FoundMemories,
    Invalid,
    Memories,
    MemoriesCompacted,
    MemoriesRequest,
    MemoryForgotten,
    MemoryKind,
    MemoryRef,
    MemorySearchRequest,
    MemoryWritten,
    Recorded,
    branch,
    build,
)

if TYPE_CHECKING:
    from bus import Bus

R = TypeVar("R", bound=MemoriesRequest)

Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", metavar="SCOPE", help="Only in: rig, a repository (acme/web), user:NAME, session:NAME."),
]
Kinds = Annotated[list[str] | None, typer.Option("--kind", help=f"Only of a kind: {', '.join(MemoryKind)}.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="Only with this tag, and every other that is given.")]
Importance = Annotated[int, typer.Option(min=1, max=5, help="At least as important.")]
After = Annotated[int, typer.Option(min=0, help="Go on behind an earlier answer.")]
Limit = Annotated[int, typer.Option(min=1, max=MEMORIES_MAX, help="At most so many.")]
Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="rig, a repository (acme/web), user:NAME or session:NAME.")]


def search(
    context: typer.Context,
    query: Annotated[list[str], typer.Argument(metavar="WORDS…", help="What to look for.")],
    *,
    scope: Scopes = None,
    kind: Kinds = None,
    tag: Tags = None,
    importance: Importance = 1,
    after: After = 0,
    limit: Limit = 10,
    json: Json = False,
) -> None:
    """Look for memories by their words, the best match first."""
    with reported():
        filters = _filters(scope, kind, tag)
        words = " ".join(query)
        _check_text("WORDS", words)
        request = _request(MemorySearchRequest, query=words, **filters, importance=importance, after=after, limit=limit)
        answer = run(context, lambda bus: bus.services.ask("query", "search_memories", request, FoundMemories))
        say_json(answer) if json else say(memories.found(answer))


def list_(
    context: typer.Context,
    *,
    scope: Scopes = None,
    kind: Kinds = None,
    tag: Tags = None,
    importance: Importance = 1,
    after: After = 0,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """The memories, those written last first, each with who wrote it."""
    with reported():
        filters = _filters(scope, kind, tag)
        request = _request(MemoriesRequest, **filters, importance=importance, after=after, limit=limit)
        answer = run(context, lambda bus: bus.services.ask("query", "memories", request, Memories))
        say_json(answer) if json else say(memories.listed(answer))


def add(
    context: typer.Context,
    scope: Scope,
    *,
    kind: Annotated[str, typer.Option(help=f"{', '.join(MemoryKind)}.")],
    title: Annotated[str, typer.Option(help="One line.")],
    text: Annotated[str, typer.Option(help="All of it; - reads it from standard input.")] = "",
    name: Annotated[
        str | None,
        typer.Option(help="Its name in its scope, the title unless given; what has that name is replaced."),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Something to find it by.")] = None,
    importance: Annotated[int, typer.Option(min=1, max=5, help="5 is never forgotten for its age.")] = 3,
    expires: Annotated[str | None, typer.Option(metavar="TIME", help="Forget it then: 12h, 30d, 8w.")] = None,
    about: Annotated[str | None, typer.Option(metavar="REPO#N", help="The issue that it comes from.")] = None,
    json: Json = False,
) -> None:
    """Remember something, or replace what is remembered under that name."""
    with reported():
        ref = memories.scope(scope)
        values: dict[str, object] = {
            "memory": title if name is None else name,
            "kind": kind,
            "title": title,
            "text": read_text("--text", "-") if text == "-" else text,
            "tags": tuple(dict.fromkeys(tag or ())),
            "importance": importance,
            "expires_at": memories.expiry(expires, datetime.now(UTC)),
        }
        wish(MemoryWritten, **values)
        if about is not None:
            names.check_issue(about)

        async def adding(bus: "Bus") -> Spoken:
            if (place := memories.repository(ref)) is not None:
                await names.check_under_the_rig(bus, place)
            issue = None if about is None else await names.issue(bus, about)
            data = wish(MemoryWritten, **values, about=issue)
            said = memories.last_words(await _history(bus, ref)).get(data.memory)
            if said is not None and memories.is_same(said, data):
                return spoken.before(said)
            return await spoken.say(bus, ref, data, "" if said is None else said.event.id)

        said = run(context, adding)
        say_json(said) if json else say([str(said)])


def forget(
    context: typer.Context,
    scope: Scope,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="As `rig memory list` shows it.")] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Everything in that scope.")] = False,
    json: Json = False,
) -> None:
    """Forget a memory, or all of a scope: it is not found any more. The log still holds what was said."""
    with reported():
        ref = memories.scope(scope)
        if (name is None) == (not all_):
            raise BadInput("forget what? give NAME, or --all for everything in that scope")
        wish(MemoryForgotten, memory="-" if name is None else name, by=person())
        forgotten = run(context, lambda bus: _forget(bus, ref, name))
        if json:
            say_json(Forgot(forgotten=forgotten))
        else:
            say(map(str, forgotten) if forgotten else [f"nothing is remembered in {ref}"])


async def _forget(bus: "Bus", ref: MemoryRef, name: str | None) -> list[Spoken]:
    said = memories.last_words(await _history(bus, ref))
    if name is not None and name not in said:
        raise Failed(f"there is no memory {name!r} in {ref}; `rig memory list --scope {ref}` lists those there are")
    if name is not None and not memories.may_stand(said[name]):
        return [spoken.before(said[name])]
    names_ = [known for known, last in said.items() if memories.may_stand(last)] if name is None else [name]
    return [
        await spoken.say(bus, ref, wish(MemoryForgotten, memory=one, by=person()), said[one].event.id, cause=said[one])
        for one in names_
    ]


async def _history(bus: "Bus", ref: MemoryRef) -> list[Recorded]:
    """What was written and how it ended; embeddings and searches are not read."""
    kinds = (MemoryWritten, MemoryForgotten, MemoriesCompacted)
    return list(await bus.log.history([f"{branch(ref)}.*.{kind.name()}" for kind in kinds]))


def _filters(scope: list[str] | None, kind: list[str] | None, tag: list[str] | None) -> dict[str, object]:
    """As a request has them. Raises BadInput."""
    _check_text("--tag", " ".join(tag or ()))
    return {
        "scopes": tuple(memories.scope(one).scope for one in scope or ()),
        "kinds": tuple(memories.kind(one) for one in kind or ()),
        "tags": tuple(tag or ()),
    }


def _request(kind: type[R], **values: object) -> R:
    """Raises BadInput with everything that is wrong."""
    try:
        return build(kind, values)
    except Invalid as error:
        raise BadInput.of("memory", error.problems) from None


def _check_text(what: str, typed: str) -> None:
    """Raises BadInput for bytes that are no text."""
    if problems := reading.unspeakable({what: typed}):
        raise BadInput.of("memory", problems)
