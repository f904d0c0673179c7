"""Logging a coding CLI in by its device flow: it names an address and a code, and waits until a person has used them.

The person may be anywhere: nothing but that address and that code reach him. What the CLI prints is data: the address
counts where it is https at a place that the driver knows, and the code where it stands alone on a line. The CLI runs
without a terminal and without a shell, in a process group of its own, under two clocks: until it has said both, and all
in all. Source: RFC 8628; `codex login --device-auth`, version 0.169. Claude Code wants a code pasted back, and OpenCode
asks its questions in a terminal: they have no such flow.
"""

import asyncio
import re
import secrets
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from msgspec import Struct

from agents.coders.program import MARK
from machine import marks, process
from machine.process import Cut, Limits, SpawnFailed

INVITATION_SECONDS = 60.0
"""Until it has said where to log in."""
FLOW_SECONDS = 1_200.0
"""All in all: codes are good for some 15 minutes."""
OUTPUT_BYTES = 64 * 1024
URL_CHARACTERS = 500
EXCERPT_BYTES = 300
_URL = re.compile(r"https?://[!-~]+")
_CODE = re.compile(r"[A-Z0-9]{3,8}(-[A-Z0-9]{3,8}){1,2}")


class Flow(Struct, frozen=True, kw_only=True):
    """How a CLI is logged in like that."""

    provider: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    origins: frozenset[str]
    """Where a person may be sent, each as `https://HOST`, with the port where it is not the usual one."""


class Invitation(Struct, frozen=True):
    """What a person needs."""

    url: str
    code: str


class LoginFailed(Exception):
    """It has come to an end, and nobody is logged in by it; the message says why."""


@runtime_checkable
class HasDeviceFlow(Protocol):
    """A driver whose CLI can be logged in like that."""

    def device_flow(self) -> Flow | None:
        """None: not as things are (a key from the environment counts for more, say)."""
        ...


def invitation(said: bytes, origins: Collection[str]) -> Invitation | None:
    """What the whole lines of `said` invite to; None: not both yet, or nothing that can be passed on."""
    text = process.excerpt(said.rpartition(b"\n")[0], OUTPUT_BYTES)
    urls = [url for url in _URL.findall(text) if len(url) <= URL_CHARACTERS and _origin(url) in origins]
    codes = [line.strip() for line in text.splitlines() if _CODE.fullmatch(line.strip())]
    return Invitation(urls[0], codes[0]) if urls and codes else None


async def log_in(flow: Flow, home: Path, invited: Callable[[Invitation], None]) -> None:
    """Runs the flow to its end; `invited` is called once, in the event loop. Raises LoginFailed.

    Also when cancelled it returns only when nothing of it is left; what is left when its agent is killed, the next one
    with this `home` ends.
    """
    said, mark, known = bytearray(), f"{home}:{secrets.token_hex(8)}", False

    def hear(chunk: bytes) -> None:
        nonlocal known
        said.extend(chunk)
        if not known and (found := invitation(bytes(said), flow.origins)) is not None:
            known = True
            clock.reschedule(None)
            invited(found)

    limits = Limits(FLOW_SECONDS, OUTPUT_BYTES, grace_seconds=1.0)
    name = flow.argv[0].rpartition("/")[2]
    try:
        with tempfile.TemporaryDirectory(prefix="login-") as scratch:
            async with asyncio.timeout(INVITATION_SECONDS) as clock:
                outcome = await process.run(
                    flow.argv, cwd=Path(scratch), env={**flow.env, MARK: mark}, limits=limits, on_output=hear
                )
    except TimeoutError:
        raise LoginFailed(f"{name} named no address and code within {INVITATION_SECONDS:g} s") from None
    except SpawnFailed as error:
        raise LoginFailed(str(error)) from None
    finally:
        await marks.sweep(MARK, mark)
    if outcome.cut is Cut.TIMED_OUT:
        raise LoginFailed(f"nobody has logged in within {FLOW_SECONDS:g} s")
    if not outcome.ok:
        how = "printed too much" if outcome.cut else f"ended with exit code {outcome.exit_code}"
        raise LoginFailed(f"{name} {how}: {outcome.excerpt(EXCERPT_BYTES)}")


def _origin(url: str) -> str:
    """Its scheme and place, without what it says of a user: such a one is nowhere known."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}".lower()
    except ValueError:
        return ""
