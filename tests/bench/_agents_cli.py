"""A coding CLI that speaks the stream of Claude Code: lines when they are due, a change, a conversation, its result.

Made by `install` as a program `claude`; run by that as `python -I -S _agents_cli.py PROGRAM OPTION…`. What it is to do
stands beside it, in PROGRAM.json; when it began and had done its last is the time of PROGRAM.began and PROGRAM.done.
One that is to wait for others says that it is there in PROGRAM.there/, and talks once there is PROGRAM.go.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

WORDS = "Looking at the files that the issue names, one after the other, before anything is changed. " * 2
CONVERSATION_BYTES = 100_000


def install(directory: Path, *, lines: int, per_second: float, together: bool = False) -> Path:
    """The program, for `RIG_CODER=claude: program=…`."""
    directory.mkdir()
    program = directory / "claude"
    plan = {"lines": lines, "per_second": per_second, "together": together}
    program.with_suffix(".json").write_text(json.dumps(plan))
    program.with_suffix(".there").mkdir()
    program.write_text(
        f'#!/bin/sh\ncase "$1" in --print) : > "$0.began";; esac\nexec {sys.executable} -I -S {__file__} "$0" "$@"\n'
    )
    program.chmod(0o700)
    return program


def main(program: Path, options: list[str]) -> int:
    match options:
        case ["--version", *_]:
            print("2.1.0 (Claude Code)")
        case ["auth", *_]:
            print('{"loggedIn": true}')
        case _:
            sys.stdin.buffer.read()
            work(
                program, next(each.partition("=")[2] for each in options if each.startswith(("--session-id", "--res")))
            )
            program.with_suffix(".done").touch()
            sys.stdout.flush()
            os._exit(0)  # what leaving takes is ours
    return 0


def work(program: Path, session: str) -> None:
    plan = json.loads(program.with_suffix(".json").read_text())
    say(session, {"type": "system", "subtype": "init", "model": "m-1", "claude_code_version": "2.1.0"})
    if plan["together"]:
        (program.with_suffix(".there") / f"{os.getpid()}").touch()
        while not program.with_suffix(".go").exists():
            time.sleep(0.02)
    began = time.monotonic()
    for number in range(plan["lines"]):
        time.sleep(max(0.0, began + number / plan["per_second"] - time.monotonic()))
        text = {"type": "text", "text": f"line-{number}: {WORDS}"}
        usage = {"input_tokens": 3, "output_tokens": 5}
        say(session, {"type": "assistant", "message": {"id": f"m-{number}", "content": [text], "usage": usage}})
    Path(f"answer-{os.getpid()}.txt").write_text("done\n")
    directory = "".join(each if each.isascii() and each.isalnum() else "-" for each in os.getcwd())
    conversation = Path(os.environ["CLAUDE_CONFIG_DIR"]) / "projects" / directory / f"{session}.jsonl"
    conversation.parent.mkdir(parents=True, exist_ok=True)
    conversation.write_text(f"{WORDS}\n" * (CONVERSATION_BYTES // len(WORDS)))
    usage = {"input_tokens": 3, "output_tokens": 5}
    ending = {"type": "result", "subtype": "success", "is_error": False, "num_turns": 3, "result": "Done."}
    say(session, {**ending, "total_cost_usd": 0.01, "usage": usage})


def say(session: str, record: dict[str, Any]) -> None:
    os.write(1, json.dumps({"session_id": session, **record}).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
