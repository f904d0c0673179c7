"""The read models of conversations and of what bridges did outside. Pure."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from conductor.projector.model import Model
from schemas import (
    Attachment,
    ChatRef,
    CommandReceived,
    EffectRecorded,
    IssueRef,
    MessageReceived,
    MessageSent,
    MessagesForgotten,
    Recorded,
)


class ChatRow(Struct, kw_only=True):
    """One message of a conversation, with where it came from."""

    platform: str
    conversation: str
    id: str
    """Of its event."""
    position: int
    at: datetime
    actor: str
    source: str
    """Who said it, more exactly than the actor."""
    author: str
    """Of a message to the rig; of one from it, who sent it."""
    text: str
    thread: str | None = None
    in_reply_to: str | None = None
    attachments: tuple[Attachment, ...] = ()


class EffectRow(Struct, kw_only=True):
    """What a bridge did outside for an issue, as it was recorded last."""

    issue: IssueRef
    effect: str
    key: str
    outcome: str
    url: str
    actor: str
    at: datetime


def _chat_said(said: Recorded) -> Iterable[str]:
    event, about = said.event.data, said.event.about
    if not isinstance(about, ChatRef):
        return ()
    ids = dict.fromkeys(event.messages) if isinstance(event, MessagesForgotten) else (said.event.id,)
    return [f"{about.platform}/{about.conversation}/{known_as}" for known_as in ids]


def fold_chat(_: str, row: ChatRow | None, said: Recorded) -> ChatRow | None:
    """A message is what it is: another under the same id is another fact, and takes its place."""
    event, about, author, text = said.event.data, said.event.about, said.event.source, ""
    thread: str | None = None
    match event:
        case MessageReceived():
            author, text, thread = event.author, event.text, event.thread
        case MessageSent():
            text, thread = event.message, event.thread
        case CommandReceived():
            author, text = event.by, " ".join((event.command, *event.arguments))
        case MessagesForgotten():
            return None
        case _:
            return row
    if not isinstance(about, ChatRef):
        return row
    return ChatRow(
        platform=about.platform,
        conversation=about.conversation,
        id=said.event.id,
        position=said.position,
        at=said.event.time,
        actor=said.event.actor,
        source=said.event.source,
        author=author,
        text=text,
        thread=thread,
        in_reply_to=event.in_reply_to if isinstance(event, MessageSent) else None,
        attachments=event.attachments if isinstance(event, MessageReceived) else (),
    )


def _effects_said(said: Recorded) -> Iterable[str]:
    match said.event.data:
        case EffectRecorded(effect=effect, key=key):
            return (f"{said.event.about}/{effect}/{key}",)
        case _:
            return ()


def fold_effect(_: str, row: EffectRow | None, said: Recorded) -> EffectRow | None:
    event, issue = said.event.data, said.event.about
    if not isinstance(event, EffectRecorded) or not isinstance(issue, IssueRef):
        return row
    return EffectRow(
        issue=issue,
        effect=event.effect,
        key=event.key,
        outcome=event.outcome,
        url=event.url,
        actor=said.event.actor,
        at=said.event.time,
    )


CHAT = Model("chat", ChatRow, _chat_said, fold_chat, (MessageReceived, MessageSent, CommandReceived, MessagesForgotten))
EFFECTS = Model("effects", EffectRow, _effects_said, fold_effect, (EffectRecorded,))
