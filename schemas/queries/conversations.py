"""Conversations on chat platforms."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from schemas.chat import Attachment
from schemas.queries.paging import Position
from schemas.refs import Name

CONVERSATIONS_MAX = 100
"""Conversations in one answer."""
AUTHORS_MAX = 20
"""Names in the line of one conversation."""
MESSAGES_MAX = 200
"""Messages in one answer; fewer where they are long."""


class ConversationsRequest(Struct, frozen=True, kw_only=True):
    """Conversations on chat platforms, those with the newest message first, a page at a time."""

    platform: Name | None = None
    after: Position = 0
    """`next` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=CONVERSATIONS_MAX)] = 20
    wait_for: Position | None = None


class ConversationLine(Struct, frozen=True, kw_only=True):
    """One conversation, as far as its messages are not forgotten."""

    platform: str
    conversation: str
    messages: int
    first: datetime
    last: datetime
    """Of the first and last message in the log, by the clock of who said it."""
    position: int
    """Of the last message in the log."""
    authors: tuple[str, ...]
    """Who wrote in it, by name; at most AUTHORS_MAX of them."""
    more_authors: bool


class Conversations(Struct, frozen=True, kw_only=True):
    """One page."""

    position: int
    conversations: tuple[ConversationLine, ...]
    next: int | None
    """Ask again with `after` set to this; None: that was all."""


class MessagesRequest(Struct, frozen=True, kw_only=True):
    """Messages of one conversation: its newest, or those before a position; forgotten ones are not among them."""

    platform: Name
    conversation: Annotated[str, Meta(min_length=1, max_length=100)]
    before: Annotated[int, Meta(ge=1)] | None = None
    """`earlier` of the page with those that came later."""
    limit: Annotated[int, Meta(ge=1, le=MESSAGES_MAX)] = 50
    wait_for: Position | None = None


class MessageLine(Struct, frozen=True, kw_only=True):
    """One message, with who said it and where."""

    id: str
    """Of its event: it is forgotten by this."""
    position: int
    """Where the log says it."""
    at: datetime
    actor: str
    source: str
    """Who put it into the log, more exactly than the actor."""
    author: str
    """Of a message to the rig; of one from it, who sent it."""
    text: str
    thread: str | None
    in_reply_to: str | None
    """Id of the event that it answers."""
    attachments: tuple[Attachment, ...]


class Messages(Struct, frozen=True, kw_only=True):
    """One page, the newest last."""

    position: int
    messages: tuple[MessageLine, ...]
    earlier: int | None
    """Ask again with `before` set to this; None: these are the first."""
