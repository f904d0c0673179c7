"""What an endpoint answers, whole or in pieces: OpenAI's chat completions and embeddings, as all speak them. Pure.

Sources: platform.openai.com/docs/api-reference/chat (and /chat/streaming, /embeddings); docs.openclaw.ai,
"OpenAI chat completions". Those who speak it take liberties: what is missing is left open where nothing hangs on it.
"""

import math
import secrets
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from agents.llm.messages import Finish, Tokens, ToolCall

__all__ = ["Answer", "ErrorInstead", "Malformed", "Stream", "read_chat", "read_embeddings"]

MOST_TOKENS: Final = 10_000_000
"""Of one call: what says more is mistaken."""
MOST_DIMENSIONS: Final = 8_192
"""What can be remembered (MemoryEmbedded)."""
_FINISHES: Final = {
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "content_filter": Finish.REFUSED,
    "refusal": Finish.REFUSED,
}


class Malformed(Exception):
    """An answer that is none; the message says how."""


class ErrorInstead(Malformed):
    """An error came in place of an answer: see errors."""


class Answer(Struct, frozen=True, kw_only=True):
    """What one model has said."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Finish = Finish.STOP
    tokens: Tokens | None = None
    """None: it has not said what it used."""
    model: str = ""
    """What it calls itself; "": it does not say."""


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    index: int | None = None
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Said(Struct):
    """A message, or what a piece of a stream adds to one."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct):
    message: _Said = msgspec.field(default_factory=_Said)
    delta: _Said = msgspec.field(default_factory=_Said)
    finish_reason: str | None = None


class _Cached(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Cached | None = None

    def tokens(self) -> Tokens | None:
        """None: nobody can have used that. Nothing at all was read by no model: it does not say what was."""
        asked = self.prompt_tokens or 0
        if asked <= 0 or max(asked, self.completion_tokens or 0) > MOST_TOKENS:
            return None
        details = self.prompt_tokens_details or _Cached()
        read = min(max(0, details.cached_tokens or 0), MOST_TOKENS)
        written = min(max(0, details.cache_write_tokens or 0), MOST_TOKENS)
        rest = max(0, asked - read - written)
        return Tokens(rest, max(0, self.completion_tokens or 0), read, written)


class _Completion(Struct):
    """An answer, or a piece of one."""

    choices: list[_Choice] = msgspec.field(default_factory=list[_Choice])
    usage: _Usage | None = None
    model: str | None = None
    error: msgspec.Raw = msgspec.Raw()


class _Vector(Struct):
    embedding: tuple[float, ...]
    index: int


class _Vectors(Struct):
    data: list[_Vector]
    usage: _Usage | None = None


_COMPLETION: Final = msgspec.json.Decoder(_Completion)
_VECTORS: Final = msgspec.json.Decoder(_Vectors)


def read_chat(body: bytes) -> Answer:
    """A whole answer. Raises ErrorInstead, Malformed."""
    said = _decoded(body)
    if _has(said.error):
        raise ErrorInstead("an error")
    if not said.choices:
        raise Malformed("an answer without choices")
    choice = said.choices[0]
    message = choice.message
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    return _answer(
        text=message.content or "",
        refusal=message.refusal or "",
        calls=calls,
        reason=choice.finish_reason,
        usage=said.usage,
        model=said.model,
    )


def read_embeddings(body: bytes, count: int) -> tuple[tuple[tuple[float, ...], ...], Tokens | None]:
    """The vectors in the order of the texts, and what they used. Raises Malformed."""
    try:
        said = _VECTORS.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Malformed(f"no embeddings: {error}") from None
    by_index = {item.index: item.embedding for item in said.data}
    if sorted(by_index) != list(range(count)) or len(said.data) != count:
        raise Malformed(f"{len(said.data)} embeddings for {count} texts")
    vectors = tuple(by_index[index] for index in range(count))
    dimensions = {len(vector) for vector in vectors}
    if len(dimensions) != 1 or not 1 <= dimensions.pop() <= MOST_DIMENSIONS:
        raise Malformed("embeddings of different dimensions, of none, or of too many")
    if not all(math.isfinite(value) for vector in vectors for value in vector):
        raise Malformed("embeddings without end")
    return vectors, None if said.usage is None else said.usage.tokens()


class Stream:
    """An answer that comes in pieces: server-sent events, line by line."""

    def __init__(self) -> None:
        self.failure: bytes | None = None
        """It broke off with this error, a JSON object, in place of its end."""
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._reason: str | None = None
        self._usage: _Usage | None = None
        self._model: str | None = None
        self._done = False

    def line(self, line: str) -> str:
        """Takes the next line; the text that it adds. Raises Malformed."""
        name, _, value = line.partition(":")
        if name != "data" or self._done or self.failure is not None:
            return ""
        if value.strip() == "[DONE]":
            self._done = True
            return ""
        said = _decoded(value.encode())
        if _has(said.error):
            self.failure = value.encode()
            return ""
        self._usage = said.usage or self._usage
        self._model = said.model or self._model
        return "".join(self._piece(choice) for choice in said.choices[:1])

    def ended(self) -> Answer | None:
        """The whole answer; None when the stream has broken off before its end."""
        if self.failure is not None or (self._reason is None and not self._done):
            return None
        calls = [(call.id, call.function.name, call.function.arguments) for _, call in sorted(self._calls.items())]
        return _answer(
            text="".join(self._text),
            refusal="".join(self._refusal),
            calls=calls,
            reason=self._reason,
            usage=self._usage,
            model=self._model,
        )

    @property
    def tokens(self) -> Tokens | None:
        """What it has said so far that it used."""
        return None if self._usage is None else self._usage.tokens()

    def _piece(self, choice: _Choice) -> str:
        said = choice.delta
        self._reason = choice.finish_reason or self._reason
        self._refusal.append(said.refusal or "")
        for call in said.tool_calls or ():
            self._add(call)
        self._text.append(said.content or "")
        return said.content or ""

    def _add(self, piece: _Call) -> None:
        last = max(self._calls, default=-1)
        index = piece.index
        if index is None:  # some do not number them: a new id begins a new call
            index = last + 1 if piece.id or last < 0 else last
        call = self._calls.setdefault(index, _Call())
        call.id = call.id or piece.id
        call.function.name = call.function.name or piece.function.name
        call.function.arguments = (call.function.arguments or "") + (piece.function.arguments or "")


def _answer(
    *,
    text: str,
    refusal: str,
    calls: Sequence[tuple[str | None, str | None, str | None]],
    reason: str | None,
    usage: _Usage | None,
    model: str | None,
) -> Answer:
    if reason == "error":
        raise Malformed("it ended in an error, and does not say which")
    finish = Finish.REFUSED if refusal else _FINISHES.get(reason or "")
    # What is cut off is no call, and neither is what a refusal stands beside.
    wanted = tuple(_calls(calls)) if finish is None else ()
    return Answer(
        text=text or refusal,
        tool_calls=wanted,
        finish=finish or (Finish.TOOLS if wanted else Finish.STOP),
        tokens=None if usage is None else usage.tokens(),
        model=model or "",
    )


def _calls(calls: Sequence[tuple[str | None, str | None, str | None]]) -> Iterator[ToolCall]:
    """Each with an id of its own: its answer must find it."""
    seen: set[str] = set()
    for given, name, arguments in calls:
        own = given if given and given not in seen else f"call-{secrets.token_hex(8)}"
        seen.add(own)
        yield ToolCall(id=own, name=name or "", arguments=arguments or "")


def _decoded(body: bytes) -> _Completion:
    try:
        return _COMPLETION.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Malformed(f"no answer: {error}") from None


def _has(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in (b"", b"null")
