"""A model talks and calls tools until it has an answer, a limit is reached, or somebody cancels it.

At a limit it gets one last turn without tools, to say what it has found and what it has not done; and we say ourselves
that there was a limit, whatever it says. What tools said is fenced, and what is done is what `calling` lets pass.
Every list of messages that comes out of here can be gone on with: each call in it is answered.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Final, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from agents.guard.repetition import Repetition
from agents.llm.messages import (
    ErrorKind,
    Finish,
    Message,
    Model,
    ModelError,
    OnText,
    Reply,
    Speaker,
    TaskKind,
    Tokens,
    ToolCall,
)
from agents.loop import history as histories
from agents.loop.calling import Approve, Called, Caller
from agents.loop.limits import Limit, Limits, Spent
from agents.tools.tool import Tool, ToolResult

__all__ = ["Turned", "converse"]

T = TypeVar("T")

LAST_SECONDS: Final = 60.0
"""For the last turn, which is beyond the limits."""
LAST_TOKENS: Final = 1_000
SHORTER: Final = 3
"""So often a conversation that is too long for a model is made shorter for it."""

log = logging.getLogger(__name__)


class Turned(Struct, frozen=True, kw_only=True):
    """What came of it."""

    answer: str
    messages: tuple[Message, ...]
    """The conversation with it: the next one's history."""
    tokens: Tokens
    cost_usd: float | None
    """None: some price is not known."""
    turns: int
    limited: Limit | None = None
    cancelled: bool = False


async def converse(
    model: Model,
    tools: Sequence[Tool],
    history: Sequence[Message],
    said: str,
    *,
    limits: Limits,
    task: TaskKind = TaskKind.CHAT,
    approve: Approve | None = None,
    on_text: OnText | None = None,
    cancel: asyncio.Event | None = None,
) -> Turned:
    """Answers what was said. `history` begins with the system's messages; `said` is fenced where others wrote it.

    Raises ModelError when no model answers. When it returns or is cancelled, no tool of it runs any more.
    """
    messages = [*history, Message(Speaker.USER, said)]
    talk = _Talk(model, tools, messages, limits=limits, task=task, approve=approve, on_text=on_text)
    work = asyncio.ensure_future(talk.to_its_end())
    stop = asyncio.ensure_future(_never() if cancel is None else cancel.wait())
    try:
        await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
        work.cancel()
        await asyncio.wait((work, stop))
        failed = None if work.cancelled() else work.exception()
    if failed is not None:
        raise failed
    return talk.cancelled() if work.cancelled() else work.result()


async def _never() -> Literal[True]:
    await asyncio.Event().wait()
    return True


class _OutOfTime(Exception):
    """The conversation has taken as long as it may."""


class _Talk:
    def __init__(
        self,
        model: Model,
        tools: Sequence[Tool],
        messages: list[Message],
        *,
        limits: Limits,
        task: TaskKind,
        approve: Approve | None,
        on_text: OnText | None,
    ) -> None:
        self._model = model
        self._specs = tuple(tool.spec for tool in tools)
        self._caller = Caller(tools, limits, approve)
        self._messages = messages
        self._limits = limits
        self._task = task
        self._on_text = on_text
        self._spent = Spent()
        self._repetition = Repetition()
        self._circling: Limit | None = None
        """It does the same again and again."""
        self._budget = limits.history_tokens
        self._until = asyncio.get_running_loop().time() + limits.seconds

    async def to_its_end(self) -> Turned:
        """An answer, or the last turn's."""
        try:
            while True:
                reply = await self._timed(self._asked())
                self._spent.turns += 1
                if not reply.message.tool_calls:
                    return self._answered(reply)
                if (limit := self._spent.reached(self._limits)) is not None:
                    self._answer_all(_NOT_DONE)
                    return await self._last_turn(limit)
                self._say("")
                done = await self._timed(self._caller.all(reply.message.tool_calls))
                for called in done:
                    self._heard(called)
                self._compare(done)
                if (limit := self._circling or self._spent.reached(self._limits)) is not None:
                    return await self._last_turn(limit)
        except _OutOfTime:
            self._answer_all("stopped: the time of this conversation is over. What it has done by then is not known")
            return await self._last_turn(Limit.TIME)
        except ModelError as error:
            if error.kind is not ErrorKind.OVER_BUDGET:
                raise
            return self._without_a_model(Limit.MONEY)

    def cancelled(self) -> Turned:
        """As far as it came."""
        self._answer_all("cancelled. What it has done by then is not known")
        return self._turned("", cancelled=True)

    async def _timed(self, work: Coroutine[object, object, T]) -> T:
        """Raises _OutOfTime when the conversation's time is over before that is done."""
        deadline = asyncio.timeout_at(self._until)
        try:
            async with deadline:
                return await work
        except TimeoutError:
            if deadline.expired():
                raise _OutOfTime from None
            raise

    async def _asked(self) -> Reply:
        """The model's reply to all that was said, made shorter where that is too long."""
        for tries in range(SHORTER + 1):
            shown = await histories.fitting(
                self._messages, self._budget, self._model, tools=self._specs, replied=self._spent.replied
            )
            self._messages = shown
            try:
                reply = await self._model.chat(shown, task=self._task, tools=self._specs, on_text=self._on_text)
            except asyncio.CancelledError:
                self._spent.cost_known = False  # it may have worked
                raise
            except ModelError as error:
                self._spent.replied(error)
                if error.kind is not ErrorKind.TOO_LONG or tries == SHORTER:
                    raise
                self._budget = min(self._budget, histories.tokens_of(shown, self._specs)) // 2
                log.info("the conversation is too long for the model; it is made shorter")
                continue
            self._spent.replied(reply)
            reply = replace(reply, message=_numbered(reply.message, self._spent.turns))
            self._caller.finished = {}  # of the last reply's calls, whose ids may be the same
            self._messages.append(reply.message)
            return reply
        raise AssertionError("unreachable")

    def _heard(self, called: Called) -> None:
        message = called.message
        self._spent.tool_characters += len(message.text)
        for reply in called.result.replies:
            self._spent.replied(reply)
        self._messages.append(message)

    def _compare(self, done: Sequence[Called]) -> None:
        """With what was done before; of equal calls in one reply the first counts."""
        calls = {f"{called.call.name} {called.call.arguments}": called.result for called in reversed(done)}
        for call, result in reversed(calls.items()):
            why = self._repetition.saw(call, result.text, error=result.error)
            if why is not None and self._circling is None:
                log.info("the conversation is stopped: %s", why)
                self._circling = Limit.REPETITION

    def _answered(self, reply: Reply) -> Turned:
        text = reply.message.text.strip()
        if reply.finish is Finish.REFUSED:
            text = self._added(text, "(The model does not want to answer this.)")
        elif reply.finish is Finish.LENGTH:
            text = self._added(text, "(The answer is cut off here: it was longer than it may be.)")
        elif not text:
            text = self._added(text, "(The model has answered nothing.)")
        return self._turned(text)

    async def _last_turn(self, limit: Limit) -> Turned:
        self._say("")
        note = _REACHED[limit]
        ask = (
            f"The rig stops this conversation: {note}. You have no tools any more. Answer now with what you know, and"
            " say plainly what you have not done or could not find out."
        )
        try:
            async with asyncio.timeout(LAST_SECONDS):
                fit = await histories.fitting(self._messages, self._budget, self._model, replied=self._spent.replied)
                shown = [*histories.flattened(fit), Message(Speaker.USER, ask)]
                reply = await self._model.chat(shown, task=self._task, max_tokens=LAST_TOKENS, on_text=self._on_text)
        except (ModelError, TimeoutError) as error:
            log.warning("there are no last words: %s", error or "the model does not answer")
            return self._without_a_model(limit)
        self._spent.replied(reply)
        text = reply.message.text.strip()
        self._messages.append(Message(Speaker.ASSISTANT, text))
        return self._turned(self._added(text, f"(Stopped: {note}.)"), limited=limit)

    def _without_a_model(self, limit: Limit) -> Turned:
        self._answer_all(_NOT_DONE)
        text = self._added("", f"(Stopped: {_REACHED[limit]}. There is no answer.)")
        self._messages.append(Message(Speaker.ASSISTANT, text))
        return self._turned(text, limited=limit)

    def _added(self, text: str, note: str) -> str:
        """What we say ourselves, whatever the model says."""
        self._say(f"\n\n{note}" if text else note)
        return f"{text}\n\n{note}" if text else note

    def _say(self, piece: str) -> None:
        if self._on_text is not None:
            self._on_text(piece)

    def _answer_all(self, why: str) -> None:
        """Answers the calls of a reply that is the last word still: each has its own answer, if it came to one."""
        for call in self._messages[-1].tool_calls:
            result = self._caller.finished.get(call.id) or ToolResult(why, error=True)
            self._heard(Called(call, result))

    def _turned(self, answer: str, *, limited: Limit | None = None, cancelled: bool = False) -> Turned:
        return Turned(
            answer=answer,
            messages=tuple(self._messages),
            tokens=self._spent.tokens,
            cost_usd=self._spent.cost_usd,
            turns=self._spent.turns,
            limited=limited,
            cancelled=cancelled,
        )


_NOT_DONE: Final = "not done: a limit of this conversation is reached"
_REACHED: Final = {
    Limit.TURNS: "it has taken as many turns as it may",
    Limit.TIME: "it has taken as long as it may",
    Limit.TOKENS: "it has used as many tokens as it may",
    Limit.MONEY: "it has spent what it may",
    Limit.TOOL_OUTPUT: "its tools have said as much as they may",
    Limit.REPETITION: "it did the same again and again",
}


def _numbered(message: Message, turn: int) -> Message:
    """Calls with ids of their own, where the model gave two the same or none."""
    ids = [call.id for call in message.tool_calls]
    if all(ids) and len(set(ids)) == len(ids):
        return message
    calls = tuple(
        ToolCall(f"call-{turn}-{at}", call.name, call.arguments) for at, call in enumerate(message.tool_calls)
    )
    return replace(message, tool_calls=calls)
