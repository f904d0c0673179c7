"""What is said to a model and what comes back, whoever runs it: data, and what the rest of the agents know of a model.

What a model writes is as untrusted as any text from outside: the arguments of a call are what it wrote, JSON or not.

ModelError           no model of the chain has answered; `kind` says why the last did not, `tries` what came before
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

from msgspec import Struct

__all__ = [
    "NO_TOKENS",
    "Embeddings",
    "ErrorKind",
    "Finish",
    "Message",
    "Model",
    "ModelError",
    "OnText",
    "Reply",
    "Schema",
    "Speaker",
    "TaskKind",
    "Tokens",
    "ToolCall",
    "ToolSpec",
    "Try",
]

Schema: TypeAlias = Mapping[str, object]
"""A JSON Schema."""
OnText: TypeAlias = Callable[[str], None]
"""Sees each piece of an answer as it comes. An empty piece takes all before it back: another model begins anew."""


class Speaker(StrEnum):
    """Whose words these are."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class TaskKind(StrEnum):
    """What a model is asked for. Each kind may have a route of its own (config.py), and is accounted for by it."""

    CHAT = "chat"
    """To talk and to act."""
    SUMMARY = "summary"
    """To make a long history short."""
    LEARNING = "learning"
    """To say what is worth remembering."""
    REVIEW = "review"
    """To judge a change."""
    ADVICE = "advice"
    """To help another model on."""
    EMBEDDING = "embedding"


class ToolCall(Struct, frozen=True):
    """A model wants a tool called."""

    id: str
    name: str
    arguments: str
    """The text as the model wrote it; it was told to write a JSON object."""


class Message(Struct, frozen=True):
    """One turn of a conversation."""

    speaker: Speaker
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    answers: str | None = None
    """Of a tool's words: the id of the call that they answer."""


class ToolSpec(Struct, frozen=True):
    """A tool, as a model sees it."""

    name: str
    description: str
    parameters: Schema


class Tokens(Struct, frozen=True):
    """What a call used. What was read from a cache, or written to one, is not in `input`."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
        )


NO_TOKENS = Tokens()


class ErrorKind(StrEnum):
    """Why a model has not answered."""

    AUTH = "auth"
    """The key is missing, wrong, or not allowed this."""
    QUOTA = "quota"
    """What is paid for, or allowed in a period, is used up."""
    RATE_LIMITED = "rate_limited"
    """Too much in a short time."""
    OVERLOADED = "overloaded"
    """It is in trouble itself."""
    TOO_LONG = "too_long"
    """More than fits into its context."""
    REFUSED = "refused"
    """It, or a filter before it, does not want to."""
    NETWORK = "network"
    """It could not be reached, fell silent, or broke off."""
    INVALID = "invalid"
    """It does not understand us, or we do not understand it."""
    OVER_BUDGET = "over_budget"
    """The rig has no money for it: no model was asked."""


class Try(Struct, frozen=True):
    """One model was asked, or was not because it is known not to answer, and this is why it is not the one."""

    provider: str
    model: str
    kind: ErrorKind
    detail: str
    """For people; holds no secret."""
    retry_at: datetime | None = None


class Finish(StrEnum):
    """Why a model has stopped."""

    STOP = "stop"
    TOOLS = "tools"
    """It wants tools called."""
    LENGTH = "length"
    """It was not allowed more: what it said is cut off."""
    REFUSED = "refused"
    """It does not want to, and neither did any other of the chain."""


class Reply(Struct, frozen=True, kw_only=True):
    """A model's answer."""

    message: Message
    finish: Finish
    provider: str
    model: str
    """By the provider's name for it, without the provider."""
    tokens: Tokens = NO_TOKENS
    """Of all that was asked for this answer, also of tries that came to nothing."""
    cost_usd: float | None = None
    """Of all of them; None: the price of one of them is not known."""
    tries: tuple[Try, ...] = ()
    """What failed before it."""


class Embeddings(Struct, frozen=True):
    """Where texts lie in a model's space, in the order of the texts."""

    model: str
    """With its provider: vectors of one model can be compared."""
    dimensions: int
    vectors: tuple[tuple[float, ...], ...]


class ModelError(Exception):
    """No model has answered. The message is for people, and holds no secret."""

    def __init__(
        self,
        kind: ErrorKind,
        detail: str,
        *,
        retry_at: datetime | None = None,
        tries: Sequence[Try] = (),
        tokens: Tokens = NO_TOKENS,
        cost_usd: float | None = 0.0,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.retry_at = retry_at
        """When it may go better, as far as anybody knows."""
        self.tries = tuple(tries)
        self.tokens = tokens
        self.cost_usd = cost_usd
        """Of the tries; None: nobody knows."""


class Model(Protocol):
    """Somebody who answers: the gateway, or a script. Cancelling a call ends it at once."""

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        task: TaskKind,
        tools: Sequence[ToolSpec] = (),
        max_tokens: int | None = None,
        schema: Schema | None = None,
        on_text: OnText | None = None,
    ) -> Reply:
        """One answer. `schema`: it is asked to be JSON like that, which is still to be checked. Raises ModelError."""
        ...

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Raises ModelError, INVALID where no model for it is configured."""
        ...
