"""The real Claude Code CLI, from npm. What it says to its model is the test's own business: see tests.support.model."""

from pathlib import Path

from tests.support import peers


def program() -> Path:
    """Its native binary, in the package of this platform: the package itself would need its install script to run."""
    (found,) = (peers.packages() / "@anthropic-ai").glob("claude-code-*/claude")
    return found
