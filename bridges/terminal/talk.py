"""`rig chat NAME`: talk with an agent, without any chat platform. What is said and answered stands in the log.

Whoever holds the agent answers, on whichever machine. A line is a message; an end of input ends it. Commands that it
offers are shown; who sits at the terminal is asked about each, and nobody else is: no line of a pipe agrees to one, and
nobody agrees to what goes into a file or a pipe, where they may not see it.
"""

import asyncio
import secrets
import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from bridges.terminal import offered
from bridges.terminal.errors import BadInput, Failed
from bridges.terminal.output import say, say_json
from bridges.terminal.session import person, reported, run
from bridges.terminal.views import Json
from schemas import (
    Actor,
    ChatRef,
    Draft,
    Invalid,
    MessageReceived,
    MessageSent,
    Offer,
    Recorded,
    branch,
    build,
    printable,
    spelt_offer,
)

if TYPE_CHECKING:
    from bus import Bus

PLATFORM = "terminal"
LEASE = "agent/{name}"
"""Of who holds an agent, as agents/life has it."""


class Shown(Struct, frozen=True, kw_only=True):
    """A command that was offered."""

    line: str
    """As it is typed."""
    offer: Offer


class Said(Struct, frozen=True, kw_only=True):
    """One answer."""

    agent: str
    answer: str
    position: int
    id: str
    offers: tuple[Shown, ...] = ()
    """None of them is done."""


def with_(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The agent, as `rig agent list` names it.")],
    *,
    message: Annotated[
        str | None, typer.Option("--message", "-m", metavar="TEXT", help="Say this, show the answer, and end.")
    ] = None,
    wait_seconds: Annotated[float, typer.Option(min=1, help="How long an answer may take.")] = 600.0,
    json: Json = False,
) -> None:
    """Talk with an agent."""
    with reported():
        chat = ChatRef(PLATFORM, f"{person()[:60]}-{secrets.token_hex(4)}")
        for number, text in enumerate([message] if message is not None else _lines(), 1):
            if not text.strip():
                continue
            try:
                said = build(MessageReceived, {"author": person(), "text": text, "to": name})
            except Invalid as error:
                raise BadInput.of("chat", error.problems) from None

            async def ask(bus: "Bus", said: MessageReceived = said, number: int = number) -> Said:
                return await _asked(bus, chat, said, f"{chat.conversation}-{number}", wait_seconds)

            answer = run(context, ask)
            if json:
                say_json(answer)
                continue
            say([printable(answer.answer), ""])
            for shown in answer.offers:
                _offer(context, chat, answer, shown, ask=message is None and _somebody_looks())


def _lines() -> "list[str] | _Typed":
    return _Typed() if sys.stdin.isatty() else sys.stdin.read().splitlines()


def _somebody_looks() -> bool:
    """Whether who types here sees what is shown."""
    return sys.stdin.isatty() and sys.stdout.isatty()


class _Typed:
    """Lines of somebody at a terminal."""

    def __iter__(self) -> "_Typed":
        return self

    def __next__(self) -> str:
        try:
            return input("> ")
        except EOFError:
            raise StopIteration from None


def _offer(context: typer.Context, chat: ChatRef, answer: Said, shown: Shown, *, ask: bool) -> None:
    """Shows one, and gives it when somebody who is there says yes. What becomes of it is said, and ends nothing."""
    if not ask:
        say([f"It offers: {shown.line}", ""])
        return
    termios.tcflush(sys.stdin, termios.TCIFLUSH)  # what was typed before it was shown agrees to nothing
    try:
        agreed = input(f"{shown.line} — do it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        agreed = False
    if not agreed:
        say(["not done", ""])
        return
    with suppress(typer.Exit), reported():
        say([str(run(context, lambda bus: offered.give(bus, chat, answer.id, shown.offer))), ""])


async def _asked(bus: "Bus", chat: ChatRef, said: MessageReceived, key: str, wait_seconds: float) -> Said:
    """Says it and waits for the next word of the agent, which may be a question."""
    name = said.to or ""
    if await bus.leases.look(LEASE.format(name=name), role=Actor.AGENT) is None:
        raise Failed(f"nobody is {name} now; `rig up --agent {name}` runs it, or `RIG_CHARACTER={name} rig run agent`")
    position = await bus.log.publish(Draft(about=chat, data=said), f"cli:{key}")
    subject = f"{branch(chat)}.{Actor.AGENT.value}.{MessageSent.name()}"
    try:
        async with asyncio.timeout(wait_seconds), bus.log.follow([subject], after=position) as reader:
            async for item in reader:
                if isinstance(item, Recorded) and isinstance(item.event.data, MessageSent):
                    return _said(name, item, item.event.data)
    except TimeoutError:
        look = f"rig chat show {PLATFORM}/{chat.conversation}"
        raise Failed(f"{name} has not answered within {wait_seconds:g} s; it may still: `{look}`") from None
    raise Failed("the log has ended")


def _said(name: str, item: Recorded, sent: MessageSent) -> Said:
    shown = tuple(Shown(line=spelt_offer(offer), offer=offer) for offer in offered.sound(sent))
    return Said(agent=name, answer=sent.message, position=item.position, id=item.event.id, offers=shown)
