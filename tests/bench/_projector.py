"""What the read side costs and how far it is behind.

    python tests/bench/_projector.py [--json] [rows]

Exits 1 when a bar is missed. Not among the long counts yet: `rebuild_vs_copy` misses its bar (0.12 to 0.14).
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])  # beside this file, bus.py is not the room

from tests.bench import _projector_rows  # noqa: E402 - the path is set above
from tests.bench._report import Row, report  # noqa: E402 - the path is set above

PARTS = {"rows": _projector_rows.measure}


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
