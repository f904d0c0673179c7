"""How long a decision takes, with fsync on; exits 1 when a bar is missed.

python tests/bench/decision.py [--json]
"""

import asyncio
import sys
import tempfile
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])  # beside this file, bus.py is not the room

from tests.bench import _decision  # noqa: E402 - the path is set above
from tests.bench._report import report  # noqa: E402 - the path is set above

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="rig-bench-") as temporary:
        rows = asyncio.run(_decision.measure(Path(temporary)))
    sys.exit(report("decision", rows, as_json="--json" in sys.argv[1:]))
