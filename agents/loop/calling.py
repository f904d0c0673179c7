"""The calls of one reply: each checked, together where that is safe, bounded in time and size, and each answered.

What a model asks for is looked at before it is done: the tool exists, its arguments are a JSON object as the schema
wants, a person agrees where that is needed. Whatever goes wrong is an answer that says so; the conversation goes on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final, TypeAlias, cast

import msgspec

from agents.llm.messages import Message, Speaker, ToolCall
from agents.loop.limits import Limits
from agents.prompt import fenced
from agents.tools.schema import plain_complaints
from agents.tools.tool import Arguments, Tool, ToolResult
from bus.tracing import tracing
from schemas import one_line, printable
from schemas.errors import MALFORMED

__all__ = ["Approve", "Called", "Caller", "shortened"]

Approve: TypeAlias = Callable[[Tool, Arguments], Awaitable[bool]]
"""Asks a person whether this may be done."""

ARGUMENTS_BYTES: Final = 256 * 1024
_DETAIL: Final = 1_000
"""Characters of an error."""
_GRACE_SECONDS: Final = 2.0
"""For a call that is cancelled and does not end. It is then left behind."""

log = logging.getLogger(__name__)


class Called(msgspec.Struct, frozen=True):
    """One call and what came of it."""

    call: ToolCall
    result: ToolResult

    @property
    def message(self) -> Message:
        """As the model is shown it."""
        said = fenced(self.result.text) if self.result.text else "(nothing)"
        text = f"It failed:\n{said}" if self.result.error else said
        return Message(Speaker.TOOL, text, answers=self.call.id)


class Caller:
    """Calls the tools of one conversation."""

    def __init__(self, tools: Sequence[Tool], limits: Limits, approve: Approve | None) -> None:
        self._tools: Mapping[str, Tool] = {tool.spec.name: tool for tool in tools}
        self._limits = limits
        self._approve = approve
        self.finished: dict[str, ToolResult] = {}
        """By the id of the call: what the calls of the last reply have come to so far."""

    async def all(self, calls: Sequence[ToolCall]) -> list[Called]:
        """In the order in which they were asked for; one that is not safe waits for those before it, and they for it.

        Their ids are unique.
        """
        self.finished = {}
        most = self._limits.calls_of_a_turn
        results: list[ToolResult] = []
        together: list[ToolCall] = []
        for call in calls[:most]:
            if self._is_safe(call):
                together.append(call)
                continue
            results += await self._together(together)
            together = []
            results.append(await self._one(call))
        results += await self._together(together)
        results += [ToolResult(f"not done: {len(calls)} calls at once, and {most} are the most", error=True)] * (
            len(calls) - len(results)
        )
        return [Called(call, result) for call, result in zip(calls, results, strict=True)]

    def _is_safe(self, call: ToolCall) -> bool:
        tool = self._tools.get(call.name)
        return tool is None or (tool.safe and not tool.risky)

    async def _together(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        slots = asyncio.Semaphore(self._limits.calls_at_once)

        async def one(call: ToolCall) -> ToolResult:
            async with slots:
                return await self._one(call)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(call)) for call in calls]
        return [task.result() for task in tasks]

    async def _one(self, call: ToolCall) -> ToolResult:
        with tracing.calling(f"execute_tool {self._known(call)}", self._attributes(call)) as span:
            answer = await self._answered(call)
            if span is not None and answer.error:
                span.fail("tool_error")
        # Shortened first: to look at each sign of millions would hold up everybody.
        result = ToolResult(
            printable(shortened(answer.text, self._limits.tool_characters)), answer.error, answer.replies
        )
        self.finished[call.id] = result
        return result

    def _known(self, call: ToolCall) -> str:
        """The tool's name; what a model has made up is no name of a span."""
        return call.name if call.name in self._tools else "unknown"

    def _attributes(self, call: ToolCall) -> Mapping[str, str]:
        """OpenTelemetry's names for generative AI."""
        return {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": self._known(call)}

    async def _answered(self, call: ToolCall) -> ToolResult:
        tool = self._tools.get(call.name)
        if tool is None:
            names = ", ".join(self._tools) or "none"
            return ToolResult(f"there is no tool {one_line(call.name, 80)!r}; there are: {names}", error=True)
        arguments, problem = _read(call.arguments)
        if problem:
            return ToolResult(problem, error=True)
        try:
            if wrong := plain_complaints(tool.spec.parameters, arguments):
                return ToolResult(f"the arguments are not as the tool wants them: {'; '.join(wrong)}", error=True)
            if tool.risky and not await self._agreed(tool, arguments):
                return ToolResult("nobody has agreed to this, so it was not done", error=True)
            return await self._timed(tool, arguments)
        except Exception as error:  # noqa: BLE001 - somebody else's code: its failure is the answer
            log.info("the tool %s failed: %s: %s", call.name, type(error).__name__, one_line(str(error)))
            return ToolResult(f"{type(error).__name__}: {str(error)[:_DETAIL]}", error=True)

    async def _agreed(self, tool: Tool, arguments: Arguments) -> bool:
        return self._approve is not None and await self._approve(tool, arguments)

    async def _timed(self, tool: Tool, arguments: Arguments) -> ToolResult:
        """What it answers, or that it took too long. One that does not let itself be cancelled is left behind."""
        work = asyncio.ensure_future(tool.call(arguments))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(_ended, work, tool.spec.name)
            done, _ = await asyncio.wait((work,), timeout=self._limits.tool_seconds)
            if done:
                return ToolResult("it broke off", error=True) if work.cancelled() else work.result()
        return ToolResult(f"it was stopped: it took longer than {self._limits.tool_seconds:g} s", error=True)


async def _ended(work: "asyncio.Future[ToolResult]", name: str) -> None:
    if work.done():
        return
    work.cancel()
    done, _ = await asyncio.wait((work,), timeout=_GRACE_SECONDS)
    if not done:
        log.error("the tool %s does not end when it is told to, and is left behind", name)
        work.add_done_callback(_heard)
    else:
        _heard(work)


def _heard(work: "asyncio.Future[ToolResult]") -> None:
    """Nobody wants to know what it came to."""
    if not work.cancelled():
        work.exception()


def _read(text: str) -> tuple[dict[str, object], str]:
    """What a model wrote as arguments, or what is wrong with it."""
    if not text.strip():
        return {}, ""
    if len(text) > ARGUMENTS_BYTES:
        return {}, f"the arguments have {len(text)} characters, and {ARGUMENTS_BYTES} are the most"
    try:
        arguments = msgspec.json.decode(text)
    except (*MALFORMED, UnicodeError) as error:
        return {}, f"the arguments are no JSON: {str(error)[:200]}"
    if not isinstance(arguments, dict):
        return {}, "the arguments are no JSON object"
    return cast("dict[str, object]", arguments), ""


def shortened(text: str, limit: int) -> str:
    """The text, or its beginning and end with a word of what is missing between them."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    return f"{text[:head]}\n… {len(text) - limit} characters left out …\n{text[len(text) - tail :]}"
