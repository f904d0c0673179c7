"""`rig chat list`, `show`, `forget`: conversations, asked of the read side; to forget them is said to the log."""

from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from bridges.terminal import chats, reading, spoken
from bridges.terminal.errors import BadInput
from bridges.terminal.memories import Forgot
from bridges.terminal.output import say, say_json
from bridges.terminal.session import person, reported, run
from bridges.terminal.spoken import Spoken, wish
from bridges.terminal.views import Json
from schemas import (
    CONVERSATIONS_MAX,
    MESSAGES_MAX,
    ChatRef,
    CommandReceived,
    Conversations,
    ConversationsRequest,
    Invalid,
    MessageReceived,
    Messages,
    MessageSent,
    MessagesForgotten,
    MessagesRequest,
    branch,
    build,
)

if TYPE_CHECKING:
    from bus import Bus


class ChatGroup(TyperGroup):
    """A group whose first word may be an agent instead of a command: `rig chat conductor-e`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride] - typer.Context is its context
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["with", *args]
        return super().parse_args(ctx, args)


Conversation = Annotated[str, typer.Argument(metavar="PLATFORM/CONVERSATION", help="As `rig chat list` shows it.")]


def list_(
    context: typer.Context,
    *,
    platform: Annotated[str | None, typer.Option(help="Only of this one, like discord.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Go on behind an earlier answer.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=CONVERSATIONS_MAX, help="At most so many.")] = 20,
    json: Json = False,
) -> None:
    """The conversations, those with the newest message first: how many messages, from when to when, and by whom."""
    with reported():
        try:
            request = build(ConversationsRequest, {"platform": platform, "after": after, "limit": limit})
        except Invalid as error:
            raise BadInput.of("chat", error.problems) from None
        answer = run(context, lambda bus: bus.services.ask("query", "conversations", request, Conversations))
        say_json(answer) if json else say(chats.listed(answer))


def show_(
    context: typer.Context,
    conversation: Conversation,
    *,
    before: Annotated[int | None, typer.Option(min=1, help="Go on before an earlier answer.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MESSAGES_MAX, help="At most so many.")] = 50,
    json: Json = False,
) -> None:
    """The newest messages of a conversation, the newest last: who wrote each, who put it into the log, and where."""
    with reported():
        ref = chats.conversation(conversation)
        request = MessagesRequest(platform=ref.platform, conversation=ref.conversation, before=before, limit=limit)
        answer = run(context, lambda bus: bus.services.ask("query", "messages", request, Messages))
        say_json(answer) if json else say(chats.shown(answer))


def forget(
    context: typer.Context,
    conversation: Conversation,
    *,
    message: Annotated[
        list[str] | None, typer.Option("--message", metavar="ID", help="This message; may be given again.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every message that there is by now.")] = False,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who wishes it: you, unless given.")] = None,
    json: Json = False,
) -> None:
    """Forget messages: the read side neither shows nor finds them any more. What is said later stays.

    The log keeps every fact for ever: they still stand there (`rig tail`), and `rig at` shows the rig as it was before.
    """
    with reported():
        ref = chats.conversation(conversation)
        if (not message) == (not all_):
            raise BadInput("forget what? give --message ID, or --all for every message of that conversation")
        if problems := reading.unspeakable({"--message": message}):
            raise BadInput.of("chat", problems)
        speaker = person() if by is None else by
        wish(MessagesForgotten, messages=("-",), by=speaker)
        forgotten = run(context, lambda bus: _forget(bus, ref, message or None, speaker))
        if json:
            say_json(Forgot(forgotten=forgotten))
        else:
            say(map(str, forgotten) if forgotten else [f"there are no messages in {chats.spelt(ref)}"])


async def _forget(bus: "Bus", ref: ChatRef, messages: list[str] | None, by: str) -> list[Spoken]:
    kinds = (MessageReceived, MessageSent, CommandReceived, MessagesForgotten)
    told = chats.told(await bus.log.history([f"{branch(ref)}.*.{kind.name()}" for kind in kinds]))
    before = {told.forgotten[one].position: told.forgotten[one] for one in messages or () if one in told.forgotten}
    return [spoken.before(said) for said in before.values()] + [
        await spoken.say(
            bus,
            ref,
            wish(MessagesForgotten, messages=ids, by=by),
            str(told.standing[ids[-1]].position),
        )
        for ids in chats.to_forget(ref, told, messages)
    ]
