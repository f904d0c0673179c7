"""Memory as tools: looked for, listed, written, forgotten, in the scopes that this conversation has.

Which scopes those are is the runtime's word: a model names them by a label (`rig`, `person`), so that it cannot write
what it was told by one person into what is known of another. What is written says by whose word, and when it expires.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
from msgspec import Struct

from agents.llm.messages import ToolSpec
from agents.remember import Embed, write
from agents.remember.learning import holds_secret
from agents.tools.config import OwnTool
from agents.tools.tool import Arguments, ToolResult
from bus import Bus, BusError
from schemas import (
    Draft,
    FoundMemories,
    Memories,
    MemoriesRequest,
    MemoryForgotten,
    MemoryKind,
    MemoryRef,
    MemorySearchRequest,
    MemoryWritten,
    event_id,
    one_line,
    printable,
)

__all__ = ["Forget", "Remember", "Scopes", "SearchMemory"]

_TEXT: dict[str, object] = {"type": "string", "minLength": 1, "maxLength": 2_000}
_LINE: dict[str, object] = {"type": "string", "minLength": 1, "maxLength": 200}


class Scopes(Struct, frozen=True, kw_only=True):
    """Where this conversation may look and write, and by whose word."""

    readable: Mapping[str, str]
    """Scope by label, like {"rig": "rig", "person": "user:discord:ann"}."""
    writable: tuple[str, ...] = ()
    """Labels among them."""
    key: str
    """The run's id."""
    agent: str
    said_by: str = ""
    """For people: who said what is written, and where, like "ann in discord:#rig"."""
    cause: str | None = None
    """Id of the event in which that was said."""
    keep: timedelta | None = None
    """How long what is written is kept; None: as the rig forgets."""
    keep_facts: timedelta | None = None
    """The same, of facts."""


class SearchMemory:
    """Looks for memories; a `Tool`."""

    safe = True
    risky = False

    def __init__(self, bus: Bus, scopes: Scopes) -> None:
        self._bus = bus
        self._scopes = scopes
        self.spec = _spec(
            OwnTool.SEARCH_MEMORY,
            "Looks for what the rig remembers, by words; without a query it lists, the newest first.",
            {"query": {"type": "string", "maxLength": 2_000}, "where": {"enum": sorted(scopes.readable)}},
        )

    async def call(self, arguments: Arguments) -> ToolResult:
        """What is found, in JSON."""
        label, query = arguments.get("where"), str(arguments.get("query", "")).strip()
        readable = self._scopes.readable
        scopes = tuple(readable.values()) if label is None else (readable[str(label)],)
        services = self._bus.services
        if query:
            request = MemorySearchRequest(scopes=scopes, query=query, limit=10)
            found = await services.ask("query", "search_memories", request, FoundMemories)
            lines = [one.memory for one in found.found]
        else:
            listed = await services.ask("query", "memories", MemoriesRequest(scopes=scopes, limit=20), Memories)
            lines = list(listed.memories)
        labels = {scope: name for name, scope in readable.items()}
        shown = [
            {
                "where": labels.get(line.scope, line.scope),
                "name": line.memory,
                "kind": line.kind,
                "title": line.title,
                "text": line.text,
                "by": line.source,
                "written": line.written,
                "expires": line.expires_at,
            }
            for line in lines
        ]
        return ToolResult(msgspec.json.encode(shown).decode() if shown else "nothing is remembered")


class Remember:
    """Writes a memory; a `Tool`."""

    safe = False
    risky = False

    def __init__(self, bus: Bus, scopes: Scopes, embed: Embed | None = None) -> None:
        self._bus = bus
        self._scopes = scopes
        self._embed = embed
        self._times: Counter[tuple[str, str, str]] = Counter()
        """How often it has written what."""
        self.spec = _spec(
            OwnTool.REMEMBER,
            "Remembers something that is worth knowing later; what has that title is replaced. Never a secret.",
            {
                "where": {"enum": sorted(scopes.writable)},
                "title": _LINE,
                "text": _TEXT,
                "kind": {"enum": [kind.value for kind in MemoryKind]},
            },
            required=("where", "title", "text"),
        )

    async def call(self, arguments: Arguments) -> ToolResult:
        """Says it to the log."""
        scopes, label = self._scopes, str(arguments["where"])
        if label not in scopes.writable:
            return ToolResult(f"nothing may be written in {one_line(label, 40)}", error=True)
        kind = MemoryKind(str(arguments.get("kind", MemoryKind.FACT)))
        title, text = one_line(str(arguments["title"]), 120), printable(str(arguments["text"]))
        if holds_secret(f"{title}\n{text}"):
            return ToolResult("that holds a credential; secrets are not remembered", error=True)
        now = datetime.now(UTC)
        keep = scopes.keep_facts if kind is MemoryKind.FACT else scopes.keep
        said_by = f"\n(By {one_line(scopes.said_by)}, {now:%Y-%m-%d}.)" if scopes.said_by else ""
        memory = MemoryWritten(
            memory=title,
            kind=kind,
            title=title,
            text=text + said_by,
            expires_at=None if keep is None else now + keep,
        )
        scope = scopes.readable[label]
        # Within one run the same may be written, forgotten and written again: each is another word.
        what = sha256(text.encode()).hexdigest()[:12]
        self._times[scope, title, what] += 1
        key = f"{scopes.key}:{what}:{self._times[scope, title, what]}"
        if not await write(self._bus, scope, memory, key=key, cause=scopes.cause, embed=self._embed):
            return ToolResult("it could not be stored", error=True)
        until = "" if memory.expires_at is None else f" until {memory.expires_at:%Y-%m-%d}"
        return ToolResult(f"remembered as {title!r}{until}")


class Forget:
    """Forgets a memory; a `Tool`."""

    safe = False
    risky = False

    def __init__(self, bus: Bus, scopes: Scopes) -> None:
        self._bus = bus
        self._scopes = scopes
        self._times: Counter[tuple[str, str]] = Counter()
        """How often it has forgotten what."""
        self.spec = _spec(
            OwnTool.FORGET,
            "Forgets a memory, by the name that search_memory tells.",
            {"where": {"enum": sorted(scopes.writable)}, "name": {"type": "string", "minLength": 1, "maxLength": 300}},
            required=("where", "name"),
        )

    async def call(self, arguments: Arguments) -> ToolResult:
        """Says it to the log; forgetting what is not there does no harm."""
        scopes, label = self._scopes, str(arguments["where"])
        if label not in scopes.writable:
            return ToolResult(f"nothing may be forgotten in {one_line(label, 40)}", error=True)
        name, scope = one_line(str(arguments["name"]), 300), scopes.readable[label]
        event = MemoryForgotten(memory=name, by=scopes.agent)
        draft = Draft(about=MemoryRef(scope), data=event, cause=scopes.cause)
        self._times[scope, name] += 1
        key = f"{scopes.key}:{self._times[scope, name]}"
        try:
            await self._bus.log.publish(draft, event_id(self._bus.log.actor, "memory", key, "forgotten", scope, name))
        except BusError as error:
            return ToolResult(f"it could not be said: {error}", error=True)
        return ToolResult(f"forgotten: {name!r}, if it was there")


def _spec(
    name: OwnTool, description: str, properties: Mapping[str, object], required: tuple[str, ...] = ()
) -> ToolSpec:
    parameters: dict[str, object] = {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }
    return ToolSpec(name.value, description, parameters)
