"""`rig chat …` on real servers: conversations asked of the read side, messages forgotten in the log and so there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import pytest

from bridges.terminal.session import person
from bus import Bus
from conductor.answers import ANSWER_BYTES
from conductor.postgres import connect as open_session
from conductor.projector.verify import verify
from conductor.query import run_query
from deploy.embedded.nats import NatsServer
from machine.lifecycle import Lifecycle
from schemas import (
    Actor,
    Attachment,
    ChatRef,
    CommandReceived,
    Draft,
    Event,
    MessageReceived,
    MessageSent,
    MessagesForgotten,
)
from tests.support.readside import projecting, reached
from tests.support.terminal import Terminal
from tests.support.waiting import until

Connect = Callable[..., Awaitable[Bus]]

GENERAL, ADA = ChatRef("discord", "general"), ChatRef("slack", "@ada/1")


class Platforms:
    """What people and agents say there: each word is projected when it returns."""

    def __init__(self, discord: Bus, slack: Bus, agent: Bus, url: str) -> None:
        self.discord, self.slack, self.agent = discord, slack, agent
        self.url = url
        self._numbers = count(1)

    async def say(self, bus: Bus, about: ChatRef, event: Event) -> str:
        """Its id."""
        known_as = f"m{next(self._numbers)}"
        await reached(self.url, await bus.log.publish(Draft(about=about, data=event), known_as))
        return known_as


@pytest.fixture
async def platforms(connect: Connect, postgres_url: str) -> AsyncIterator[Platforms]:
    life = Lifecycle()
    life.running = True
    buses = [await connect(Actor.DISCORD), await connect(Actor.SLACK), await connect(Actor.DEV_E, "dev-e/dev-e-1")]
    async with projecting(await connect(Actor.PROJECTOR), postgres_url):
        work = asyncio.create_task(run_query(await connect(Actor.CONDUCTOR, "query"), life, postgres_url))
        await until(lambda: life.is_ready)
        yield Platforms(*buses, postgres_url)
        life.stop.set()
        await work


@pytest.fixture
def rig(nats: NatsServer) -> Terminal:
    return Terminal(nats)


def received(text: str, author: str = "ada") -> MessageReceived:
    return MessageReceived(author=author, text=text)


async def test_conversations_are_listed_with_how_much_and_by_whom(platforms: Platforms, rig: Terminal) -> None:
    assert (await rig("chat", "list")).out == "no conversations\n"
    await platforms.say(platforms.discord, GENERAL, received("one"))
    await platforms.say(platforms.discord, GENERAL, received("two", "zoe \x9b"))
    await platforms.say(platforms.slack, ADA, received("three"))
    await platforms.say(platforms.agent, GENERAL, MessageSent(message="four"))
    found = (await rig("chat", "list", "--json")).json()
    assert [
        (one["platform"], one["conversation"], one["messages"], one["position"], one["authors"])
        for one in found["conversations"]
    ] == [
        ("discord", "general", 3, 4, ["ada", "dev-e/dev-e-1", "zoe \x9b"]),
        ("slack", "@ada/1", 1, 3, ["ada"]),
    ]
    table = (await rig("chat", "list", "--limit", "1")).out.splitlines()
    assert table[1].split()[:2] == ["discord/general", "3"]
    assert table[1].endswith("ada, dev-e/dev-e-1, zoe")
    assert table[2:] == ["… and more: --after 4"]
    rest = (await rig("chat", "list", "--after", "4")).out.splitlines()
    assert [line.split()[0] for line in rest] == ["CONVERSATION", "slack/@ada/1"]
    of_slack = (await rig("chat", "list", "--platform", "slack", "--json")).json()["conversations"]
    assert [one["conversation"] for one in of_slack] == ["@ada/1"]
    for number in range(21):
        await platforms.say(platforms.slack, ADA, received("x", f"a{number:02}"))
    (crowd,) = (await rig("chat", "list", "--limit", "1", "--json")).json()["conversations"]
    assert (len(crowd["authors"]), crowd["more_authors"]) == (20, True)


async def test_messages_are_shown_with_their_source_the_newest_last(platforms: Platforms, rig: Terminal) -> None:
    file = Attachment(name="log.txt", url="https://example.com/log", bytes=12)
    asked = MessageReceived(author="ada", text="Why \x1b[31m?\nTell me.", thread="t1", attachments=(file,))
    await platforms.say(platforms.discord, GENERAL, asked)
    await platforms.say(platforms.agent, GENERAL, MessageSent(message="Because.", in_reply_to="m1"))
    await platforms.say(platforms.discord, GENERAL, CommandReceived(command="status", arguments=("now",), by="ada"))
    shown = await rig("chat", "show", "discord/general")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines()[0].endswith("  ada (by discord)  thread t1  id m1")
    assert [line.strip() for line in shown.out.splitlines() if line.startswith("        ")] == [
        "Why [31m?",
        "Tell me.",
        "[log.txt, 12 bytes, https://example.com/log]",
        "Because.",
        "status now",
    ]
    assert "dev-e/dev-e-1  answers m1  id m2" in shown.out
    page = (await rig("chat", "show", "discord/general", "--limit", "2", "--json")).json()
    assert [(one["id"], one["source"]) for one in page["messages"]] == [("m2", "dev-e/dev-e-1"), ("m3", "discord")]
    assert page["earlier"] == 2
    earlier = (await rig("chat", "show", "discord/general", "--limit", "2", "--before", "2", "--json")).json()
    assert ([one["id"] for one in earlier["messages"]], earlier["earlier"]) == (["m1"], None)
    assert (await rig("chat", "show", "discord/general", "--limit", "1")).out.startswith("… and earlier: --before 3\n")


async def test_a_page_of_long_messages_fits_an_answer(platforms: Platforms, rig: Terminal) -> None:
    size = 60_000
    for number in range(14):
        await platforms.say(platforms.discord, GENERAL, received(f"{number}" + "x" * size))
    page = (await rig("chat", "show", "discord/general", "--json")).json()
    assert len(page["messages"]) == ANSWER_BYTES // size
    assert page["messages"][-1]["text"].startswith("13x")
    rest = await rig("chat", "show", "discord/general", "--before", str(page["earlier"]), "--json")
    assert [one["id"] for one in rest.json()["messages"] + page["messages"]] == [f"m{n}" for n in range(1, 15)]


async def test_what_is_forgotten_is_not_shown_any_more_and_what_comes_later_is(
    platforms: Platforms, rig: Terminal, connect: Connect
) -> None:
    cli = await connect(Actor.CLI)
    for text in ("one", "two", "three"):
        await platforms.say(platforms.discord, GENERAL, received(text))
    await platforms.say(platforms.slack, ADA, received("elsewhere"))

    async def standing() -> list[str]:
        last = await cli.log.last()
        assert last is not None
        await reached(platforms.url, last.position)
        shown = await rig("chat", "show", "discord/general", "--json")
        return [one["text"] for one in shown.json()["messages"]] if shown.code == 0 else []

    for already in (None, True):
        (said,) = (await rig("chat", "forget", "discord/general", "--message", "m2", "--json")).json()["forgotten"]
        assert (said["position"], said.get("already")) == (5, already)
    assert await standing() == ["one", "three"]
    said = await rig("chat", "forget", "discord/general", "--all", "--by", "the law")
    assert said.out == "discord:general: 2 messages forgotten, says the law (position 6)\n"
    assert await standing() == []
    assert (await rig("chat", "forget", "discord/general", "--all")).out == "there are no messages in discord/general\n"
    await platforms.say(platforms.discord, GENERAL, received("later"))
    assert await standing() == ["later"]
    assert [one["conversation"] for one in (await rig("chat", "list", "--json")).json()["conversations"]] == [
        "general",
        "@ada/1",
    ]
    words = [said.event.data for said in await cli.log.history(["rig.chat.*.*.cli.messages_forgotten"])]
    assert words == [
        MessagesForgotten(messages=("m2",), by=person()),
        MessagesForgotten(messages=("m1", "m3"), by="the law"),
    ]
    session = await open_session(platforms.url, name="test")
    assert (await verify(cli, session, lambda *_: None)).differs == {}
    await session.close()


async def test_what_does_not_work_is_said(platforms: Platforms, rig: Terminal) -> None:
    await platforms.say(platforms.discord, GENERAL, received("one"))
    for typed, code, said in (
        (("show", "discord/other"), 1, "rig: there is no conversation discord/other (as of position 1 of the log)\n"),
        (("forget", "discord/general"), 2, "rig: forget what? give --message ID, or --all for every message"),
        (("forget", "discord/general", "--all", "--message", "m1"), 2, "rig: forget what?"),
        (("forget", "discord/general", "--message", "m9"), 1, "rig: there is no message 'm9' in discord/general; `rig"),
        (("forget", "discord/general", "--all", "--by", " "), 2, "rig: MessagesForgotten: by: expected one line"),
        (("show", "discord"), 2, "rig: 'discord' is no conversation: write PLATFORM/CONVERSATION"),
        (("show", "dis cord/x"), 2, "rig: 'dis cord/x' is no conversation"),
        (("forget", "discord/", "--all"), 2, "rig: 'discord/' is no conversation"),
        (("list", "--platform", "dis cord"), 2, "rig: chat: platform: expected a name"),
    ):
        refused = await rig("chat", *typed)
        assert (refused.code, refused.out) == (code, ""), typed
        assert refused.err.startswith(said), refused.err
