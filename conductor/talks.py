"""Conversations on chat platforms: the query service's answers about which there are, and what was said in them."""

from datetime import datetime

import msgspec
from msgspec import Struct

from bus import Refused
from conductor.answers import fitting
from conductor.postgres import Session
from conductor.projector.store import clean
from conductor.projector.talk import ChatRow
from schemas import (
    AUTHORS_MAX,
    ConversationLine,
    Conversations,
    ConversationsRequest,
    MessageLine,
    Messages,
    MessagesRequest,
)


class _Row(Struct):
    row: str


class _Talk(Struct):
    """A conversation."""

    platform: str
    conversation: str
    messages: int
    first: datetime
    last: datetime
    position: int
    authors: list[str]


async def conversations(session: Session, position: int, request: ConversationsRequest) -> Conversations:
    """One page, those with the newest message first."""
    wanted = (request.platform, request.after or None, request.limit + 1, AUTHORS_MAX + 1)
    found = await session.rows("list_conversations", _Talk, *wanted)
    page = found[: request.limit]
    return Conversations(
        position=position,
        conversations=tuple(map(_conversation, page)),
        next=page[-1].position if len(found) > len(page) else None,
    )


async def messages(session: Session, position: int, request: MessagesRequest) -> Messages:
    """One page of a conversation, the newest last; refused where there is none."""
    talk = f"{request.platform}/{request.conversation}"
    found = await session.rows("messages_of", _Row, clean(talk), request.before, request.limit + 1)
    if not found and request.before is None:
        raise Refused(f"there is no conversation {talk} (as of position {position} of the log)")
    page = fitting([_message(one) for one in found[: request.limit]])
    return Messages(
        position=position,
        messages=tuple(reversed(page)),
        earlier=page[-1].position if len(found) > len(page) else None,
    )


def _conversation(talk: _Talk) -> ConversationLine:
    return ConversationLine(
        platform=talk.platform,
        conversation=talk.conversation,
        messages=talk.messages,
        first=talk.first,
        last=talk.last,
        position=talk.position,
        authors=tuple(talk.authors[:AUTHORS_MAX]),
        more_authors=len(talk.authors) > AUTHORS_MAX,
    )


def _message(found: _Row) -> MessageLine:
    row = msgspec.json.decode(found.row, type=ChatRow)
    return MessageLine(**{name: getattr(row, name) for name in MessageLine.__struct_fields__})
