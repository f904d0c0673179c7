"""A model that says what a test wants it to, and tools of every kind: for whoever talks with models."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from agents.llm.messages import (
    Embeddings,
    Finish,
    Message,
    ModelError,
    OnText,
    Reply,
    Schema,
    Speaker,
    TaskKind,
    Tokens,
    ToolCall,
    ToolSpec,
)
from agents.tools.tool import Arguments, ToolResult

OBJECT: Schema = {"type": "object"}


class Asked(msgspec.Struct, frozen=True):
    """What a model was asked."""

    messages: tuple[Message, ...]
    task: TaskKind
    tools: tuple[ToolSpec, ...]
    max_tokens: int | None


Answer = str | Reply | ModelError | Callable[[Asked], "Awaitable[Reply]"]


class ScriptedModel:
    """Answers what its script says, in order; summaries and the like from scripts of their own."""

    def __init__(self, *script: Answer, **others: Sequence[Answer]) -> None:
        self._scripts = {TaskKind.CHAT: list(script), **{TaskKind(kind): list(said) for kind, said in others.items()}}
        self.asked: list[Asked] = []

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
        asked = Asked(tuple(messages), task, tuple(tools), max_tokens)
        self.asked.append(asked)
        answer = self._scripts[task].pop(0)
        if isinstance(answer, ModelError):
            raise answer
        if isinstance(answer, str):
            answer = reply(answer)
        elif not isinstance(answer, Reply):
            answer = await answer(asked)
        if on_text is not None and answer.message.text:
            on_text(answer.message.text)
        return answer

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        return Embeddings("scripted/embedding", 2, tuple((float(len(text)), 1.0) for text in texts))

    @property
    def chats(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.task is TaskKind.CHAT]

    def finished(self) -> bool:
        return not any(self._scripts.values())


def reply(
    text: str = "",
    *calls: ToolCall,
    finish: Finish | None = None,
    tokens: Tokens = Tokens(10, 5),  # noqa: B008 - frozen
    cost_usd: float | None = 0.01,
) -> Reply:
    """What a model says; with calls it wants tools."""
    return Reply(
        message=Message(Speaker.ASSISTANT, text, tool_calls=calls),
        finish=finish or (Finish.TOOLS if calls else Finish.STOP),
        provider="scripted",
        model="one",
        tokens=tokens,
        cost_usd=cost_usd,
    )


def wants(name: str, arguments: object = None, *, id: str = "") -> ToolCall:  # noqa: A002
    """A call; arguments that are a text are sent as they are."""
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
    return ToolCall(id or f"{name}-1", name, text)


class AnyTool:
    """A tool that does what a function does."""

    def __init__(
        self,
        name: str,
        does: Callable[[Arguments], Awaitable[object]],
        *,
        parameters: Schema = OBJECT,
        safe: bool = True,
        risky: bool = False,
    ) -> None:
        self.spec = ToolSpec(name, f"does {name}", parameters)
        self.safe = safe
        self.risky = risky
        self.calls: list[Arguments] = []
        self._does = does

    async def call(self, arguments: Arguments) -> ToolResult:
        self.calls.append(arguments)
        said = await self._does(arguments)
        return said if isinstance(said, ToolResult) else ToolResult(str(said))


def says(name: str, text: str, **more: object) -> AnyTool:
    """A tool that always answers the same."""

    async def does(_: Arguments) -> object:
        await asyncio.sleep(0)
        return text

    return AnyTool(name, does, **more)  # type: ignore[arg-type]
