"""`rig …` as a user runs it: the installed script, a process of its own, on a data directory of the test."""

import json
import os
import signal
import subprocess
import sysconfig
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import sessions

RIG = str(Path(sysconfig.get_path("scripts")) / "rig")


def environment(home: Path, **more: str) -> dict[str, str]:
    """Of a user who has configured nothing but `more`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RIG_")}
    return {**clean, "RIG_HOME": str(home), "TZ": "UTC", **more}


def rig(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [RIG, *arguments], env=environment(home, **env), cwd=home.parent, capture_output=True, text=True, check=False
    )


class Up:
    """`rig up --json`, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[dict[str, Any]] = []

    def until(self, state: str, role: str | None = None) -> dict[str, Any]:
        """Reads on until it says this of a role, or of the whole rig. Fails the test when it ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            self.said.append(said)
            if said["state"] == state and said.get("role") == role:
                return said
        raise AssertionError(f"rig up ended with {self.process.wait()}, and had not said {state!r}: {self.errors()}")

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to stop; its exit code."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate()
        self.said += [json.loads(line) for line in rest.splitlines()]
        return self.process.returncode

    def hang_up(self) -> None:
        """Reads no more of what it says."""
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        self.process.stdout = self.process.stderr = None

    def processes(self) -> set[int]:
        """Every process that it ever said it has started, and those that are with them in their sessions."""
        started = {said["pid"] for said in self.said if said["state"] == "started"}
        return started | {member for pid in started for member in sessions.members(pid)}


@contextmanager
def up(home: Path, *arguments: str, json: bool = True, **env: str) -> Generator[Up]:
    """A rig that is starting. Whatever the test does, it is gone afterwards."""
    process = subprocess.Popen(
        [RIG, "up", *(["--json"] if json else []), *arguments],
        env=environment(home, **env),
        cwd=home.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Up(process)
        finally:
            process.terminate()
            process.communicate()


def at_work_on(directory: Path) -> list[str]:
    """Command lines of the living processes that name something below `directory`."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [line for pid in pids if (line := sessions.command_line(pid)) and f"{directory}/" in line]
