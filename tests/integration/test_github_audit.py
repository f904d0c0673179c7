"""The audit: GitHub's log of deliveries against the inbox, on a real bus and a GitHub that is played."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridges.github.api import GitHub
from bridges.github.audit import LEASE, Auditor
from bridges.github.pace import Pace
from bridges.github.tokens import App, Token
from bus import Bus, NoService
from schemas import Actor, AuditCompleted, Draft, RepoRef, RepositoryConfigured
from schemas.queries import Audited, AuditRequest, DeliveryLog
from tests.conftest import Connect
from tests.support.pem import RSA_KEY
from tests.support.scripted import PlayedClock, Says, Scripted, scripted
from tests.support.waiting import until

WEB, API = RepoRef("acme", "web"), RepoRef("acme", "api")
NUMBERS = {7: WEB, 8: API}
PACE = Pace(tries=1, seed=0)


@dataclass
class Deliveries:
    """What GitHub has in its log, newest last."""

    entries: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    payloads: dict[int, dict[str, Any] | None] = field(default_factory=dict[int, dict[str, Any] | None])

    def add(self, guid: str, *, repository: int | None = 7, ago: timedelta = timedelta(minutes=5)) -> int:
        number = len(self.entries) + 1
        at = (datetime.now(UTC) - ago).strftime("%Y-%m-%dT%H:%M:%SZ")
        entry = {"id": number, "guid": guid, "delivered_at": at, "event": "issues", "repository_id": repository}
        self.entries.append(entry)
        self.payloads[number] = {"action": "opened", "of": guid, "wörter": [1.5, None]}
        return number

    def play(self, github: Scripted, path: str, *, page: int = 100) -> None:
        """Serves the log as it is now."""
        newest = list(reversed(self.entries))
        for first in range(0, max(len(newest), 1), page):
            url = f"{path}?per_page=100" if first == 0 else f"{path}?per_page=100&cursor={first}"
            more = {"Link": f'<{github.url}{path}?per_page=100&cursor={first + page}>; rel="next"'}
            said = Says(body=newest[first : first + page], headers=more if first + page < len(newest) else {})
            github.on("GET", url, said)
        for entry in self.entries:
            headers = {"x-github-event": "issues", "X-GitHub-Delivery": entry["guid"], "X-Hub-Signature-256": "sha256="}
            whole = entry | {"request": {"headers": headers, "payload": self.payloads[entry["id"]]}}
            github.on("GET", f"{path}/{entry['id']}", Says(body=whole))


@dataclass
class Side:
    """A bridge's other parts, played."""

    served: list[RepoRef] = field(default_factory=lambda: [WEB, API])
    reconciled: list[RepoRef] = field(default_factory=list[RepoRef])
    news: int = 0

    async def reconcile(self, repository: RepoRef) -> int:
        self.reconciled.append(repository)
        return self.news


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    return await connect(Actor.GITHUB)


@pytest.fixture
async def github() -> AsyncIterator[Scripted]:
    async with scripted() as server:
        for number, repository in NUMBERS.items():
            server.on("GET", f"/repos/{repository}", Says(body={"id": number}))
        yield server


@pytest.fixture
async def app(github: Scripted) -> AsyncIterator[GitHub]:
    """Installed on both repositories."""
    for number, repository in NUMBERS.items():
        github.on("GET", f"/repos/{repository}/installation", Says(body={"id": number}))
        grant = {"token": f"ghs_{number}", "expires_at": "2040-01-01T00:00:00Z"}
        github.on("POST", f"/app/installations/{number}/access_tokens", Says(201, grant))
    async with GitHub.opened(github.url, App("1", RSA_KEY), pace=PACE) as client:
        yield client


@pytest.fixture
async def token(github: Scripted) -> AsyncIterator[GitHub]:
    async with GitHub.opened(github.url, Token("ghp_x"), pace=PACE, clock=PlayedClock()) as client:
        yield client


def auditor(
    bus: Bus, github: GitHub, side: Side, every_seconds: float = 600, acting: asyncio.Event | None = None
) -> Auditor:
    return Auditor(
        bus,
        github,
        every_seconds=every_seconds,
        served=lambda: side.served,
        reconcile=side.reconcile,
        acting=acting,
    )


async def told(bus: Bus) -> list[tuple[str, AuditCompleted]]:
    history = await bus.log.history(["rig.repo.*.*.github.audit_completed"])
    return [(str(said.event.about), data) for said in history if isinstance(data := said.event.data, AuditCompleted)]


APP_LOG = "/app/hook/deliveries"


class TestLogOfTheApp:
    async def test_what_is_missing_is_put_under_its_own_id_and_the_next_audit_misses_nothing(
        self, bus: Bus, app: GitHub, github: Scripted
    ) -> None:
        log, side = Deliveries(), Side()
        for guid in ("a", "b", "c"):
            log.add(guid)
        log.add("d", repository=8)
        log.add("e", repository=None)
        log.add("b")  # delivered again
        log.play(github, APP_LOG, page=2)
        await bus.inbox.store("a", {"X-GitHub-Event": "issues"}, b"{}")
        audit = auditor(bus, app, side)
        found = await audit.audit()
        assert (found.log, found.delivered, found.missing, found.reinjected) == (DeliveryLog.APP, 5, 4, 4)
        each = {one.repository: (one.delivered, one.missing, one.reinjected) for one in found.repositories}
        assert each == {WEB: (3, 2, 2), API: (1, 1, 1)}
        stored = {one.delivery: one async for one in bus.inbox.replay()}
        assert set(stored) == {"a", "b", "c", "d", "e"}
        assert stored["c"].headers == {"X-GitHub-Event": "issues", "X-GitHub-Delivery": "c"}
        assert stored["c"].body == '{"action":"opened","of":"c","wörter":[1.5,null]}'.encode()
        again = await audit.audit()
        assert (again.delivered, again.missing, again.reinjected, again.trouble) == (5, 0, 0, None)
        assert await told(bus) == [
            ("acme/api", AuditCompleted(delivered=1, missing=1, reinjected=1)),
            ("acme/web", AuditCompleted(delivered=3, missing=2, reinjected=2)),
        ]

    async def test_where_nothing_is_missing_it_is_said_once_after_the_start(
        self, bus: Bus, app: GitHub, github: Scripted
    ) -> None:
        Deliveries().play(github, APP_LOG)
        audit = auditor(bus, app, side := Side())
        for _ in range(2):
            assert (await audit.audit()).missing == 0
        assert [data.delivered for _, data in await told(bus)] == [0, 0]
        assert side.reconciled == [API, WEB], "what was there before it came under the rig stands in no log"

    async def test_a_log_is_read_once_and_then_only_what_is_new(self, bus: Bus, app: GitHub, github: Scripted) -> None:
        log = Deliveries()
        log.add("old", ago=timedelta(days=4))
        for number in range(4):
            log.add(f"earlier-{number}", ago=timedelta(hours=2))
        log.play(github, APP_LOG, page=1)
        audit = auditor(bus, app, Side())
        assert (await audit.audit()).delivered == 4, "GitHub keeps three days"
        before = len(github.asked)
        log.add("new")
        log.play(github, APP_LOG, page=1)
        found = await audit.audit()
        assert (found.delivered, found.missing) == (5, 1)
        listed = [asked.path for asked in github.asked[before:] if asked.path.startswith(f"{APP_LOG}?")]
        assert len(listed) == 2, "the new one, and the first that was read before"

    async def test_what_github_has_not_kept_stays_missing_and_holds_up_nothing(
        self, bus: Bus, app: GitHub, github: Scripted
    ) -> None:
        log = Deliveries()
        log.payloads[log.add("gone")] = None
        log.add("there")
        log.play(github, APP_LOG)
        found = await auditor(bus, app, Side()).audit()
        assert (found.delivered, found.missing, found.reinjected, found.trouble) == (2, 2, 1, None)

    async def test_what_stops_an_audit_is_told_and_the_next_one_goes_on(
        self, bus: Bus, app: GitHub, github: Scripted
    ) -> None:
        log = Deliveries()
        for guid in ("a", "b", "c", "d", "e"):
            log.add(guid)
        log.play(github, APP_LOG)
        whole = f"{APP_LOG}/5"
        answer = Says(body=log.entries[4] | {"request": {"headers": {"X-GitHub-Event": "push"}, "payload": {}}})
        github.on("GET", whole, Says(500), answer)
        audit = auditor(bus, app, Side())
        found = await audit.audit()
        assert found.trouble is not None
        assert found.trouble.startswith("Away: ")
        assert found.reinjected == 4
        assert await told(bus) == []
        found = await audit.audit()
        assert (found.missing, found.reinjected, found.trouble) == (1, 1, None)


class TestWithoutALogOfTheApp:
    async def test_the_logs_of_the_hooks_that_lead_here_are_read(
        self, bus: Bus, token: GitHub, github: Scripted
    ) -> None:
        hooks = [
            {"id": 11, "config": {"url": "https://rig.example/webhooks/github"}},
            {"id": 12, "config": {"url": "https://elsewhere.example/hook"}},
        ]
        github.on("GET", f"/repos/{WEB}/hooks?per_page=100", Says(body=hooks))
        github.on("GET", f"/repos/{API}/hooks?per_page=100", Says(404, {"message": "Not Found"}))
        log, side = Deliveries(), Side(news=3)
        log.add("a", repository=None)
        log.play(github, f"/repos/{WEB}/hooks/11/deliveries")
        found = await auditor(bus, token, side).audit()
        assert (found.log, found.delivered, found.missing, found.reinjected) == (DeliveryLog.HOOKS, 1, 1, 1)
        api, web = found.repositories
        assert (web.log, web.delivered, web.said, web.trouble) == (DeliveryLog.HOOKS, 1, 0, None)
        assert (api.log, api.delivered, api.said) == (DeliveryLog.NONE, 0, 3)
        assert api.trouble is not None
        assert "not for us to see" in api.trouble
        assert side.reconciled == [API, WEB]
        await (audit := auditor(bus, token, side)).audit()
        await audit.audit()
        assert side.reconciled[2:] == [API, WEB, API], "without a log each time"

    async def test_where_there_is_none_at_all_what_is_open_is_compared(
        self, bus: Bus, app: GitHub, github: Scripted
    ) -> None:
        github.on("GET", f"{APP_LOG}?per_page=100", Says(404, {"message": "Not Found"}))
        found = await auditor(bus, app, Side(news=1)).audit()
        assert (found.log, found.delivered, found.trouble) == (DeliveryLog.NONE, 0, None)
        assert [(one.said, one.log) for one in found.repositories] == [(1, DeliveryLog.NONE)] * 2
        assert [(data.missing, data.reinjected) for _, data in await told(bus)] == [(1, 1)] * 2


class TestTurns:
    async def test_one_bridge_audits_and_each_of_them_tells_how_it_went(
        self, bus: Bus, connect: Connect, app: GitHub, github: Scripted
    ) -> None:
        Deliveries().play(github, APP_LOG)
        other, stop = await connect(Actor.GITHUB, "other"), asyncio.Event()
        first, second = auditor(bus, app, Side()), auditor(other, app, Side())
        runs = [asyncio.create_task(first.run(stop)), asyncio.create_task(second.run(stop))]
        person = await connect(Actor.CLI)
        found = await _audited(lambda: person.services.ask("github", "audit", AuditRequest(), Audited))
        assert await first.answer(AuditRequest()) == await second.answer(AuditRequest()) == found
        now = await person.services.ask("github", "audit", AuditRequest(now=True), Audited)
        assert now.audited_at is not None
        assert found.audited_at is not None
        assert now.audited_at > found.audited_at
        stop.set()
        await asyncio.gather(*runs)

    async def test_who_acts_audits_and_gives_its_turn_up_with_that(
        self, bus: Bus, connect: Connect, app: GitHub, github: Scripted
    ) -> None:
        Deliveries().play(github, APP_LOG)
        stop, sides, acting = asyncio.Event(), (Side(), Side()), (asyncio.Event(), asyncio.Event())
        buses = (bus, await connect(Actor.GITHUB, "other"))
        audits = [auditor(each, app, side, acting=it) for each, side, it in zip(buses, sides, acting, strict=True)]
        runs = [asyncio.create_task(each.run(stop)) for each in audits]
        acting[0].set()
        await until(lambda: sides[0].reconciled == [API, WEB])
        assert sides[1].reconciled == []
        acting[0].clear()
        audits[0].rest()
        while await bus.leases.look(LEASE) is not None:  # noqa: ASYNC110 - until nobody holds it
            await asyncio.sleep(0.01)
        acting[1].set()
        await until(lambda: sides[1].reconciled == [API, WEB])
        stop.set()
        await asyncio.gather(*runs)

    async def test_a_repository_that_comes_under_the_rig_is_looked_through_at_once(
        self, bus: Bus, app: GitHub, github: Scripted
    ) -> None:
        Deliveries().play(github, APP_LOG)
        side, stop = Side(served=[WEB]), asyncio.Event()
        run = asyncio.create_task((audit := auditor(bus, app, side)).run(stop))
        await _audited(lambda: audit.answer(AuditRequest()))
        side.served = [WEB, API]
        data = RepositoryConfigured(base_branch="main", base_sha="b" * 40, clone_url="https://x", check="true")
        await bus.log.publish(Draft(about=API, data=data), "configured")
        await until(lambda: side.reconciled == [WEB, API])
        stop.set()
        await run


async def _audited(ask: Callable[[], Awaitable[Audited]]) -> Audited:
    while True:
        with suppress(NoService):
            if (found := await ask()).audited_at is not None:
                return found
        await asyncio.sleep(0.01)
