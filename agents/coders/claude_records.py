"""What `claude --print --output-format stream-json --verbose` says of itself, a JSON object a line. Pure.

Read are: how it ended (`result`), the class of a failed call to its model (`error` of an assistant's message, which the
CLI writes there and no model can), its quota (`rate_limit_event`), and what it did, for whoever watches. A line that
is no such record is counted and passed over. Source: the CLI's own output, version 2.1.
"""

from datetime import UTC, datetime

import msgspec
from msgspec import Raw, Struct, field

from agents.coders.driver import Blocked, Quota, Usage
from agents.coders.lines import record
from agents.coders.program import CountedOut
from agents.coders.usage import Told, usage_said
from agents.guard.repetition import Repetition

SHOWN_CHARACTERS = 2_000
"""Of each thing shown to whoever watches."""
BLOCKED_MOST = 50
WRITERS = frozenset({"Edit", "MultiEdit", "NotebookEdit", "Write"})


class _Head(Struct, frozen=True):
    type: str
    subtype: str = ""
    parent_tool_use_id: str | None = None


class _Init(Struct, frozen=True):
    session_id: str
    model: str = ""
    claude_code_version: str = ""


class _Retry(Struct, frozen=True):
    attempt: int
    max_retries: int
    error: str


class _Block(Struct, frozen=True):
    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")
    tool_use_id: str = ""
    content: Raw = Raw(b'""')
    is_error: bool | None = None


class _Tokens(Struct, frozen=True):
    input_tokens: Told = 0
    output_tokens: Told = 0
    cache_read_input_tokens: Told | None = 0
    cache_creation_input_tokens: Told | None = 0


class _Message(Struct, frozen=True):
    id: str = ""
    model: str = ""
    content: list[_Block] | str = ""
    usage: _Tokens = _Tokens()


class _Said(Struct, frozen=True):
    message: _Message
    error: str | None = None


class _Limit(Struct, frozen=True):
    status: str
    resets_at: float | None = field(default=None, name="resetsAt")
    kind: str = field(default="", name="rateLimitType")
    utilization: float | None = None


class _LimitEvent(Struct, frozen=True):
    rate_limit_info: _Limit


class _Denied(Struct, frozen=True):
    tool_name: str = ""
    tool_use_id: str = ""
    tool_input: Raw = Raw(b"{}")


class Ending(Struct, frozen=True):
    """The result record: the truth about how it ended, whatever the exit code says."""

    subtype: str
    is_error: bool
    session_id: str = ""
    num_turns: int | None = None
    result: str = ""
    api_error_status: int | None = None
    terminal_reason: str = ""
    errors: list[str] = field(default_factory=list[str])
    permission_denials: list[_Denied] = field(default_factory=list[_Denied])

    @property
    def good(self) -> bool:
        return self.subtype == "success" and not self.is_error

    @property
    def words(self) -> str:
        return self.result or "; ".join(self.errors) or self.subtype


class ClaudeRecords:
    """The state of one stream."""

    def __init__(self) -> None:
        self.ending: Ending | None = None
        self.session: str | None = None
        self.error: str | None = None
        """Class of the last call to its model, where that failed, as the CLI names it."""
        self.limit: datetime | None = None
        """Its quota is used up until then."""
        self.quota: Quota | None = None
        self.passed_over = 0
        """Lines that were no records."""
        self._last: bytes = b""
        self._model = ""
        self._spent: dict[str, _Tokens] = {}
        self._open: dict[str, str] = {}
        self._repetition = Repetition()
        self._writing: dict[str, str] = {}
        self.written: set[str] = set()
        """Files that it says it has written."""

    @property
    def over(self) -> bool:
        return self.ending is not None

    @property
    def blocked(self) -> tuple[Blocked, ...]:
        """What the CLI did not allow, by itself or because a hook of its said so."""
        denied = self.ending.permission_denials if self.ending else []
        return tuple(
            Blocked(_told(one.tool_name, one.tool_input), "not allowed", one.tool_use_id)
            for one in denied[:BLOCKED_MOST]
        )

    @property
    def usage(self) -> Usage:
        """By its own record; where that never came, what its messages add up to, at an unknown price."""
        if self.ending is not None:
            return usage_said(self._last)
        spent = self._spent.values()
        return Usage(
            model=self._model,
            input=sum(max(0, tokens.input_tokens) for tokens in spent),
            output=sum(max(0, tokens.output_tokens) for tokens in spent),
            cache_read=sum(max(0, tokens.cache_read_input_tokens or 0) for tokens in spent),
            cache_write=sum(max(0, tokens.cache_creation_input_tokens or 0) for tokens in spent),
        )

    def line(self, line: bytes) -> str:
        head = record(line, _Head)
        if head is None:
            self.passed_over += bool(line.strip())
            return line.decode("utf-8", "replace")[:SHOWN_CHARACTERS]
        match head.type:
            case "system" if head.subtype == "init" and (init := record(line, _Init)):
                self.session, self._model = init.session_id, init.model[:200]
                return f"claude {init.claude_code_version}, {init.model}"
            case "system" if head.subtype == "api_retry" and (again := record(line, _Retry)):
                self.error = again.error
                return f"[{again.error[:100]}: tries again, {again.attempt} of {again.max_retries}]"
            case "assistant" if said := record(line, _Said):
                return self._assistant(said)
            case "user" if said := record(line, _Said):
                return self._results(said)
            case "rate_limit_event" if event := record(line, _LimitEvent):
                self._limited(event.rate_limit_info)
            case "result" if ending := record(line, Ending):
                self.ending, self._last = ending, line
                self.session = ending.session_id or self.session
                return f"[{'finished' if ending.good else ending.words[:SHOWN_CHARACTERS]}]"
            case "assistant" | "user" | "result":
                self.passed_over += 1
            case _:  # there are many kinds, and more with every version
                pass
        return ""

    def _assistant(self, said: _Said) -> str:
        message = said.message
        self.error = said.error
        self._spent[message.id] = message.usage
        if isinstance(message.content, str):
            return message.content[:SHOWN_CHARACTERS]
        shown: list[str] = []
        for block in message.content:
            if block.type == "text":
                shown.append(block.text[:SHOWN_CHARACTERS])
            elif block.type == "tool_use":
                told = _told(block.name, block.input)
                self._open[block.id] = f"{block.name} {bytes(block.input).decode('utf-8', 'replace')}"
                shown.append(f"> {told}"[:SHOWN_CHARACTERS])
                if block.name in WRITERS and (path := _path(block.input)):
                    self._writing[block.id] = path
        return "\n".join(shown)

    def _results(self, said: _Said) -> str:
        content = said.message.content
        shown: list[str] = []
        for block in content if isinstance(content, list) else []:
            if block.type == "tool_result" and (what := self._open.pop(block.tool_use_id, None)) is not None:
                result = _text(block.content)
                self._saw(what, result, error=bool(block.is_error))
                path = self._writing.pop(block.tool_use_id, None)
                if path is not None and not block.is_error:
                    self.written.add(path)
                if block.is_error:
                    shown.append(f"! {result}"[:SHOWN_CHARACTERS])
        return "\n".join(shown)

    def _saw(self, what: str, result: str, *, error: bool) -> None:
        if why := self._repetition.saw(what, result, error=error):
            raise CountedOut(why)

    def _limited(self, info: _Limit) -> None:
        resets = _instant(info.resets_at)
        self.limit = resets if info.status == "rejected" else None
        if info.utilization is None:
            return
        percent = min(100.0, max(0.0, info.utilization * 100))
        before = self.quota or Quota()
        if info.kind == "five_hour":
            self.quota = msgspec.structs.replace(before, five_hour_percent=percent, resets_at=resets)
        elif info.kind.startswith("seven_day"):
            self.quota = msgspec.structs.replace(before, weekly_percent=percent, resets_at=resets)


def _told(name: str, given: Raw) -> str:
    """A call as one would say it: the command, the path, else the name alone."""
    arguments = record(given, dict[str, object]) or {}
    for key in ("command", "file_path", "path", "pattern", "url"):
        if isinstance(value := arguments.get(key), str):
            return value if key == "command" else f"{name} {value}"
    return name


def _path(given: Raw) -> str | None:
    arguments = record(given, dict[str, object]) or {}
    path = arguments.get("file_path") or arguments.get("notebook_path")
    return path if isinstance(path, str) and "\0" not in path else None


def _text(content: Raw) -> str:
    """A tool's result: a string, or blocks of which some are text."""
    if (text := record(content, str)) is not None:
        return text
    blocks = record(content, list[_Block]) or []
    return "\n".join(block.text for block in blocks)


def _instant(seconds: float | None) -> datetime | None:
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
