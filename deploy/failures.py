"""What can go wrong in running the rig on this machine: the whole exception tree, and what each one means.

    DeployFailed
    ├── HomeInUse       the data directory belongs to a running rig
    ├── LogRefused      the log lacks what was read of it, or cannot be put back
    ├── KeysRefused     keys that are no secret any more, or none at all
    ├── NoGit           git is missing, or too old
    ├── ServerFailed    a server (nats-server, PostgreSQL) did not start
    └── RoleFailed      a role did not become ready, or never will

Each message says what happened, to what, and shows the end of the log where there is one.
"""

from collections.abc import Sequence

__all__ = ["DeployFailed", "HomeInUse", "KeysRefused", "LogRefused", "NoGit", "RoleFailed", "ServerFailed"]


class DeployFailed(Exception):
    """The rig cannot run here as asked."""


class HomeInUse(DeployFailed):
    """Another process holds the data directory."""

    def __init__(self, path: str, pid: int, command: str) -> None:
        super().__init__(
            f"{path} is in use by process {pid} ({command}); stop that one, or set RIG_HOME to another directory"
        )
        self.pid = pid
        self.command = command


class KeysRefused(DeployFailed):
    """Others may have read or replaced keys, or their files hold none."""

    def __init__(self, problems: Sequence[str], mend: str) -> None:
        super().__init__("\n".join(["these keys will not do", *problems, mend]))
        self.problems = problems
        self.mend = mend


class LogRefused(DeployFailed):
    """The log lacks what was read of it: which positions, and what to do; or why it cannot be put back."""


class NoGit(DeployFailed):
    """Git is missing, or too old."""


class ServerFailed(DeployFailed):
    """A server did not start."""

    def __init__(self, server: str, problem: str, log_tail: str = "") -> None:
        super().__init__(_with_log(f"{server}: {problem}", log_tail))
        self.server = server


class RoleFailed(DeployFailed):
    """A role is not ready in time, or says itself that it cannot run like this (exit code 2)."""

    def __init__(self, role: str, problem: str, log_tail: str = "") -> None:
        super().__init__(_with_log(f"{role}: {problem}", log_tail))
        self.role = role


def _with_log(message: str, tail: str) -> str:
    indented = "".join(f"\n    {line}" for line in tail.splitlines())
    return f"{message}; the end of its log:{indented}" if indented else message
