"""The holder of a lease is stopped beyond its time (SIGSTOP): its later write is refused, by the server."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from bus import Bus, LeaseLost
from deploy.embedded.nats import NatsServer
from schemas import Actor
from tests.conftest import Connect

ROOT = Path(__file__).parents[2]


async def holder(url: str, key: str) -> None:
    """The process that is stopped: takes the lease, says so, and writes when it is told to."""
    bus = await Bus.connect(url, actor=Actor.DEV_E, source="dev-e/stopped", key=Path(key))
    async with bus, bus.leases.hold("guarded", ttl_seconds=2) as lease:
        print("holds", lease.token, flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        try:
            await lease.write(b"late")
        except LeaseLost as error:
            print("lost", type(error.__cause__).__name__, lease.lost.is_set(), flush=True)
        else:
            print("written", flush=True)


async def test_the_later_write_of_a_stopped_holder_is_refused(connect: Connect, nats: NatsServer) -> None:
    bus = await connect(Actor.DEV_E, "dev-e/next")
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.chaos.test_lease_stopped",
        nats.url,
        nats.key(Actor.DEV_E),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        said = (await child.stdout.readline()).split()
        assert said[0] == b"holds"
        token = int(said[1])
        os.kill(child.pid, signal.SIGSTOP)
        async with bus.leases.hold("guarded", ttl_seconds=60, wait_seconds=60) as lease:
            assert lease.token > token
            await lease.write(b"second")
            os.kill(child.pid, signal.SIGCONT)
            child.stdin.write(b"write\n")
            assert (await child.stdout.readline()).split() == [b"lost", b"Conflict", b"True"]
            assert await child.wait() == 0
            lease.check()
            held = await bus.leases.look("guarded")
            assert held is not None
            assert (held.holder, held.token, held.value) == ("dev-e/next", lease.token, b"second")
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


if __name__ == "__main__":
    asyncio.run(holder(*sys.argv[1:]))
