"""Keys made anew, and what has to be restarted then: a server reads who may do what when it starts, and not again."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.home import Home
from deploy.keys import ACCOUNTS, make_keys

__all__ = ["Renewal", "renew"]


@dataclass(frozen=True, slots=True)
class Renewal:
    """What was done, and is left to do."""

    accounts: Path
    restart: tuple[str, ...]
    """For people: who goes by the old keys still, and what to do about it."""


def renew(home: Home, directory: Path, *, rotate: Collection[str] = ()) -> Renewal:
    """Makes keys as `make_keys`, and looks whether servers of this home run with what was there before."""
    before = _text(directory / ACCOUNTS)
    accounts = make_keys(directory, rotate=rotate)
    old = _text(accounts) != before and home.keys.exists() and directory.samefile(home.keys)
    return Renewal(accounts, tuple(_running(home)) if old else ())


def _running(home: Home) -> Iterator[str]:
    for place, command in ((home, "rig up"), (Home(home.cluster), "rig cluster")):
        if place.held():
            running = place.running()
            end = "end it with Ctrl-C" + (f" or `kill -INT {running.pid}`" if running else "")
            yield f"rig: `{command}` runs on {place.path}, and goes by the keys from before until it is restarted:"
            yield "  its server lets in a key that was replaced, and refuses the new one"
            yield f"  {end}, and start `{command}` again"


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
