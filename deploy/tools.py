"""What the roles need of this machine besides Python: git, new enough. `rig doctor` looks at it, and so do they."""

import re
from pathlib import Path

from deploy.failures import NoGit
from machine import process
from machine.process import Limits, SpawnFailed

__all__ = ["GET_GIT", "git_version"]

GIT_NEEDED = (2, 38)
"""For `git merge-tree --write-tree`, by which the local forge merges."""
GET_GIT = "install git 2.38 or newer"
_LIMITS = Limits(wall_seconds=10, output_bytes=64 * 1024)


async def git_version() -> str:
    """What git says of its version. Raises NoGit."""
    try:
        outcome = await process.run(["git", "--version"], cwd=Path("/"), env=process.environment(), limits=_LIMITS)
    except SpawnFailed as error:
        raise NoGit(str(error)) from None
    said = outcome.excerpt(200)
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < GIT_NEEDED:
        raise NoGit(f"{said or 'git says no version'}: too old")
    return said
