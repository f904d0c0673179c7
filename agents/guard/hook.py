"""The rules as a coding CLI's hook before each tool: `python -m agents.guard.hook NOTES WORKTREE`.

It reads what the CLI says of the call on standard input, as JSON, and answers with JSON whether the call is allowed;
what it denied goes to the file NOTES, a line of JSON each. When it cannot tell, the call is denied (exit code 2).
Source: Claude Code's hooks reference, PreToolUse; OpenCode's plugin and Codex's hooks can be given the same.
"""

import os
import shlex
import sys
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from agents.guard.blocked import ADVICE, Blocked, Rule
from agents.guard.rules import judge, judge_write

__all__ = ["answer", "main"]

DENIED = 2
NOTE_BYTES = 16_384

_COMMANDS = ("command", "cmd", "script")
"""Where a tool's input has a shell's command line."""
_WRITERS = frozenset({"write", "edit", "multiedit", "notebookedit", "str_replace_editor", "create", "apply_patch"})
_PATHS = ("file_path", "notebook_path", "path", "filepath", "filePath")


class Call(Struct, frozen=True):
    """A call of a tool that is about to be made."""

    tool_name: str
    tool_input: dict[str, object]
    cwd: str = ""
    tool_use_id: str = ""


def answer(call: Call, worktree: Path) -> Blocked | None:
    """What is wrong with the call."""
    cwd = Path(call.cwd) if call.cwd else None  # the CLI's shell may have moved about
    for key in _COMMANDS:
        said = call.tool_input.get(key)
        if isinstance(said, list):
            said = shlex.join(str(part) for part in said)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        if isinstance(said, str) and (blocked := judge(said, worktree=worktree, cwd=cwd)):
            return blocked
    if call.tool_name.lower() in _WRITERS or call.tool_name.lower().endswith(("write_file", "edit_file", "move_file")):
        for key in _PATHS:
            path = call.tool_input.get(key)
            if isinstance(path, str) and (blocked := judge_write(_absolute(cwd, path), worktree=worktree)):
                return blocked
    return None


def main(arguments: list[str]) -> int:
    """Standard input to standard output; the exit code."""
    try:
        notes, worktree = Path(arguments[0]), Path(arguments[1])
        call = msgspec.json.decode(sys.stdin.buffer.read(), type=Call)
        blocked = answer(call, worktree)
        if blocked is None:
            return 0
        _note(notes, structs.replace(blocked, call=call.tool_use_id))
        sys.stdout.write(_denied(blocked))
    except Exception as error:  # noqa: BLE001 - whatever it is: what cannot be judged is not done
        sys.stderr.write(f"the guard cannot judge this call, so it is not made: {type(error).__name__}\n")
        return DENIED
    return 0


def _denied(blocked: Blocked) -> str:
    reason = f"Blocked by the rig ({blocked.rule}): {ADVICE[Rule(blocked.rule)]}."
    said = {"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": reason}
    return msgspec.json.encode({"hookSpecificOutput": said}).decode()


def _note(notes: Path, blocked: Blocked) -> None:
    """One write, so that hooks that run side by side do not mix their lines."""
    line = msgspec.json.encode(blocked)[:NOTE_BYTES] + b"\n"
    descriptor = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _absolute(cwd: Path | None, path: str) -> str:
    return path if path.startswith(("/", "~")) or cwd is None else f"{cwd}/{path}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
