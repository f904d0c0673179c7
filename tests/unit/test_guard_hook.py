"""The rules as a coding CLI's hook, run as the CLI runs it."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from agents.guard.blocked import ADVICE, Blocked, Rule
from agents.guard.hook import Call, answer


def hook(tmp_path: Path, said: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "agents.guard.hook", str(tmp_path / "notes"), str(tmp_path)]
    return subprocess.run(command, input=said, capture_output=True, check=False, timeout=60)


def bash(command: str) -> bytes:
    return msgspec.json.encode(
        {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": command}}
    )


def test_a_call_that_breaks_a_rule_is_denied_and_noted(tmp_path: Path) -> None:
    done = hook(tmp_path, bash("ls; sudo ls"))
    assert (done.returncode, done.stderr) == (0, b"")
    said = msgspec.json.decode(done.stdout)["hookSpecificOutput"]
    assert (said["hookEventName"], said["permissionDecision"]) == ("PreToolUse", "deny")
    assert "another user's rights" in said["permissionDecisionReason"]
    notes = (tmp_path / "notes").read_bytes()
    assert msgspec.json.decode(notes, type=Blocked) == Blocked("ls; sudo ls", "another user's rights")


def test_any_other_call_goes_its_way(tmp_path: Path) -> None:
    done = hook(tmp_path, bash("ls"))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not (tmp_path / "notes").exists()


@pytest.mark.parametrize("said", [b"", b"{", b"[]", b'{"tool_name": 1}', b'{"tool_name": "Bash"}', b"\xff"])
def test_what_cannot_be_read_is_denied(said: bytes, tmp_path: Path) -> None:
    done = hook(tmp_path, said)
    assert done.returncode == 2
    assert b"cannot judge" in done.stderr


@pytest.mark.parametrize(
    ("tool", "given", "rule"),
    [
        ("Write", {"file_path": "/etc/hosts", "content": "x"}, Rule.WRITE),
        ("Edit", {"file_path": "../x", "old_string": "a"}, Rule.WRITE),
        ("MultiEdit", {"file_path": "~/.bashrc"}, Rule.WRITE),
        ("NotebookEdit", {"notebook_path": "/etc/x.ipynb"}, Rule.WRITE),
        ("Write", {"file_path": ".git/hooks/pre-push"}, Rule.GIT_FILES),
        ("mcp__files__write_file", {"path": "/etc/x"}, Rule.WRITE),
        ("shell", {"command": ["bash", "-lc", "sudo ls"]}, Rule.SUPERUSER),
        ("mcp__shell__run", {"command": "git push -f"}, Rule.FORCE_PUSH),
        ("Write", {"file_path": "src/x.py", "content": "sudo rm -rf /"}, None),
        ("Read", {"file_path": "/etc/hosts"}, None),
        ("Grep", {"pattern": "sudo", "path": "/etc"}, None),
        ("Bash", {"command": "rm -rf ../build"}, None),
    ],
)
def test_what_each_tool_may(tool: str, given: dict[str, object], rule: Rule | None, tmp_path: Path) -> None:
    (tmp_path / "tree" / "src").mkdir(parents=True)
    cwd = tmp_path / "tree" / "src" if tool == "Bash" else tmp_path / "tree"
    blocked = answer(Call(tool, given, str(cwd)), tmp_path / "tree")
    assert (blocked and blocked.rule) == (rule and rule.value)


def test_there_is_advice_for_every_rule() -> None:
    assert set(ADVICE) == set(Rule)
