"""A coding CLI that does whatever one can do wrong, for tests: it speaks the stream of Claude Code, and lies in it.

Run as `python -I -S hostile.py HOW …`, with the prompt on its standard input. It asks nothing of a clock: where it
hangs it hangs until it is killed. In most ways it first writes half.py: work that must not be lost.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SESSION = "5f0c2f2e-9d3b-4a0e-8b61-2a4f0d1c7e55"
GOOD = {"type": "result", "subtype": "success", "is_error": False, "num_turns": 3, "result": "Done.", "usage": {}}
HOLD = "import time; time.sleep(3600)"


def say(record: dict[str, Any]) -> None:
    print(json.dumps({"session_id": SESSION, **record}), flush=True)


def begin() -> None:
    Path("half.py").write_text("half = 1\n")
    say({"type": "system", "subtype": "init", "model": "m-1", "claude_code_version": "2.1.0"})
    said = {"id": "m", "content": [{"type": "text", "text": "I begin."}], "usage": {"input_tokens": 7}}
    say({"type": "assistant", "message": said})


def hang() -> None:
    while True:
        time.sleep(3600)


def call(path: str) -> None:
    """Says that it has written a file."""
    given = {"file_path": path, "content": "x"}
    say(
        {
            "type": "assistant",
            "message": {"content": [{"type": "tool_use", "id": "t", "name": "Write", "input": given}]},
        }
    )
    done = [{"type": "tool_result", "tool_use_id": "t", "content": "written", "is_error": False}]
    say({"type": "user", "message": {"content": done}})


def main(how: str) -> int:
    sys.stdin.read()
    match how:
        case "no output":
            Path("half.py").write_text("half = 1\n")
            Path("begun").touch()
            hang()
        case "stops midway":
            begin()
            hang()
        case "ignores TERM":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            begin()
            hang()
        case "hangs after its result":
            begin()
            say(GOOD)
            while True:  # nothing that it prints now gives it more time
                print("still here", flush=True)
                time.sleep(0.01)
        case "no end of the line":
            begin()
            print(json.dumps({"session_id": SESSION, **GOOD}), end="", flush=True)
        case "exit 1 with a good result":
            begin()
            say(GOOD)
            return 1
        case "exit 0 without one":
            begin()
        case "never comes up":
            print("cannot find module 'yoga'", file=sys.stderr)
            return 1
        case "1 GB of output":
            begin()
            line = json.dumps({"type": "system", "text": "x" * 65_000}).encode() + b"\n"
            for _ in range(2**30 // len(line)):
                os.write(1, line)
        case "one endless line":
            begin()
            for _ in range(2**30 // 65_536):
                os.write(1, b"x" * 65_536)
        case "children that hold the pipe":
            begin()
            held = [subprocess.Popen([sys.executable, "-c", HOLD], start_new_session=new) for new in (False, True)]
            Path("pids").write_text(" ".join(str(child.pid) for child in held))
            say(GOOD)
        case "invalid JSON":
            begin()
            os.write(1, b'{"type": "assistant", "message": \n\xff\xfe\0\n{"type": "result", "subtype": 7}\n')
            os.write(1, b"[" * 5_000 + b'\n{"type":"result","subtype":"success","is_error":false,"num_turns":"many"}\n')
        case "writes outside the worktree":
            begin()
            call(str(Path("../outside.py").resolve()))
            say(GOOD)
        case "goes round in circles":
            begin()
            while True:
                call("half.py")
        case "an empty diff":
            say(GOOD)
        case _:
            raise ValueError(how)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
