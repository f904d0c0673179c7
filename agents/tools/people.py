"""Asking somebody who knows better: a person in the conversation, or a stronger model.

A person is asked by a message that stands in the log, and answers with the next one of theirs; nobody who answers in
time is an answer too. The same way a person is asked for leave before something risky is done.
"""

import asyncio
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Protocol

import msgspec

from agents.llm.messages import Message, Model, ModelError, Speaker, TaskKind, ToolSpec
from agents.prompt import fenced
from agents.tools.config import OwnTool
from agents.tools.tool import Arguments, Tool, ToolResult
from bus import Bus
from schemas import ChatRef, Draft, MessageReceived, MessageSent, Recorded, branch, event_id, one_line, printable

__all__ = ["AskAdvisor", "AskPerson", "Conversation", "Leave", "Person"]

_YES: Final = re.compile(r"\s*(?:yes|y|ok|okay|go|sure|approve|approved|do it|ja)\b[\s.!]*", re.IGNORECASE)
_SHOWN: Final = 1_500


class Person(Protocol):
    """Somebody who can be asked."""

    async def ask(self, question: str) -> str | None:
        """The answer in their words; None: there was none in time."""
        ...


class Conversation:
    """The people of a conversation in the log; a `Person`. One question at a time."""

    def __init__(
        self,
        bus: Bus,
        chat: ChatRef,
        *,
        key: str,
        thread: str | None = None,
        in_reply_to: str | None = None,
        only: Sequence[str] = (),
        patience_seconds: float = 240.0,
    ) -> None:
        self._bus = bus
        self._chat = chat
        self._key = key
        self._thread = thread
        self._in_reply_to = in_reply_to
        self._only = frozenset(only)
        """Authors whose answer counts; none: anybody's, for whoever may write there."""
        self._patience = patience_seconds
        self._asked = 0
        self._turn = asyncio.Lock()
        self.answers: list[str] = []
        """Ids of the messages that were answers: nobody else need answer them."""

    async def ask(self, question: str) -> str | None:
        """Says it, and waits for the next message of a person. Raises BusError when it cannot be said."""
        async with self._turn:
            self._asked += 1
            sent = MessageSent(message=question, thread=self._thread, in_reply_to=self._in_reply_to)
            draft = Draft(about=self._chat, data=sent, cause=self._in_reply_to)
            # By its words: after a crash the first question may be another, and the answer to the old is none to it.
            words = sha256(question.encode()).hexdigest()
            said = event_id(self._bus.log.actor, self._key, "question", self._asked, words)
            position = await self._bus.log.publish(draft, said)
            try:
                async with asyncio.timeout(self._patience):
                    return await self._heard(position)
            except TimeoutError:
                return None

    async def _heard(self, after: int) -> str:
        subject = f"{branch(self._chat)}.*.{MessageReceived.name()}"
        async with self._bus.log.follow([subject], after=after) as reader:
            async for item in reader:
                said = item.event.data if isinstance(item, Recorded) else None
                if not isinstance(item, Recorded) or not isinstance(said, MessageReceived):
                    continue
                if said.thread == self._thread and (not self._only or said.author in self._only):
                    self.answers.append(item.event.id)
                    return said.text
        raise AssertionError("a log is followed for ever")


class AskPerson:
    """Asks a person; a `Tool`."""

    safe = False
    risky = False

    def __init__(self, person: Person) -> None:
        self._person = person
        self.spec = ToolSpec(
            OwnTool.ASK_PERSON.value,
            "Asks the person you talk with, and waits for the answer. Only for what nobody but a person can decide.",
            _one("question"),
        )

    async def call(self, arguments: Arguments) -> ToolResult:
        """Waits as long as the person is given."""
        answer = await self._person.ask(printable(str(arguments["question"])))
        return ToolResult("nobody has answered", error=True) if answer is None else ToolResult(answer)


class AskAdvisor:
    """Asks a stronger model; a `Tool`."""

    safe = True
    risky = False

    def __init__(self, model: Model) -> None:
        self._model = model
        self.spec = ToolSpec(
            OwnTool.ASK_ADVISOR.value,
            "Asks a stronger model for advice. It knows nothing of this conversation: say all that it needs.",
            _one("question"),
        )

    async def call(self, arguments: Arguments) -> ToolResult:
        """Its advice; it has no tools."""
        asked = [
            Message(
                Speaker.SYSTEM, "A colleague asks for your advice. Be brief and exact; say what you are not sure of."
            ),
            Message(Speaker.USER, str(arguments["question"])),
        ]
        try:
            reply = await self._model.chat(asked, task=TaskKind.ADVICE)
        except ModelError as error:
            return ToolResult(f"there is no advice: {error}", error=True)
        return ToolResult(reply.message.text or "(it says nothing)", replies=(reply,))


class Leave:
    """Asks a person before anything risky is done, who agrees in plain words or not at all; the loop's `Approve`."""

    def __init__(self, person: Person) -> None:
        self._person = person

    async def __call__(self, tool: Tool, arguments: Arguments) -> bool:
        shown = msgspec.json.format(msgspec.json.encode(arguments), indent=2).decode()
        question = f"May I do this? `{one_line(tool.spec.name, 64)}` with\n{fenced(printable(shown)[:_SHOWN])}"
        if len(shown) > _SHOWN:  # nobody agrees to what they cannot see
            return False
        answer = await self._person.ask(f"{question}\nAnswer yes or no.")
        return answer is not None and _YES.fullmatch(answer) is not None


def _one(name: str) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {name: {"type": "string", "minLength": 1, "maxLength": 20_000}},
        "required": [name],
        "additionalProperties": False,
    }
