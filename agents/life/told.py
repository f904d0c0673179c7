"""What an agent is told when it wakes, and where its answer will be read. Pure.

Whatever others wrote (an event, a message, a request from outside) stands in a fence; what the operator wrote in the
character, or typed at the terminal, does not.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from agents.character.character import Character
from agents.life.schedule import is_due
from agents.life.triggers import addressed, fits
from agents.life.wakes import Wake
from agents.llm.messages import Message, Speaker
from agents.loop.setting import said_by
from agents.prompt import fenced
from schemas import (
    ChatRef,
    CommandReceived,
    MessageReceived,
    MessageSent,
    MessagesForgotten,
    Recorded,
    WokenBy,
    one_line,
    printable,
)

__all__ = ["Told", "earlier", "told", "wakes_for"]

EVENT_CHARACTERS = 20_000
LOG = "the log of the rig"
EARLIER = 40
"""Messages of a conversation that are shown again."""


class Told(Struct, frozen=True, kw_only=True):
    """What it is told."""

    text: str
    channel: str = LOG
    """Where the answer is read."""
    message: Recorded | None = None
    """The message that it answers."""
    reports_to: ChatRef | None = None
    """Where people are to read what it says, though none of them has asked."""

    @property
    def chat(self) -> ChatRef | None:
        """The conversation that it answers in."""
        about = None if self.message is None else self.message.event.about
        return about if isinstance(about, ChatRef) else None

    @property
    def received(self) -> MessageReceived | None:
        """What was said there."""
        said = None if self.message is None else self.message.event.data
        return said if isinstance(said, MessageReceived) else None


def wakes_for(character: Character, recorded: Recorded) -> WokenBy | None:
    """Whether it wakes for an event of the log, and as what."""
    if isinstance(recorded.event.data, MessageReceived):
        return WokenBy.MESSAGE if addressed(character.name, character.messaging, recorded) else None
    return WokenBy.EVENT if any(fits(trigger, recorded.event.data) for trigger in character.triggers) else None


def told(character: Character, wake: Wake, cause: Recorded | None) -> Told | None:
    """What a wake means to the character as it is now; None: nothing any more. `cause`: the event or message."""
    match wake.by:
        case WokenBy.SCHEDULE:
            schedule = next((each for each in character.cron if each.name == wake.key), None)
            if schedule is None or wake.due is None or not is_due(schedule, wake.due):  # it is for other times now
                return None
            return _unasked(character, f"{schedule.text}\n\nThis was due at {wake.due}.")
        case WokenBy.PERSON:
            return Told(text=wake.text, channel="a terminal")
        case WokenBy.WEBHOOK:
            hook = next((each for each in character.webhooks if each.name == wake.key.partition(":")[0]), None)
            if hook is None:
                return None
            return _unasked(character, f"{hook.text}\n\nThis was sent to you:\n{fenced(wake.text)}")
        case WokenBy.EVENT:
            trigger = next((each for each in character.triggers if cause and fits(each, cause.event.data)), None)
            return None if trigger is None or cause is None else _unasked(character, _event(trigger.text, cause))
        case WokenBy.MESSAGE:
            said = None if cause is None else cause.event.data
            if cause is None or not isinstance(said, MessageReceived):
                return None
            return Told(
                text=said_by(said.author, said.text), channel=f"the conversation {cause.event.about}", message=cause
            )


def _unasked(character: Character, text: str) -> Told:
    """Nobody talks with it."""
    where = character.messaging.reports_to
    return Told(text=text) if where is None else Told(text=text, channel=f"the conversation {where}", reports_to=where)


def _event(text: str, cause: Recorded) -> str:
    event = cause.event
    data = msgspec.json.format(msgspec.json.encode(event.data), indent=1).decode()
    said = f"{event.type} about {event.about}, at position {cause.position}, {event.time:%F %T} UTC:\n{data}"
    return f"{text}\n\nThis has happened:\n{fenced(printable(said)[:EVENT_CHARACTERS])}".strip()


def earlier(events: Iterable[Recorded], until: Recorded) -> tuple[Message, ...]:
    """What was said before a message in its conversation and thread, but for what was forgotten."""
    message = until.event.data
    thread = message.thread if isinstance(message, MessageReceived) else None
    found: dict[str, Message] = {}
    for recorded in events:
        if recorded.position >= until.position:
            break
        match recorded.event.data:
            case MessageReceived(author=author, text=text, thread=where) if where == thread:
                found[recorded.event.id] = Message(Speaker.USER, said_by(author, text))
            case MessageSent(message=text, thread=where) if where == thread:
                found[recorded.event.id] = Message(Speaker.ASSISTANT, text)
            case CommandReceived(by=by, command=command, arguments=arguments) if thread is None:
                given = " ".join((command, *arguments))
                found[recorded.event.id] = Message(Speaker.USER, said_by(by, f"(gives the command: {given})"))
            case MessagesForgotten(messages=gone):
                for each in gone:
                    found.pop(each, None)
            case _:
                pass
    return tuple(found.values())[-EARLIER:]


def line(recorded: Recorded, words: str) -> str:
    """What the log says of why it was woken."""
    return one_line(f"{recorded.event.about}: {words}")
