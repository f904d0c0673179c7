"""What the read side costs, how far it is behind, and how fast it finds.

    python tests/bench/projector.py [--json] [rows] [lag] [search]

Exits 1 when a bar is missed.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])  # beside this file, bus.py is not the room

from tests.bench import _projector_lag, _projector_rows, _projector_search  # noqa: E402 - the path is set above
from tests.bench._report import Row, report  # noqa: E402 - the path is set above


async def search(_: Path) -> list[Row]:
    return await _projector_search.measure()


PARTS = {"rows": _projector_rows.measure, "lag": _projector_lag.measure, "search": search}


async def measure(parts: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    for name in parts:
        with tempfile.TemporaryDirectory(prefix="rig-bench-") as directory:
            rows += await PARTS[name](Path(directory))
    return rows


def main(arguments: Sequence[str]) -> int:
    parts = [argument for argument in arguments if argument in PARTS] or list(PARTS)
    began = time.monotonic()
    rows = asyncio.run(measure(parts))
    rows.append(Row("whole_run_seconds", time.monotonic() - began, "s", bar=240.0))
    return report(f"projector: {', '.join(parts)}", rows, as_json="--json" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
