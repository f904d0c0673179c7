"""What `opencode run --format json` says of itself, a JSON object a line. Pure. Source: its own output, version 1.18.

There is no record of how a run ended: it ended well when its last step stopped by itself and the program exited well.
"""

from msgspec import Struct, field

from agents.coders.driver import Usage
from agents.coders.lines import record
from agents.coders.program import CountedOut
from agents.coders.usage import Cost, Told
from agents.guard.repetition import Repetition
from schemas import FailureKind

SHOWN_CHARACTERS = 2_000
WRITERS = frozenset({"edit", "multiedit", "write"})
_STATUSES = {
    401: FailureKind.AUTH,
    402: FailureKind.QUOTA,
    403: FailureKind.AUTH,
    429: FailureKind.RATE_LIMITED,
    500: FailureKind.OVERLOADED,
    502: FailureKind.OVERLOADED,
    503: FailureKind.OVERLOADED,
    529: FailureKind.OVERLOADED,
}


class _Input(Struct, frozen=True):
    command: str = ""
    path: str = field(default="", name="filePath")


class _State(Struct, frozen=True):
    status: str = ""
    input: _Input = _Input()
    output: str = ""
    error: str = ""


class _Cache(Struct, frozen=True):
    read: Told = 0
    write: Told = 0


class _Tokens(Struct, frozen=True):
    input: Told = 0
    output: Told = 0
    reasoning: Told = 0
    cache: _Cache = _Cache()


class _Part(Struct, frozen=True):
    text: str = ""
    tool: str = ""
    state: _State = _State()
    reason: str = ""
    tokens: _Tokens = _Tokens()
    cost: Cost | None = None


class _Data(Struct, frozen=True):
    message: str = ""
    status: int | None = field(default=None, name="statusCode")


class _Error(Struct, frozen=True):
    name: str = ""
    data: _Data = _Data()


class _Event(Struct, frozen=True):
    type: str
    session: str | None = field(default=None, name="sessionID")
    part: _Part = _Part()
    error: _Error | None = None


class OpenCodeRecords:
    """The state of one stream."""

    over = False
    """It never says so."""

    def __init__(self, turns_max: int, model: str) -> None:
        self.error: _Error | None = None
        self.session: str | None = None
        self.finished = False
        """Its last step stopped by itself."""
        self.turns = 0
        self.text = ""
        self.written: set[str] = set()
        self.passed_over = 0
        self._turns_max = turns_max
        self._usage = Usage(model=model)
        self._cost: float | None = 0.0
        self._repetition = Repetition()

    @property
    def usage(self) -> Usage:
        if not self.turns:
            return self._usage
        used = self._usage
        return Usage(
            model=used.model,
            input=used.input,
            output=used.output,
            cache_read=used.cache_read,
            cache_write=used.cache_write,
            cost_usd=self._cost or None,  # a model without a price costs 0 here
        )

    @property
    def kind(self) -> FailureKind:
        """Of the error that it told of."""
        status = self.error.data.status if self.error is not None else None
        if self.error is not None and self.error.name == "ProviderAuthError":
            return FailureKind.AUTH
        return _STATUSES.get(status or 0, FailureKind.BUG)

    def line(self, line: bytes) -> str:
        event = record(line, _Event)
        if event is None:
            self.passed_over += bool(line.strip())
            return line.decode("utf-8", "replace")[:SHOWN_CHARACTERS]
        self.session = event.session or self.session
        part = event.part
        match event.type:
            case "text":
                self.text = part.text
                return part.text[:SHOWN_CHARACTERS]
            case "tool_use":
                return self._used(part.tool, part.state)[:SHOWN_CHARACTERS]
            case "step_start":
                self.finished = False
            case "step_finish":
                self.finished = part.reason == "stop"
                self._count(part)
            case "error":
                self.error = event.error or _Error()
                return f"[{self.error.data.message or self.error.name}]"[:SHOWN_CHARACTERS]
            case _:
                pass
        return ""

    def _used(self, tool: str, state: _State) -> str:
        failed = state.status == "error"
        what = state.input.command or f"{tool} {state.input.path}".strip()
        if tool in WRITERS and not failed and "\0" not in state.input.path:
            self.written.add(state.input.path)
        if why := self._repetition.saw(what, state.error or state.output, error=failed):
            raise CountedOut(why)
        return f"> {what}\n! {state.error}" if failed else f"> {what}"

    def _count(self, step: _Part) -> None:
        self.turns += 1
        tokens, used = step.tokens, self._usage
        self._usage = Usage(
            model=used.model,
            input=used.input + max(0, tokens.input),
            output=used.output + max(0, tokens.output) + max(0, tokens.reasoning),
            cache_read=used.cache_read + max(0, tokens.cache.read),
            cache_write=used.cache_write + max(0, tokens.cache.write),
        )
        known = self._cost is not None and step.cost is not None and 0 <= step.cost < float("inf")
        self._cost = (self._cost or 0.0) + (step.cost or 0.0) if known else None
        if self.turns >= self._turns_max and not self.finished:
            raise CountedOut(f"it used its {self._turns_max} turns", FailureKind.MAX_TURNS)
