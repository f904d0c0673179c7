"""What the bus costs and what it gains, against the bare client and the bare codec, with fsync on and file storage.

    python tests/bench/bus.py [--json] [publish] [codec] …

Every row that has a bar compares two ways within this one run. Exits 1 when a bar is missed.
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])  # this file is named as the room that it measures

from tests.bench import _bus_codec, _bus_consume, _bus_publish, _bus_replay, _bus_tracing  # noqa: E402 - the path is set above
from tests.bench._report import Row, report  # noqa: E402 - the path is set above

PARTS = {
    "publish": _bus_publish.measure,
    "consume": _bus_consume.measure,
    "replay": _bus_replay.measure,
    "codec": _bus_codec.measure,
    "tracing": _bus_tracing.measure,
}


async def measure(parts: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for name in parts:
        with tempfile.TemporaryDirectory(prefix="rig-bench-") as directory:
            rows += await PARTS[name](Path(directory))
    return rows


def main(arguments: Sequence[str]) -> int:
    parts = [argument for argument in arguments if argument in PARTS] or list(PARTS)
    return report(f"bus: {', '.join(parts)}", asyncio.run(measure(parts)), as_json="--json" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
