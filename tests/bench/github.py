"""How many deliveries one receiving process takes in, stored and on disk, and how long an answer takes.

    python tests/bench/github.py [--json]

Deliveries of 10 kB, a tenth of them redelivered, over keep-alive connections from another process; the inbox is on a
nats-server that syncs each write. `vs_bare`: the same load, in turns, on a bare aiohttp handler that only reads the
body. Exits 1 when a bar is missed.
"""

import asyncio
import os
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct

sys.path[0] = str(Path(__file__).parents[2])

from bus import Bus  # noqa: E402 - the path is set above
from deploy.embedded.nats import embedded_nats  # noqa: E402
from schemas import Actor  # noqa: E402
from tests.bench._github_load import Told  # noqa: E402
from tests.bench._report import Row, report  # noqa: E402
from tests.support.servers import connected, reaching  # noqa: E402

HERE = Path(__file__).parent
CONNECTIONS = 256
ROUNDS = 3
SECONDS = 8.0
PACED_PER_SECOND = 500
PACED_SECONDS = 15.0


class _Edge(Struct):
    """Who receives."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """What it has used by now."""
        user, system = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def _edge(what: str, environment: Mapping[str, str]) -> AsyncGenerator[_Edge]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, HERE / "_github_edge.py", what, stdin=PIPE, stdout=PIPE, env={**os.environ, **environment}
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield _Edge((await child.stdout.readline()).decode().strip(), child.pid)
    finally:
        child.stdin.close()
        await child.wait()


async def _load(edge: _Edge, mode: str, seconds: float, *more: object) -> Told:
    arguments = [str(each) for each in (edge.url, mode, seconds, CONNECTIONS, *more)]
    child: Process = await asyncio.create_subprocess_exec(
        sys.executable, HERE / "_github_load.py", *arguments, stdout=PIPE
    )
    output, _ = await child.communicate()
    return msgspec.json.decode(output, type=Told)


async def _stored(bus: Bus) -> int:
    class State(Struct):
        messages: int

    class Info(Struct):
        state: State

    return msgspec.json.decode(await bus.connection.api("$JS.API.STREAM.INFO.RIG_INBOX"), type=Info).state.messages


async def measure(directory: Path) -> list[Row]:
    async with embedded_nats(directory) as server:
        bus = await connected(server, Actor.GITHUB)
        async with bus, _edge("rig", reaching(server, Actor.GITHUB)) as rig, _edge("bare", {}) as bare:
            warm = [await _load(edge, "most", 1.0) for edge in (rig, bare)]
            runs: list[Told] = []
            bares: list[Told] = []
            cpu = 0.0
            for _ in range(ROUNDS):
                before = rig.cpu_seconds()
                runs.append(await _load(rig, "most", SECONDS))
                cpu += rig.cpu_seconds() - before
                bares.append(await _load(bare, "most", SECONDS))
            paced = await _load(rig, "paced", PACED_SECONDS, PACED_PER_SECOND)
            stored = await _stored(bus)
    new = sum(told.new for told in (warm[0], *runs, paced))
    rate = median(told.accepted / told.seconds for told in runs)
    latency = paced.latencies_ms
    return [
        Row("accepted_per_second", rate, "/s", bar=2_000, at_least=True),
        Row("vs_bare", rate / median(told.accepted / told.seconds for told in bares), "×"),
        Row("bare_per_second", median(told.accepted / told.seconds for told in bares), "/s"),
        Row("cpu_ms_per_delivery", 1_000 * cpu / sum(told.accepted for told in runs), "ms"),
        Row("load_cpu_ms_per_delivery", 1_000 * sum(t.cpu_seconds for t in runs) / sum(t.accepted for t in runs), "ms"),
        Row("p50_ms", latency[len(latency) // 2], "ms"),
        Row("p99_ms", latency[len(latency) * 99 // 100], "ms", bar=50),
        Row("redelivered", 1 - sum(told.new for told in runs) / sum(told.accepted for told in runs), ""),
        Row("refused", sum(told.refused for told in (*warm, *runs, *bares, paced)), "", bar=0),
        Row("accepted_and_not_stored", max(0, new - stored), "", bar=0),
    ]


def main(arguments: Sequence[str]) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rig-bench-") as directory:
        rows = asyncio.run(measure(Path(directory)))
    rows.append(Row("whole_run_seconds", time.monotonic() - began, "s", bar=240.0))
    return report("github: deliveries", rows, as_json="--json" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
