"""How many deliveries one receiving process takes in, stored and on disk, and how long an answer takes.

    python tests/bench/github.py [--json]

Deliveries of 10 kB, a tenth of them redelivered, over keep-alive connections from another process; the inbox is on a
nats-server that syncs each write. `vs_bare`: the same load, in turns, on a bare aiohttp handler that only reads the
body. The median of the rounds counts, for the p99 too: of deliveries that are due at fixed times, 500 a second, from
when each was due. It is checked that all that was accepted as new is stored. Exits 1 when a bar is missed.
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
from statistics import median, quantiles

import msgspec
from msgspec import Struct

sys.path[0] = str(Path(__file__).parents[2])

from bus import Bus  # noqa: E402 - the path is set above
from deploy.embedded.nats import embedded_nats  # noqa: E402 - the path is set above
from schemas import Actor  # noqa: E402 - the path is set above
from tests.bench._github_load import Told  # noqa: E402 - the path is set above
from tests.bench._report import Row, report  # noqa: E402 - the path is set above
from tests.support.servers import connected, reaching  # noqa: E402 - the path is set above

HERE = Path(__file__).parent
CONNECTIONS = 256
ROUNDS = 3
SECONDS = 6.0
PACED_PER_SECOND = 500


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
            paced: list[Told] = []
            bares_paced: list[Told] = []
            cpu = 0.0
            for _ in range(ROUNDS):
                before = rig.cpu_seconds()
                runs.append(await _load(rig, "most", SECONDS))
                cpu += rig.cpu_seconds() - before
                bares.append(await _load(bare, "most", SECONDS))
                paced.append(await _load(rig, "paced", SECONDS, PACED_PER_SECOND))
                bares_paced.append(await _load(bare, "paced", SECONDS, PACED_PER_SECOND))
            stored = await _stored(bus)
    everything = [*warm, *runs, *bares, *paced, *bares_paced]
    accepted = sum(told.accepted for told in runs)
    new = sum(told.new for told in everything)
    return [
        Row("accepted_per_second", median(map(_rate, runs)), "/s", bar=2_000, at_least=True),
        Row("vs_bare", median(_rate(one) / _rate(other) for one, other in zip(runs, bares, strict=True)), "x"),
        Row("bare_per_second", median(map(_rate, bares)), "/s"),
        Row("cpu_ms_per_delivery", 1_000 * cpu / accepted, "ms"),
        Row("p50_ms", _latency(paced, 50), "ms"),
        Row("p99_ms", _latency(paced, 99), "ms", bar=50),
        Row("bare_p99_ms", _latency(bares_paced, 99), "ms"),
        Row("redelivered_share", 1 - sum(told.new for told in runs) / accepted, ""),
        Row("refused", sum(told.refused for told in everything), "", bar=0),
        Row("accepted_and_not_stored", abs(new - stored), "", bar=0),
    ]


def _rate(told: Told) -> float:
    return told.accepted / told.seconds


def _latency(turns: Sequence[Told], percent: int) -> float:
    """The median of the turns."""
    return median(quantiles(told.latencies_ms, n=100)[percent - 1] for told in turns)


def main(arguments: Sequence[str]) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rig-bench-") as directory:
        rows = asyncio.run(measure(Path(directory)))
    rows.append(Row("whole_run_seconds", time.monotonic() - began, "s", bar=240.0))
    return report("github: deliveries", rows, as_json="--json" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
