"""The real Codex and OpenCode, from npm: their native binaries, out of the packages of this platform."""

import platform
from pathlib import Path

import pytest

from tests.support import peers


def codex() -> Path:
    (found,) = (peers.packages() / "@openai").glob("codex-*/vendor/*/bin/codex")
    return found


def opencode() -> Path:
    """Its npm package names some platforms that npm does not have: only the one of CI is asked for."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("of OpenCode only the package for Linux on x86-64 is asked for")
    return peers.packages() / "opencode-linux-x64" / "bin" / "opencode"
