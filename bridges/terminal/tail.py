"""`rig tail`: the log, event by event, as it is written."""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeAlias

import msgspec
import typer
from msgspec import Struct

from bridges.terminal import names, reading, show
from bridges.terminal.errors import Failed, NoRig
from bridges.terminal.output import say, say_json, tell
from bridges.terminal.session import FindServer, find_server, reported, run
from bridges.terminal.views import Json
from schemas import Event, IssueRef, Recorded, by_name, everything_about, one_line

if TYPE_CHECKING:
    from bus import Bus, Skipped, Stored

EventType: TypeAlias = type[Event]
RECENT = 10
"""Events that are shown first when nobody says since when."""
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 5.0
"""How long a rig that has stopped, or is being started again, may say nothing of itself."""


class TailLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of `rig tail --json`."""

    position: int
    stored_at: datetime
    event: msgspec.Raw | None = None
    """The CloudEvents document."""
    skipped: str | None = None
    """Why this version can read no event here."""


def tail(
    context: typer.Context,
    *,
    since: Annotated[
        str | None,
        typer.Option(metavar="SEQ|TIME", help="From this position (120), time (2026-01-31T12:00) or age (15m) on."),
    ] = None,
    issue: Annotated[str | None, typer.Option(metavar="REPO#N", help="Of this issue, from its beginning.")] = None,
    type: Annotated[  # noqa: A002 - what it is called in an envelope
        list[str] | None, typer.Option(metavar="TYPE", help="Of this type; may be given more than once.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Go on until Ctrl-C, or stop at the end of the log.")] = True,
    json: Json = False,
) -> None:
    """The log as it is written: position, time, what it is about, who says it, what. The last ten events first."""

    async def reading_on(bus: "Bus") -> None:
        about = None if issue is None else await names.issue(bus, issue)
        after = await _after(bus, start, about)
        async with bus.log.follow(["rig.>" if about is None else everything_about(about)], after=after) as reader:
            while follow or not reader.caught_up:
                stored = await reader.next()
                item = stored.decoded()
                if not wanted or (isinstance(item, Recorded) and isinstance(item.event.data, wanted)):
                    _show(stored, item, json=json)

    find = find_server(context)
    with reported():
        wanted: tuple[EventType, ...] = tuple(map(by_name, type or []))
        start = None if since is None else reading.since(since, datetime.now(UTC))
        if issue is not None:
            names.check_issue(issue)
        with suppress(KeyboardInterrupt):
            run(context, lambda bus: _while_it_lasts(bus, find, reading_on))


async def _while_it_lasts(bus: "Bus", find: FindServer, work: Callable[["Bus"], Coroutine[Any, Any, None]]) -> None:
    """Does the work. Raises Failed once the rig that it is done for is no more."""
    working = asyncio.ensure_future(work(bus))
    watching = asyncio.ensure_future(_watch(bus, find))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()  # raises: it does not end otherwise
        await working
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _watch(bus: "Bus", find: FindServer) -> NoReturn:
    """Says when the connection is lost and when it is back. Raises Failed when there is no sense in waiting for it.

    A server that a person named may come back at any time. A rig on this machine says where it is as long as it runs:
    another address, or none for a while, is another rig, or none.
    """
    found, lost_at = find(), None
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if bus.connection.connected:
            if lost_at is not None:
                tell(sys.stderr, "rig: connected again")
            lost_at = None
            continue
        if lost_at is None:
            lost_at = time.monotonic()
            tell(sys.stderr, "rig: the connection to the rig is lost; waiting for it to come back")
        if found.setting is not None:
            continue
        try:
            now = find()
        except NoRig:
            if time.monotonic() - lost_at > PATIENCE_SECONDS:
                raise
        else:
            if now != found:
                raise Failed("the rig whose log this was has stopped; another runs here now: `rig tail` shows its log")


def _show(stored: "Stored", item: "Recorded | Skipped", *, json: bool) -> None:
    match item, json:
        case Recorded(), True:
            body = msgspec.Raw(msgspec.json.format(stored.body, indent=-1))
            say_json(TailLine(position=item.position, stored_at=item.stored_at, event=body))
        case Recorded(), False:
            say([show.said(item)])
        case _, True:
            say_json(TailLine(position=item.position, stored_at=item.stored_at, skipped=item.reason))
        case _, False:
            say([f"{item.position:>6}  {show.clock(item.stored_at)}  unreadable: {one_line(item.reason)}"])


async def _after(bus: "Bus", start: int | datetime | None, about: IssueRef | None) -> int:
    """The position behind which to begin."""
    last = await bus.log.last()
    end = 0 if last is None else last.position
    if isinstance(start, int):
        return min(max(start - 1, 0), end)
    if start is not None:
        return await _before(bus, start, end)
    return 0 if about is not None else max(end - RECENT, 0)


async def _before(bus: "Bus", time: datetime, end: int) -> int:
    """The last position that was stored before a time; positions and times rise together."""
    low, high = 0, end
    while low < high:
        middle = (low + high + 1) // 2
        found = await bus.log.at(middle)
        if found is not None and found.stored_at < time:
            low = middle
        else:
            high = middle - 1
    return low
