"""What `codex exec --json` says of itself, a JSON object a line. Pure. Source: the CLI's own output, version 0.169.

Its failures have no classes, only the CLI's own sentences: those of `turn.failed`, which no model writes, are told
apart here. It has no limit of turns either: they are counted, an item of work each.
"""

import re

from msgspec import Struct, field

from agents.coders.driver import Usage
from agents.coders.lines import record
from agents.coders.program import CountedOut
from agents.coders.usage import Told
from agents.guard.repetition import Repetition
from schemas import FailureKind

SHOWN_CHARACTERS = 2_000
_SENTENCES = (
    (re.compile(r"quota exceeded|usage limit|billing|insufficient_quota", re.IGNORECASE), FailureKind.QUOTA),
    (re.compile(r"\b(401|403)\b|not logged in|log ?in again|invalid_api_key", re.IGNORECASE), FailureKind.AUTH),
    (re.compile(r"\b429\b|rate limit", re.IGNORECASE), FailureKind.RATE_LIMITED),
    (
        re.compile(r"at capacity|overloaded|high demand|\b5\d\d\b|network|connect|stream disconnected", re.IGNORECASE),
        FailureKind.OVERLOADED,
    ),
)
"""The first that fits counts."""


class _Change(Struct, frozen=True):
    path: str = ""
    kind: str = ""


class _Item(Struct, frozen=True):
    type: str
    text: str = ""
    message: str = ""
    command: str = ""
    aggregated_output: str = ""
    exit_code: int | None = None
    status: str = ""
    changes: list[_Change] = field(default_factory=list[_Change])
    tool: str = ""


class _Error(Struct, frozen=True):
    message: str = ""


class Tokens(Struct, frozen=True):
    """What a conversation has used from its beginning; input holds what was cached and written to the cache."""

    input_tokens: Told = 0
    cached_input_tokens: Told = 0
    cache_write_input_tokens: Told = 0
    output_tokens: Told = 0


class _Info(Struct, frozen=True):
    total_token_usage: Tokens = Tokens()


class _Payload(Struct, frozen=True):
    info: _Info | None = None


class _Kept(Struct, frozen=True):
    payload: _Payload = _Payload()


class _Event(Struct, frozen=True):
    type: str
    thread_id: str | None = None
    item: _Item | None = None
    error: _Error | None = None
    message: str = ""
    usage: Tokens | None = None


class CodexRecords:
    """The state of one stream."""

    def __init__(self, turns_max: int, model: str, before: Tokens = Tokens()) -> None:  # noqa: B008 - frozen
        """`before`: what the conversation had used when it was taken up again."""
        self.over = False
        self.failed: str | None = None
        """Why its turn failed, in the CLI's words."""
        self.trouble = ""
        """What it last said of a call to its model that failed, and that it makes again."""
        self.session: str | None = None
        self.turns = 0
        self.text = ""
        self.usage = Usage(model=model)
        self.written: set[str] = set()
        self.passed_over = 0
        self._turns_max = turns_max
        self._model = model
        self._before = before
        self._repetition = Repetition()

    def line(self, line: bytes) -> str:
        event = record(line, _Event)
        if event is None:
            self.passed_over += bool(line.strip())
            return line.decode("utf-8", "replace")[:SHOWN_CHARACTERS]
        match event.type:
            case "thread.started":
                self.session = event.thread_id
            case "item.started" if event.item is not None and event.item.type == "command_execution":
                return f"> {event.item.command}"[:SHOWN_CHARACTERS]
            case "item.completed" if event.item is not None:
                return self._done(event.item)[:SHOWN_CHARACTERS]
            case "turn.completed" if event.usage is not None:
                self.over = True
                self.used(event.usage)
                return "[finished]"
            case "turn.failed":
                self.over, self.failed = True, event.error.message if event.error is not None else "no reason given"
                return f"[{self.failed}]"[:SHOWN_CHARACTERS]
            case "error":
                self.trouble = event.message
                return f"[{event.message}]"[:SHOWN_CHARACTERS]
            case _:
                pass
        return ""

    def _done(self, item: _Item) -> str:
        self.trouble = ""
        match item.type:
            case "agent_message":
                self.text = item.text
                return item.text
            case "command_execution":
                self._worked(item.command, f"{item.exit_code}\n{item.aggregated_output}", error=bool(item.exit_code))
                return f"! exit code {item.exit_code}" if item.exit_code else ""
            case "file_change":
                if item.status == "completed":
                    self.written.update(change.path for change in item.changes if "\0" not in change.path)
                told = ", ".join(f"{change.kind} {change.path}" for change in item.changes)
                self._worked(told, item.status, error=item.status == "failed")
                return f"> {told}"
            case "mcp_tool_call":
                self._worked(item.tool, item.status, error=item.status == "failed")
                return f"> {item.tool}"
            case "error":
                return f"! {item.message}"
            case _:
                return ""

    def _worked(self, what: str, result: str, *, error: bool) -> None:
        self.turns += 1
        if self.turns > self._turns_max:
            raise CountedOut(f"it used its {self._turns_max} turns", FailureKind.MAX_TURNS)
        if why := self._repetition.saw(what, result, error=error):
            raise CountedOut(why)

    def used(self, tokens: Tokens) -> None:
        """What the conversation has used by now; what it had before is no part of this run."""
        before = self._before
        cached = max(0, tokens.cached_input_tokens - before.cached_input_tokens)
        written = max(0, tokens.cache_write_input_tokens - before.cache_write_input_tokens)
        self.usage = Usage(
            model=self._model,
            input=max(0, tokens.input_tokens - before.input_tokens - cached - written),
            output=max(0, tokens.output_tokens - before.output_tokens),
            cache_read=cached,
            cache_write=written,
        )


def spent(rollout: bytes) -> Tokens:
    """What a conversation has used, as the file says in which the CLI keeps it; nothing where it does not say."""
    for line in reversed(rollout.splitlines()):
        kept = record(line, _Kept) if b'"token_count"' in line else None
        if kept is not None and kept.payload.info is not None:
            return kept.payload.info.total_token_usage
    return Tokens()


def kind_of(sentence: str) -> FailureKind | None:
    """What the CLI means by it; None: something else."""
    return next((kind for pattern, kind in _SENTENCES if pattern.search(sentence)), None)
