"""What the conductor costs: a round with very much queued, folding beside decoding, and two conductors that race.

    python tests/bench/conductor.py [--json] [rounds] [fold] [race]

Exits 1 when a bar is missed.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])  # this file is named as the room that it measures

from tests.bench import _conductor_fold, _conductor_race, _conductor_rounds  # noqa: E402 - the path is set above
from tests.bench._report import Row, report  # noqa: E402 - the path is set above


def race() -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="rig-bench-") as directory:
        return asyncio.run(_conductor_race.measure(Path(directory)))


PARTS = {"fold": _conductor_fold.measure, "race": race, "rounds": _conductor_rounds.measure}


def main(arguments: Sequence[str]) -> int:
    parts = [argument for argument in arguments if argument in PARTS] or list(PARTS)
    began = time.monotonic()
    rows = [row for part in parts for row in PARTS[part]()]
    rows.append(Row("whole_run_seconds", time.monotonic() - began, "s", bar=240.0))
    return report(f"conductor: {', '.join(parts)}", rows, as_json="--json" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
