"""`rig cluster`: three servers that know each other, what they keep, and as many copies of it as are asked for."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bus import Bus, Unavailable, Unsuitable
from bus.client import NatsConnection
from bus.connection import Connection
from bus.ensure import ensure
from bus.permissions import ADMIN
from bus.topology import DURABLES, STREAMS
from deploy.cluster import running_cluster
from deploy.embedded.cluster import Cluster, embedded_cluster
from deploy.embedded.nats import Nats
from deploy.failures import HomeInUse
from deploy.home import Home
from schemas import Actor, Draft, IssueApproved, IssueRef

SAID = Draft(about=IssueRef("acme", "web", 1), data=IssueApproved(title="Fix it", author="ada"))


async def local_on(cluster: Cluster) -> Bus:
    return await Bus.connect(cluster.url, actor=Actor.LOCAL, source="local", key=cluster.key(Actor.LOCAL))


class Nodes(msgspec.Struct, frozen=True):
    replicas: tuple[object, ...] = ()


class Info(msgspec.Struct):
    cluster: Nodes = Nodes()


async def until_kept_by(count: int, connection: Connection) -> None:
    """So many servers keep each stream and each durable: they move them in their own time."""
    names = [f"STREAM.INFO.{stream.name}" for stream in STREAMS]
    names += [f"CONSUMER.INFO.{durable.stream.name}.{durable.name}" for durable in DURABLES]
    for name in names:
        found = 0
        while found != count:
            try:
                answer = await connection.api(f"$JS.API.{name}", timeout_seconds=1.0)
                found = 1 + len(msgspec.json.decode(answer, type=Info).cluster.replicas)
            except Unavailable:  # it has no leader at this moment
                await asyncio.sleep(0.05)


@pytest.mark.full
async def test_streams_are_kept_in_as_many_copies_as_are_asked_for(tmp_path: Path) -> None:
    home = Home(tmp_path)
    async with running_cluster(home) as cluster:
        async with await local_on(cluster) as bus:
            assert await bus.log.publish(SAID, "local:1") == 1
        with pytest.raises(HomeInUse):
            async with running_cluster(home):
                pass
        connection = await NatsConnection.connect(cluster.url, name="test", key=cluster.key(ADMIN))
        await until_kept_by(3, connection)
        for replicas in (1, 3):
            changes = await ensure(connection, replicas=replicas)
            assert len(changes) == len(STREAMS), changes
            await until_kept_by(replicas, connection)
            assert await ensure(connection) == [], "who does not say how many leaves it as it is"
        await connection.close()
        async with await local_on(cluster) as bus:
            assert await bus.log.publish(SAID, "local:1") == 1, "it is known still"


@pytest.mark.full
async def test_what_a_cluster_keeps_lasts(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for ended in (False, True):
        async with (
            running_cluster(home) as cluster,
            await local_on(cluster) as bus,
        ):
            assert len(await bus.log.history(["rig.>"])) == ended
            assert await bus.log.publish(SAID, "local:1") == 1


class SecondLossy(Nats):
    """A node that syncs as servers do by default, if it is the second and starts anew."""

    async def prepare(self, port: int) -> None:
        again = self.configuration.exists()
        await super().prepare(port)
        if again and self.server_name == "rig-2":
            text = self.configuration.read_text()
            assert "sync_interval: always" in text
            self.configuration.write_text(text.replace("sync_interval: always", ""))


async def until_refused(cluster: Cluster) -> None:
    """That is once the others know that the node is back."""
    while True:
        await (await local_on(cluster)).close()


@pytest.mark.full
async def test_a_cluster_with_one_node_that_may_lose_events_is_refused(tmp_path: Path) -> None:
    async with embedded_cluster(tmp_path, tmp_path / "keys", tmp_path, program=SecondLossy) as cluster:
        node = cluster.nodes["rig-2"]
        await node.stop()
        async with await local_on(cluster) as bus:
            assert bus.connection.lossy is None, "one that is down acknowledges nothing"
        await node.start()
        with pytest.raises(Unsuitable, match=r"does not sync each write to disk \(rig-2 of its cluster\)"):
            await until_refused(cluster)


@pytest.mark.full
def test_the_command_keeps_the_nodes_up_until_it_is_ended(tmp_path: Path) -> None:
    argv = [str(Path(sys.executable).with_name("rig")), "cluster", "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={"RIG_HOME": str(tmp_path)}) as running:
        assert running.stdout is not None
        ready = json.loads(running.stdout.readline())
        assert (ready["state"], ready["replicas"], ready["nats_url"].count("nats://")) == ("ready", 3, 3)
        os.kill(int((tmp_path / "cluster" / "2" / "nats.pid").read_text()), signal.SIGKILL)
        said = [json.loads(running.stdout.readline()) for _ in range(3)]
        assert [(line["state"], line["role"]) for line in said] == [
            ("crashed", "rig-2"),
            ("restarting", "rig-2"),
            ("ready", "rig-2"),
        ]
        running.send_signal(signal.SIGINT)
        assert json.loads(running.stdout.readline())["state"] == "stopped"
    assert running.returncode == 0
