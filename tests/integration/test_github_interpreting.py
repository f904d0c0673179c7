"""The subscriber on the inbox: it waits for what it says itself, and a restart knows what led to nothing."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import cast

import pytest

from bridges.github.api import GitHub
from bridges.github.errors import Away
from bridges.github.interpreting import Interpreter, Note
from bridges.github.journal import FILTERS, Journal
from bus import Bus
from bus.outcomes import MAX_ATTEMPTS
from schemas import FLEET, Actor, BudgetRaised, Draft, Forge, RepoRef, RepositoryAdded
from tests.conftest import Connect
from tests.support.forge import until
from tests.support.github_payloads import body, comment, issue, issues
from tests.support.translated import ISSUE, WEB


class Anybody:
    """An API at which everybody may write."""

    async def permission(self, repository: RepoRef, login: str) -> str:
        return "write" if (repository, login) == (WEB, "bob") else "none"


class Absent(Anybody):
    """One that is away at first, for longer than a message has tries."""

    def __init__(self) -> None:
        self.left = 2 * MAX_ATTEMPTS

    async def permission(self, repository: RepoRef, login: str) -> str:
        if self.left:
            self.left -= 1
            raise Away("GET permission", "GitHub is not well", sure=False, status=502)
        return await super().permission(repository, login)


@asynccontextmanager
async def interpreting(bus: Bus, api: Anybody | None = None) -> AsyncGenerator[Journal]:
    """A bridge that only translates, from its start to its end."""
    journal, stop, ready = Journal(bus), asyncio.Event(), asyncio.Event()

    async def read() -> None:
        async with bus.log.follow(FILTERS) as reader:
            while True:
                if reader.caught_up:
                    ready.set()
                journal.fold(await reader.next())
                await journal.advance()

    reading = asyncio.create_task(read())
    await ready.wait()
    interpreter = Interpreter(bus, cast("GitHub", api or Anybody()), journal, lambda _: None)
    working = asyncio.create_task(interpreter.work(stop))
    yield journal
    stop.set()
    await working
    reading.cancel()


async def test_what_led_to_nothing_is_known_after_a_restart_too(connect: Connect) -> None:
    cli, bus = await connect(Actor.CLI), await connect(Actor.GITHUB)
    added = RepositoryAdded(forge=Forge.GITHUB, clone_url="https://github.com/acme/web.git", check="true", by="ada")
    await cli.log.publish(Draft(about=WEB, data=added), "added")

    async def deliver(name: str, event: str, payload: bytes) -> None:
        before = await noted()
        await bus.inbox.store(name, {"X-GitHub-Event": event}, payload)

        async def more() -> bool:
            return await noted() > before

        await until(more)

    async def noted() -> int:
        async with aclosing(bus.inbox.noted(Note)) as notes:
            return len([note async for note in notes])

    async with interpreting(bus):
        await deliver("1", "issues", issues("labeled", issue(7, "agent-ready", second=1), label="agent-ready"))
        await deliver("3", "issues", issues("labeled", issue(7, "agent-ready", second=3), label="agent-ready"))
        await deliver("4", "issue_comment", body(comment("/rig budget 5")))
    raised = await bus.log.last("rig.fleet.github.>")
    assert raised is not None
    assert (raised.event.about, type(raised.event.data)) == (FLEET, BudgetRaised)
    async with interpreting(bus) as journal:
        late = issues("unlabeled", issue(7, second=2), label="agent-ready")
        await deliver("2", "issues", late)
        known = journal.heard.issue(ISSUE)
        assert known is not None
        assert known.asked


async def test_a_delivery_waits_for_github_however_long_it_is_away(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridges.github.interpreting._AGAIN_SECONDS", 0.0)
    cli, bus = await connect(Actor.CLI), await connect(Actor.GITHUB)
    added = RepositoryAdded(forge=Forge.GITHUB, clone_url="https://github.com/acme/web.git", check="true", by="ada")
    await cli.log.publish(Draft(about=WEB, data=added), "added")
    await bus.inbox.store("1", {"X-GitHub-Event": "issue_comment"}, body(comment("/rig budget 5")))

    async def raised() -> bool:
        return await bus.log.last("rig.fleet.github.>") is not None

    async with interpreting(bus, Absent()):
        await until(raised)
