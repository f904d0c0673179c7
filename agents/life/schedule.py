"""Waking by the clock: cron expressions with a time zone, and what becomes of runs that were missed. Pure.

Five fields, as Debian's cron reads them (names, ranges, lists, steps, `L`, `MON#2`, `5L`), or one of @hourly, @daily,
@midnight, @weekly, @monthly, @yearly, @annually. What cannot be read is an error and never another schedule. In a night
when clocks change, what names its hour comes once: later if its hour is skipped, the first time if its hour comes
twice; what comes every so many minutes goes by the time that passes.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice, takewhile
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from msgspec import Struct

from agents.life import zones
from schemas.fields import Line, Text
from schemas.refs import Name

__all__ = ["CATCH_UP_MAX", "LATE", "Missed", "Plan", "Schedule", "dues", "is_due", "plan", "problems"]

CATCH_UP_MAX: Final = 24
"""Missed runs of one schedule that are made up for at once; what was due before them is left."""
LATE: Final = timedelta(minutes=5)
"""What is heard of later than this was missed."""
_NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_WINDOWS: Final = (timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=400))
"""How far is looked back for what was due, step by step: of a minutely schedule nobody wants a year."""


class Missed(StrEnum):
    """What becomes of runs that were due while nobody was there."""

    SKIP = "skip"
    """Nothing: the next one comes at its time."""
    ONCE = "once"
    """One run, for the last of them."""
    ALL = "all"
    """A run for each, the last 24 at most."""


class Schedule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that an agent does by the clock."""

    name: Name
    """Its own among the agent's."""
    cron: Line
    """When: minute, hour, day of the month, month, day of the week; or @daily and the like."""
    zone: Line = "UTC"
    """Whose clock: a name of the IANA time zone database, like Europe/Berlin."""
    missed: Missed = Missed.ONCE
    """What becomes of runs that were due while nobody was there."""
    text: Text
    """What it is told to do."""


class Plan(Struct, frozen=True):
    """What a schedule asks for at one moment."""

    due: tuple[datetime, ...]
    """To be run now, in order; UTC."""
    next: datetime
    """When to look again; UTC."""


def problems(schedule: Schedule) -> list[str]:
    """What is wrong with it, besides what its types say."""
    found: list[str] = []
    if wrong := zones.problem(schedule.zone):
        found.append(f"zone: {wrong}")
    try:
        next(_from(schedule.cron, datetime(2026, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        found.append(f"cron: {schedule.cron!r} is no cron expression: {_why(schedule.cron, error)}")
    except StopIteration:
        found.append(f"cron: {schedule.cron!r} never comes")
    return found


def dues(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """Every time that it is due behind a moment, in order, UTC. Ends only where a calendar does."""
    last, zone = after.astimezone(UTC), ZoneInfo(schedule.zone)
    for moment in _from(schedule.cron, after.astimezone(zone)):
        due = moment.astimezone(UTC)
        if due <= last:  # a seam of the clocks may give one twice, or one that was
            continue
        if moment.utcoffset() != last.astimezone(zone).utcoffset():
            # Where clocks change by half an hour, what goes by the time that passes is counted past the next one.
            seam = _seam(last, due, zone)
            hour = (seam.replace(minute=0) + timedelta(hours=1)).astimezone(UTC).astimezone(zone)
            passed = {next(_from(schedule.cron, start)).astimezone(UTC) for start in (seam, hour)}
            yield from sorted(each for each in passed if last < each < due)
        yield due
        last = due


def _seam(before: datetime, behind: datetime, zone: ZoneInfo) -> datetime:
    """The minute in which clocks there changed between two moments."""
    was = before.astimezone(zone).utcoffset()
    while behind - before > timedelta(minutes=1):
        middle = before + (behind - before) / 2
        before, behind = (middle, behind) if middle.astimezone(zone).utcoffset() == was else (before, middle)
    return behind.replace(second=0, microsecond=0).astimezone(zone)


def is_due(schedule: Schedule, moment: datetime) -> bool:
    """Whether that is one of its times."""
    return next(dues(schedule, moment - timedelta(minutes=1)), None) == moment


def plan(schedule: Schedule, *, last: datetime, now: datetime) -> Plan:
    """What is to be run now, `last` being the last due time that was seen to, or when the schedule began."""
    following = next(dues(schedule, now))
    if last >= now:  # the clock was set back, or somebody's is ahead
        return Plan((), next(dues(schedule, last)))
    passed = _passed(schedule, last, now)
    fresh = tuple(due for due in passed if due >= now - LATE)
    match schedule.missed:
        case Missed.SKIP:
            return Plan(fresh, following)
        case Missed.ONCE:
            return Plan(fresh or passed[-1:], following)
        case Missed.ALL:
            return Plan(passed, following)


def _passed(schedule: Schedule, last: datetime, now: datetime) -> tuple[datetime, ...]:
    """The last that were due behind one moment and up to another, CATCH_UP_MAX at most."""
    found: list[datetime] = []
    for window in (*_WINDOWS, now - last):
        start = max(last, now - window)
        found = list(takewhile(lambda due: due <= now, islice(dues(schedule, start), 100_000)))
        if start == last or len(found) >= CATCH_UP_MAX:
            break
    return tuple(found[-CATCH_UP_MAX:])


def _from(cron: str, moment: datetime) -> Iterator[datetime]:
    """Raises CronSimError."""
    expression = _NICKNAMES.get(cron.strip().lower(), cron)
    if len(expression.split()) != 5:  # some read a sixth as seconds
        raise CronSimError("Wrong number of fields")
    return CronSim(expression, moment)


def _why(cron: str, error: CronSimError) -> str:
    count = len(cron.split())
    if cron.strip().startswith("@"):
        return f"there are {', '.join(_NICKNAMES)}"
    return f"it has {count} fields and not 5" if count != 5 else str(error)
