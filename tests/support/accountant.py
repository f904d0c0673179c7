"""A coding CLI for tests that keeps books of its own: what it was asked, did and used stands in a file outside the rig.

It is a program, run as `python -I -S accountant.py PLAN LEDGER`, with the prompt on its standard input. PLAN says for
each title what each try is to do (right, wrong, nothing, crash, wait) and what it is said to use; the last one is
repeated. LEDGER gets a line when a try begins and one when it ends. A try that waits is there to be killed.
"""

import json
import os
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def main(plan: Path, ledger: Path) -> int:
    prompt = sys.stdin.read()
    issue = re.findall(r"^Resolve issue (.+)\.$", prompt, re.MULTILINE)[0]
    title = re.findall(r"^Title:\n```\n(.+)\n```$", prompt, re.MULTILINE)[0]
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    tries = json.loads(plan.read_text())[title]
    now = tries[min(sum(line["issue"] == issue and line["at"] == "began" for line in lines), len(tries) - 1)]
    # The workspace of a replica is the directory of its name: …/agents/dev-e-1/…
    agent = Path.cwd().parts[Path.cwd().parts.index("agents") + 1]
    who = {"issue": issue, "agent": agent, "pid": os.getpid()}
    note(ledger, {"at": "began", **who, "does": now["does"]})
    match now["does"]:
        case "wait":
            time.sleep(3_600)
        case "right" | "wrong" as what:
            Path(f"{issue.partition('#')[2]}.txt").write_text(f"{what}\n")
        case _:
            pass
    note(ledger, {"at": "ended", **who, **now, "day": datetime.now(UTC).date().isoformat()})
    if now["micros"] is not None:
        print(json.dumps(record(now)))
    return 3 if now["does"] == "crash" else 0


def note(ledger: Path, line: dict[str, Any]) -> None:
    """One write, on the disk before anything is printed."""
    with ledger.open("ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")
        os.fsync(file.fileno())


def record(used: dict[str, Any]) -> dict[str, Any]:
    """As a coding CLI prints it: see agents.coders.usage."""
    cost = used["micros"] / 1_000_000
    return {
        "type": "result",
        "total_cost_usd": cost,
        "usage": {
            "input_tokens": used["input"],
            "output_tokens": used["output"],
            "cache_read_input_tokens": used["cache_read"],
            "cache_creation_input_tokens": used["cache_write"],
        },
        "modelUsage": {used["model"]: {"costUSD": cost}},
    }


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
