"""The gateway: one answer to a question, from the first model of its chain that gives one, and what that has cost.

A model that refuses is a failure like others, and the next is asked; when all refuse, the last refusal is the answer.
Pieces of an answer that came to nothing are taken back (`on_text("")`) before another model's come.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import httpx

from agents.llm.answers import Answer
from agents.llm.bodies import chat_body, embeddings_body
from agents.llm.chain import chain
from agents.llm.config import Gateways, LlmConfig, ModelName, split
from agents.llm.endpoint import Endpoint, Waits
from agents.llm.errors import Failure
from agents.llm.messages import (
    Embeddings,
    ErrorKind,
    Finish,
    Message,
    ModelError,
    OnText,
    Reply,
    Schema,
    Speaker,
    TaskKind,
    ToolSpec,
)
from agents.llm.prices import estimated_text, estimated_tokens
from agents.llm.purse import Purse
from agents.llm.standing import Standing
from agents.llm.tally import Tally
from agents.llm.trying import Asking, Clock, Got, WallClock

__all__ = ["Gateway"]

LEAST_ANSWER_TOKENS: Final = 256
Vector: TypeAlias = tuple[float, ...]
EMBEDDED_AT_ONCE: Final = 64
EMBEDDED_CHARACTERS: Final = 8_000
"""Of one text: models take some 8 000 tokens, and there are languages with one for each character."""


class Gateway:
    """All models of one character; a messages.Model. Make one with `opened`."""

    def __init__(self, asking: Asking, gateways: Gateways, llm: LlmConfig) -> None:
        self._asking = asking
        self._gateways = gateways
        self._llm = llm

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        gateways: Gateways,
        llm: LlmConfig,
        purse: Purse,
        *,
        standing: Standing | None = None,
        waits: Waits | None = None,
        clock: Clock | None = None,
    ) -> AsyncGenerator["Gateway"]:
        """A gateway for these models; `standing` is what the process knows of them."""
        limits = httpx.Limits(max_connections=100, keepalive_expiry=30)
        async with httpx.AsyncClient(limits=limits, follow_redirects=False) as client:
            endpoints = {
                name: Endpoint(client, provider, waits or Waits()) for name, provider in gateways.providers.items()
            }
            asking = Asking(endpoints, gateways.models, purse, standing or Standing(), clock or WallClock())
            try:
                yield cls(asking, gateways, llm)
            finally:
                await purse.tell()  # of what was cancelled, too

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
        """One answer, see Model; `max_tokens` is at most what the character allows. Raises ModelError."""
        longest = min(max_tokens or self._llm.answer_tokens, self._llm.answer_tokens)
        question = _Chat(
            self._asking,
            self._llm,
            task=task,
            messages=messages,
            tools=tools,
            longest=longest,
            schema=schema,
            on_text=on_text,
        )
        names = chain(self._gateways, self._llm, task)
        tally = Tally()
        try:
            found = await self._asking.first(names, question, tally, patience_seconds=self._llm.patience_seconds)
        except ModelError:
            if question.refused is None:
                raise
            found = question.refused
            question.take(found[1].text)
        return _reply(*found, tally)

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Vectors of the one model for that: another's could not be compared. Raises ModelError."""
        name = self._gateways.embedding
        if name is None:
            raise ModelError(ErrorKind.INVALID, "no model for embeddings is configured (`embedding` in RIG_GATEWAYS)")
        vectors: list[Vector] = []
        for start in range(0, len(texts), EMBEDDED_AT_ONCE):
            question = _Embed([text[:EMBEDDED_CHARACTERS] for text in texts[start : start + EMBEDDED_AT_ONCE]])
            patience = self._llm.patience_seconds
            vectors += (await self._asking.first((name,), question, Tally(), patience_seconds=patience))[1]
        return Embeddings(name, len(vectors[0]) if vectors else 0, tuple(vectors))


class _Chat:
    """A question with words for an answer."""

    operation = "chat"

    def __init__(
        self,
        asking: Asking,
        llm: LlmConfig,
        *,
        task: TaskKind,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        longest: int,
        schema: Schema | None,
        on_text: OnText | None,
    ) -> None:
        self.task = task
        self.refused: tuple[ModelName, Answer] | None = None
        """The last that did not want to."""
        self._asking = asking
        self._llm = llm
        self._messages = messages
        self._tools = tools
        self._schema = schema
        self._longest = longest
        self._on_text = on_text
        self._told = False
        self._tokens = estimated_tokens(messages, tools)

    def size(self, name: ModelName) -> tuple[int, int]:
        facts = self._asking.facts(name)
        longest = min(self._longest, facts.output_tokens or self._longest)
        if facts.context_tokens is not None:
            longest = min(longest, max(LEAST_ANSWER_TOKENS, facts.context_tokens - self._tokens))
        return self._tokens, longest

    async def ask(self, name: ModelName, endpoint: Endpoint, without: frozenset[str]) -> tuple[Answer, Got]:
        self._anew()
        body = chat_body(
            split(name)[1],
            self._messages,
            tools=self._tools,
            max_tokens=self.size(name)[1],
            temperature=self._llm.temperature,
            schema=self._schema,
            stream=self._on_text is not None,
            without=without,
        )
        answer = await (endpoint.answer(body) if self._on_text is None else endpoint.streamed(body, self._piece))
        if answer.finish is Finish.REFUSED:
            self.refused = name, answer
            raise Failure(ErrorKind.REFUSED, "it does not want to", used=True, tokens=answer.tokens)
        return answer, Got(answer.tokens, answer.model, answer.finish.value)

    def take(self, text: str) -> None:
        """This is the answer, whatever pieces came before."""
        self._anew()
        self._piece(text)

    def _piece(self, text: str) -> None:
        if self._on_text is not None and text:
            self._told = True
            self._on_text(text)

    def _anew(self) -> None:
        if self._on_text is not None and self._told:
            self._told = False
            self._on_text("")


class _Embed:
    """A question with vectors for an answer."""

    operation = "embeddings"
    task = TaskKind.EMBEDDING

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._tokens = estimated_text(*texts)

    def size(self, name: ModelName) -> tuple[int, int]:
        return self._tokens, 0

    async def ask(self, name: ModelName, endpoint: Endpoint, without: frozenset[str]) -> tuple[tuple[Vector, ...], Got]:
        vectors, tokens = await endpoint.vectors(embeddings_body(split(name)[1], self._texts), len(self._texts))
        return vectors, Got(tokens)


def _reply(name: ModelName, answer: Answer, tally: Tally) -> Reply:
    provider, model = split(name)
    return Reply(
        message=Message(Speaker.ASSISTANT, answer.text, answer.tool_calls),
        finish=answer.finish,
        provider=provider,
        model=model,
        tokens=tally.tokens,
        cost_usd=tally.cost_usd,
        tries=tuple(tally.tries),
    )
