"""SIGKILL while the log grows: of the projector, of PostgreSQL, of both, at any moment. Nothing missing, nothing twice.

Moments are found by facts: a position was stored, a transaction stands before a certain table or in its commit. What
must have come of it is reckoned by the one who speaks, who knows nothing of the projector.
"""

import asyncio
import json
import shutil
import signal
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from bus import Bus, NoService, Refused, Unavailable
from conductor.postgres import connect as open_session
from conductor.projector.verify import verify
from deploy.embedded.nats import NatsServer
from deploy.embedded.postgres import embedded_postgres
from deploy.embedded.server import Server
from schemas import Actor, Status, StatusRequest
from tests.conftest import Connect
from tests.support.kills import GATE, RoleProcess, Trap, crash, make_gate, stall, until_there
from tests.support.load import ISSUES, REFUSED, Load
from tests.support.readside import database, reached, rows
from tests.support.rig import rig
from tests.support.servers import reaching

KILLS = pytest.mark.parametrize("kills", [2, pytest.param(50, marks=[pytest.mark.full, pytest.mark.timeout(600)])])
ROUND = 150
"""Messages between two kills, at least."""
STEP = 10
"""Kills between two looks at everything; the first comes after the first."""
PLACES = ("rig.projection", GATE, "rig.events", "rig.spend", "rig.memories")
"""Where a transaction is caught: all is written but the position; in its commit; as it begins to write; between."""
SETTINGS = (
    "recovery_init_sync_method = syncfs",  # not file by file, after a crash
    "wal_buffers = '16MB'",  # more than is written in a round, so that nobody has to make room
    "autovacuum = off",
)
_ODD = """
select count(*) filter (where repeats is not null and id like 'load:%'),
       count(*) filter (where skipped is not null and subject like 'rig.issue.demo.shop.%')
           - (select count(*) from rig.poison)
from rig.events
"""
_SUMS = """
select 'spent', split_part(key, '/', 2) || '/' || split_part(key, '/', 3), sum((row -> 'tokens' ->> 'cost')::bigint)
    from rig.spend where key like '%/demo/shop#%' group by 2
union all select 'blocked', key, (row ->> 'blocked')::bigint from rig.runs where key like 'demo/shop#%'
union all select 'attempts', key, (row -> 'standing' ->> 'failed_attempts')::bigint
    from rig.issues where repository = 'demo/shop'
union all select 'uses', row ->> 'memory', (row ->> 'uses')::bigint from rig.memories where scope = 'repo:demo/shop'
"""


class Scene:
    """A log that is spoken to, a PostgreSQL of its own, and projectors to kill."""

    def __init__(self, nats: NatsServer, postgres: Server, speaker: Bus, witness: Bus, directory: Path) -> None:
        self.load = Load(speaker, seed=5)
        self.url = postgres.url
        self.postgres = postgres
        self.random = Random(5)  # noqa: S311 - a test's
        self._nats, self._witness, self._directory = nats, witness, directory

    def projector(self, name: str = "projector") -> RoleProcess:
        env = {**reaching(self._nats, "projector"), "RIG_POSTGRES_URL": self.url}
        return RoleProcess("projector", self._directory / f"{name}.log", **env)

    def query(self) -> RoleProcess:
        env = {**reaching(self._nats, "query"), "RIG_POSTGRES_URL": self.url}
        return RoleProcess("query", self._directory / "query.log", **env)

    async def ask(self, *, wait_for: int | None = None) -> Status:
        """Until it is answered: the service may be starting."""
        while True:
            try:
                return await self._witness.services.ask("query", "status", StatusRequest(wait_for=wait_for), Status)
            except (NoService, Refused, Unavailable):
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def moment(self, number: int) -> AsyncGenerator[int]:
        """A moment of a round: in a transaction, as something was stored, or at any time after. The log grows on.

        Yields a position that was stored."""
        async with asyncio.TaskGroup() as group:
            if number % 3 == 0:
                async with Trap(self.url, PLACES[number // 3 % len(PLACES)]) as trap:
                    group.create_task(self.load.speak(ROUND))
                    await trap.caught()
                    yield self.load.said
                return
            position = self.load.said + self.random.randint(1, ROUND)
            group.create_task(self.load.speak(ROUND))
            await reached(self.url, position)
            if number % 3 == 2:
                await asyncio.sleep(self.random.uniform(0, 0.05))
            yield position

    async def settled_at_times(self, number: int) -> None:
        if number % STEP == 0:
            await self.settled()

    async def settled(self) -> None:
        """Everything that was said is there by and by, and once."""
        said, sums = self.load.said, self.load.sums
        await reached(self.url, said)
        assert await rows(self.url, "select position from rig.projection") == [(said,)]
        assert await rows(self.url, "select count(*), min(position), max(position) from rig.events") == [
            (said, 1, said)
        ]
        assert await rows(self.url, "select position from rig.poison") == [(REFUSED,)]
        assert await rows(self.url, _ODD) == [(sums.copies, sums.unreadable)]
        found: dict[str, dict[str, int]] = {"spent": {}, "blocked": {}, "attempts": {}, "uses": {}}
        for name, key, count in await rows(self.url, _SUMS):
            if count:
                found[name][key] = int(count)
        assert found == {name: dict(counted) for name, counted in sums.counted.items()}

    async def verified(self) -> None:
        """The second witness agrees."""
        session = await open_session(self.url, name="test")
        found = await verify(self._witness, session, lambda *_: None)
        await session.close()
        assert (found.position, found.differs) == (self.load.said, {})

    async def verified_by_command(self) -> None:
        home, env = self._directory / "home", {**reaching(self._nats, Actor.CLI), "RIG_POSTGRES_URL": self.url}
        done = await asyncio.to_thread(rig, home, "verify", "--json", **env)
        assert (done.returncode, done.stderr) == (0, "")
        assert (json.loads(done.stdout)["position"], json.loads(done.stdout)["differs"]) == (self.load.said, {})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a PostgreSQL with empty tables, one of which refuses an event, and the gate. To be copied."""
    directory = tmp_path_factory.mktemp("prepared") / "postgres"
    async with embedded_postgres(directory) as server:
        await (await open_session(server.url, name="test")).close()
        await make_gate(server.url)
        async with database(server.url) as db:
            for setting in SETTINGS:
                await db.execute(f"alter system set {setting}")
            await db.execute(f"alter table rig.issues add constraint odd check (key <> 'demo/shop#{ISSUES}')")
    return directory


@pytest.fixture
async def scene(
    prepared: Path, nats: NatsServer, connect: Connect, connect_freely: Connect, tmp_path: Path
) -> AsyncIterator[Scene]:
    copied(prepared, tmp_path / "postgres")
    async with embedded_postgres(tmp_path / "postgres") as postgres:
        yield Scene(nats, postgres, await connect_freely(Actor.LOCAL), await connect(Actor.CLI), tmp_path)
        await crash(postgres)  # its data is thrown away; some of its processes may stand still


def copied(one: Path, other: Path) -> None:
    """With its owners, which PostgreSQL insists on."""
    subprocess.run(["cp", "-a", one, other], check=True)


@KILLS
async def test_the_projector_is_killed(scene: Scene, kills: int) -> None:
    with scene.projector() as projector:
        for number in range(kills):
            async with scene.moment(number):
                projector.kill()
            projector.start()
            await scene.settled_at_times(number)
        await scene.settled()
        await scene.verified()
        await scene.verified_by_command()
        assert projector.alive


@KILLS
async def test_postgres_is_killed_and_the_projector_goes_on(scene: Scene, kills: int) -> None:
    """It may come back behind what the projector has stored: then the newest transactions were not on disk."""
    with scene.projector() as projector:
        await reached(scene.url, await scene.load.speak(1))
        for number in range(kills):
            forgets = number % 3 == 1
            if forgets:
                await stall(scene.url)
            async with scene.moment(number) as position:
                await crash(scene.postgres)
            if forgets:
                projector.signal(signal.SIGSTOP)  # else it is quicker than we look
            await scene.postgres.start()
            if forgets:
                assert await stored(scene.url) < position
                projector.signal(signal.SIGCONT)
            await scene.settled_at_times(number)
        await scene.settled()
        await scene.verified()
        await scene.verified_by_command()
        assert projector.alive


@KILLS
async def test_both_are_killed(scene: Scene, kills: int) -> None:
    with scene.projector() as projector:
        for number in range(kills):
            async with scene.moment(number):
                if number % 2:
                    projector.kill()
                await crash(scene.postgres)
            if number % 2:
                projector.start()
                await scene.postgres.start()
            else:
                await scene.postgres.start()
                projector.kill()
                projector.start()
            await scene.settled_at_times(number)
        await scene.settled()
        await scene.verified()
        assert projector.alive


@KILLS
async def test_one_of_two_projectors_is_killed(scene: Scene, kills: int) -> None:
    with scene.projector("one") as one, scene.projector("two") as two:
        for number in range(kills):
            await until_there(scene.url, 2)
            victim = scene.random.choice((one, two))
            async with scene.moment(number):
                victim.kill()
            victim.start()
            await scene.settled_at_times(number)
        await scene.settled()
        await scene.verified()
        assert (one.alive, two.alive) == (True, True)


async def test_a_transaction_that_ends_after_its_projector_has_died(scene: Scene) -> None:
    """It had said commit; its successor had begun where the tables stood before."""
    with scene.projector("first") as first, scene.projector("second") as second:
        second.kill()
        await reached(scene.url, await scene.load.speak(1))
        async with Trap(scene.url, GATE) as trap:
            speaking = asyncio.create_task(scene.load.speak(ROUND))
            await trap.caught()
            first.kill()
            second.start()
            await trap.caught(2)
        await speaking
        await scene.settled()
        await scene.verified()
        assert second.alive


async def test_an_older_copy_of_the_database_is_put_in_its_place(scene: Scene, tmp_path: Path) -> None:
    cluster, copy = tmp_path / "postgres" / "cluster", tmp_path / "postgres" / "copy"
    with scene.projector() as projector:
        await reached(scene.url, await scene.load.speak(ROUND))
        await scene.postgres.stop()
        copied(cluster, copy)
        await scene.postgres.start()
        async with scene.moment(1):
            await crash(scene.postgres)
        shutil.rmtree(cluster)
        copy.rename(cluster)
        await scene.postgres.start()
        await scene.settled()
        await scene.verified()
        assert projector.alive


async def test_who_asks_waits_for_what_a_killed_postgres_has_forgotten(scene: Scene) -> None:
    with scene.projector() as projector, scene.query():
        await reached(scene.url, await scene.load.speak(1))
        await stall(scene.url)
        last = await scene.load.speak(ROUND)
        assert (await scene.ask(wait_for=last)).position == last
        await crash(scene.postgres)
        projector.signal(signal.SIGSTOP)
        await scene.postgres.start()
        before = (await scene.ask()).position
        assert before < last
        asking = asyncio.create_task(scene.ask(wait_for=last))
        projector.signal(signal.SIGCONT)
        assert (await asking).position == last
        await scene.settled()


async def stored(url: str) -> int:
    return (await rows(url, "select position from rig.projection"))[0][0]
