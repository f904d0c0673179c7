"""`rig restore`, and the look before every start: the log against what the read side has read of it."""

import asyncio
import os
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from bus import Bus, LogChanged, connected_to_log, make_streams
from bus.permissions import ADMIN, RESTORE
from bus.reseed import Kept
from conductor.projector.rebuild import Progress
from conductor.projector.restore import restore
from conductor.projector.witness import LogLost, Loss, check, compare
from deploy.embedded.servers import Servers, servers
from deploy.failures import DeployFailed, LogRefused
from deploy.readside import session_on
from deploy.settings import Settings
from schemas import FLEET, Actor, Draft, LogRestored

CONNECT_SECONDS = 5.0
LOOK_SECONDS = 20.0
"""For the look before a start: whoever holds a lock there may take longer."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What was missing, and what was done about it."""

    loss: Loss
    restored: tuple[int, int] | None = None
    """The first and the last position that were put back; None: nothing was."""
    saved: str | None = None
    """The file with what the log held in place of what was read."""

    def lines(self) -> list[str]:
        """For people."""
        lost = list(self.loss.lines()) or [f"nothing is missing: the log ends at {self.loss.end}"]
        if self.restored is None:
            return lost
        first, last = self.restored
        done = [f"positions {first} to {last} are back; `rig verify` compares everything once the rig is up"]
        return [*lost, *([] if self.saved is None else [f"what it held in their place is in {self.saved}"]), *done]


async def check_log(bus: Bus, postgres_url: str) -> str | None:
    """Before the roles start: else they would write where something is missing. Raises LogRefused.

    Returns why it could not be looked: no work waits for PostgreSQL.
    """
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await session_on(postgres_url, lambda session: check(bus.connection, session))
    except TimeoutError:
        return f"the log was not compared with what was read of it: PostgreSQL took longer than {LOOK_SECONDS:g} s"
    except LogLost as error:
        raise LogRefused(str(error)) from None
    except DeployFailed as error:
        return f"the log was not compared with what was read of it: {error}"
    return None


async def put_back(settings: Settings, progress: Progress, *, look: bool, replace: bool, by: str) -> Outcome:
    """Looks, and unless that is all that is wanted puts back what is missing. No rig may run on the data directory.

    Raises HomeInUse, ServerFailed, LogRefused, ReadSideFailed, BusError.
    """
    home = settings.home
    async with (
        home.lock(),
        servers(home, nats_url=settings.nats_url, postgres_url=settings.postgres_url) as both,
    ):
        await make_streams(both.nats_url, key=both.key(ADMIN), timeout_seconds=CONNECT_SECONDS)
        outcome = await _put_back(both, progress, look=look, replace=replace)
        if outcome.restored is not None:
            await _say(both, *outcome.restored, by)
        return outcome


async def _put_back(both: Servers, progress: Progress, *, look: bool, replace: bool) -> Outcome:
    saved: list[Path] = []

    def save(messages: Sequence[Kept]) -> None:
        saved.append(_save(both.home.path, messages))

    async with connected_to_log(
        both.nats_url, name="rig restore", key=both.key(RESTORE), timeout_seconds=CONNECT_SECONDS
    ) as connection:
        loss = await session_on(both.postgres_url, lambda session: compare(connection, session))
        if look:
            return Outcome(loss=loss)
        wanted = save if replace else None
        try:
            done = await session_on(
                both.postgres_url, lambda session: restore(connection, session, progress, replace=wanted)
            )
        except LogChanged as error:
            raise LogRefused(str(error)) from None
    return Outcome(loss=loss, restored=done, saved=str(saved[0]) if saved else None)


def _save(directory: Path, messages: Sequence[Kept]) -> Path:
    """One JSON object a line, on the disk when this returns."""
    path = directory / f"log-{messages[0].position}-{messages[-1].position}-{datetime.now(UTC):%Y%m%dT%H%M%S}.jsonl"
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.writelines(msgspec.json.encode(message) + b"\n" for message in messages)
        file.flush()
        os.fsync(file.fileno())
    return path


async def _say(both: Servers, first: int, last: int, by: str) -> None:
    """The log tells that it was put back."""
    async with await Bus.connect(
        both.nats_url, actor=Actor.CLI, source="rig restore", key=both.key(Actor.CLI), timeout_seconds=CONNECT_SECONDS
    ) as bus:
        await bus.log.publish(
            Draft(about=FLEET, data=LogRestored(first=first, last=last, by=by)), f"restored:{uuid.uuid4().hex}"
        )
