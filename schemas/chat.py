"""Events about a conversation on a chat platform."""

from msgspec import Struct

from schemas.event import ChatEvent
from schemas.fields import Line, Text
from schemas.refs import Name


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


class MessageSent(ChatEvent, frozen=True, kw_only=True):
    """What an agent answers; the platform's bridge delivers it."""

    message: Text
    thread: Line | None = None
    in_reply_to: Line | None = None
    """Id of the event that it answers."""


class CommandReceived(ChatEvent, frozen=True, kw_only=True):
    """Somebody who may has given a command; what follows from it is said as events of its own."""

    command: Name
    arguments: tuple[Line, ...] = ()
    by: Line
