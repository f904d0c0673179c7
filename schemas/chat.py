"""Events about a conversation on a chat platform."""

from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from schemas.event import ChatEvent
from schemas.fields import Line, Text
from schemas.offers import OFFERS_MAX, Offer
from schemas.refs import Name

FORGOTTEN_MAX: Final = 500
"""Messages that one event forgets; more need several."""
EventId: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=300, pattern=r"\A[!-~]+\Z", description="the id of an event")
]


class Attachment(Struct, frozen=True, kw_only=True):
    """A file that came with a message."""

    name: Line
    url: str
    bytes: int


class MessageReceived(ChatEvent, frozen=True, kw_only=True):
    """Somebody who may has written to the rig."""

    author: Line
    roles: tuple[Line, ...] = ()
    text: Text
    thread: Line | None = None
    attachments: tuple[Attachment, ...] = ()
    to: Name | None = None
    """The agent that is spoken to. None: whoever answers there."""


class MessageSent(ChatEvent, frozen=True, kw_only=True):
    """What an agent answers; the platform's bridge delivers it."""

    message: Text
    thread: Line | None = None
    in_reply_to: Line | None = None
    """Id of the event that it answers."""
    offers: Annotated[tuple[Offer, ...], Meta(max_length=OFFERS_MAX)] = ()
    """Commands that it proposes. Nothing comes of one until a person gives it, in their own name."""


class CommandReceived(ChatEvent, frozen=True, kw_only=True):
    """Somebody who may has given a command; what follows from it is said as events of its own."""

    command: Name
    arguments: tuple[Line, ...] = ()
    by: Line


class MessagesForgotten(ChatEvent, frozen=True, kw_only=True):
    """These messages are neither shown nor found any more. The log still holds what was said."""

    messages: Annotated[tuple[EventId, ...], Meta(min_length=1, max_length=FORGOTTEN_MAX)]
    """Ids of the events that said them; what comes later stays."""
    by: Line
