"""Waking by the clock: every kind of expression as another library reads it, changes of clocks, and missed runs."""

import itertools
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from agents.life.schedule import CATCH_UP_MAX, Missed, Schedule, dues, plan, problems

BERLIN = "Europe/Berlin"
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def schedule(cron: str, zone: str = "UTC", missed: Missed = Missed.ONCE) -> Schedule:
    return Schedule(name="s", cron=cron, zone=zone, missed=missed, text="do it")


def some(cron: str, zone: str, start: datetime, count: int) -> list[datetime]:
    return list(itertools.islice(dues(schedule(cron, zone), start), count))


def local(cron: str, zone: str, start: str, count: int) -> list[str]:
    """As clocks there show it, with their distance from UTC in hours."""
    began = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    found = [due.astimezone(ZoneInfo(zone)) for due in some(cron, zone, began, count)]
    return [f"{due:%m-%d %H:%M} {due.utcoffset() // timedelta(hours=1):+d}" for due in found]  # type: ignore[operator]


KINDS = (
    "* * * * *",
    "*/7 * * * *",
    "0 * * * *",
    "5,35 */3 * * *",
    "10-40/10 8-18 * * MON-FRI",
    "0 9 * * 1",
    "0 9 * * 0,6",
    "0 9 * * 7",
    "30 4 1 * *",
    "30 4 1,15 * *",
    "0 0 29 2 *",
    "0 0 31 * *",
    "15 10 L * *",
    "0 12 * JAN,JUL *",
    "0 12 1 */2 *",
    "0 8 * * MON#2",
    "0 8 * * 5#1",
    "0 0 13 * FRI",  # a day of the month or a day of the week: either is enough
    "0 0 */10 * MON",
    "59 23 31 12 *",
    "@daily",
    "@weekly",
    "@monthly",
    "@yearly",
    "@hourly",
)


@pytest.mark.parametrize("cron", KINDS)
def test_another_library_reads_it_so_too(cron: str) -> None:
    start = datetime(2026, 1, 1, 0, 0, tzinfo=UTC)
    # a star with a step: Debian's cron wants both days then, and so does the other library, when told
    reference = croniter(cron, start, implement_cron_bug=True)
    assert some(cron, "UTC", start, 30) == [reference.get_next(datetime) for _ in range(30)]


@pytest.mark.parametrize("count", [150, pytest.param(2_000, marks=pytest.mark.full)])
def test_another_library_reads_any_expression_so_too(count: int) -> None:
    dice = random.Random(7)  # noqa: S311 - the same every time

    def field(low: int, high: int) -> str:
        a, b = sorted(dice.sample(range(low, high + 1), 2))  # croniter takes 6-6 for every month
        return dice.choice(
            ("*", "*", str(a), f"{a}-{b}", f"{a},{b}", f"*/{dice.randint(2, 9)}", f"{a}-{b}/{dice.randint(1, 5)}")
        )

    for _ in range(count):
        cron = f"{field(0, 59)} {field(0, 23)} {field(1, 28)} {field(1, 12)} {field(0, 6)}"
        start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=dice.randint(0, 525_600))
        reference = croniter(cron, start, implement_cron_bug=True)
        assert some(cron, "UTC", start, 4) == [reference.get_next(datetime) for _ in range(4)], cron


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("", "0 fields"),
        ("every five minutes", "3 fields"),
        ("* * * * * *", "6 fields"),
        ("60 * * * *", "Bad minute"),
        ("* 24 * * *", "Bad hour"),
        ("* * 0 * *", "Bad day-of-month"),
        ("* * * 13 *", "Bad month"),
        ("* * * * 8", "Bad day-of-week"),
        ("*/0 * * * *", "Bad minute"),
        ("5-1 * * * *", "Bad minute"),
        ("* * * * MONDAY", "Bad day-of-week"),
        ("0 0 30 2 *", "Bad day-of-month"),
        ("@reboot", "there are @hourly"),
        ("-1 * * * *", "Bad minute"),
        ("1.5 * * * *", "Bad minute"),
    ],
)
def test_what_cannot_be_read_is_an_error(cron: str, why: str) -> None:
    assert [why in problem for problem in problems(schedule(cron))] == [True], problems(schedule(cron))


def test_an_hour_that_is_skipped_comes_at_its_end_and_once() -> None:
    assert local("30 2 * * *", BERLIN, "2026-03-28T00:00", 3) == ["03-28 02:30 +1", "03-29 03:00 +2", "03-30 02:30 +2"]


def test_two_times_of_an_hour_that_is_skipped_are_one() -> None:
    assert local("0,30 2 * * *", BERLIN, "2026-03-29T00:00", 3) == [
        "03-29 03:00 +2",
        "03-30 02:00 +2",
        "03-30 02:30 +2",
    ]


def test_an_hour_that_comes_twice_counts_once_where_it_is_named() -> None:
    assert local("30 2 * * *", BERLIN, "2026-10-24T00:00", 3) == ["10-24 02:30 +2", "10-25 02:30 +2", "10-26 02:30 +1"]


def test_in_an_hour_that_comes_twice_nothing_is_due_that_was_before() -> None:
    second = datetime(
        2026, 10, 25, 1, 5, tzinfo=UTC
    )  # 02:05 for the second time; the library begins at 02:30, the first
    assert some("30 2 * * *", BERLIN, second, 1) == [datetime(2026, 10, 26, 1, 30, tzinfo=UTC)]


def test_what_comes_every_so_many_minutes_goes_by_the_time_that_passes() -> None:
    assert local("*/30 * * * *", BERLIN, "2026-03-29T01:00", 3) == [
        "03-29 01:30 +1",
        "03-29 03:00 +2",
        "03-29 03:30 +2",
    ]
    assert local("*/30 * * * *", BERLIN, "2026-10-25T02:00", 5) == [
        "10-25 02:30 +2",
        "10-25 02:00 +1",
        "10-25 02:30 +1",
        "10-25 03:00 +1",
        "10-25 03:30 +1",
    ]


def test_where_clocks_change_by_half_an_hour_none_is_passed_over() -> None:
    for start, first in (("2026-10-04T00:00", "10-04 00:10 +10"), ("2026-04-05T00:00", "04-05 00:10 +11")):
        behind = "+11" if first.endswith("+10") else "+10"
        assert local("10 */3 * * *", "Australia/Lord_Howe", start, 3) == [
            first,
            f"{first[:5]} 03:10 {behind}",
            f"{first[:5]} 06:10 {behind}",
        ]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "0 * * * *", "*/15 1-3 * * *", "45 1 * * SUN", "0 0 * * *"])
def test_a_year_goes_forward_wherever_one_begins_in_it(cron: str, zone: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    year = list(itertools.takewhile(lambda due: due < start + timedelta(days=366), dues(schedule(cron, zone), start)))
    assert all(a < b for a, b in itertools.pairwise(year))
    assert all(b - a <= timedelta(days=8, hours=1) for a, b in itertools.pairwise(year))
    for index in range(0, len(year) - 1, max(1, len(year) // 15)):
        assert next(dues(schedule(cron, zone), year[index])) == year[index + 1], (
            "one firing after another, no other way"
        )


# ── runs that were missed ────────────────────────────────────────────────────


def test_nothing_is_due_before_its_time() -> None:
    found = plan(schedule("0 9 * * *"), last=NOW, now=NOW)
    assert found.due == ()
    assert found.next == datetime(2026, 3, 11, 9, tzinfo=UTC)


@pytest.mark.parametrize("missed", list(Missed))
def test_what_is_due_now_is_run_whatever_becomes_of_missed_runs(missed: Missed) -> None:
    at = datetime(2026, 3, 11, 9, tzinfo=UTC)
    found = plan(schedule("0 9 * * *", missed=missed), last=at - timedelta(days=1), now=at + timedelta(seconds=20))
    assert found.due == (at,)
    assert found.next == at + timedelta(days=1)


def test_a_week_away() -> None:
    last, now = datetime(2026, 3, 3, 9, tzinfo=UTC), datetime(2026, 3, 10, 12, tzinfo=UTC)
    days = tuple(last + timedelta(days=day) for day in range(1, 8))
    by = {missed: plan(schedule("0 9 * * *", missed=missed), last=last, now=now) for missed in Missed}
    assert by[Missed.SKIP].due == ()
    assert by[Missed.ONCE].due == days[-1:]
    assert by[Missed.ALL].due == days
    assert {found.next for found in by.values()} == {datetime(2026, 3, 11, 9, tzinfo=UTC)}


def test_a_year_of_minutes_is_made_up_for_by_the_last_of_them_and_quickly() -> None:
    found = plan(schedule("* * * * *", missed=Missed.ALL), last=NOW - timedelta(days=365), now=NOW)
    assert found.due == tuple(NOW - timedelta(minutes=back) for back in reversed(range(CATCH_UP_MAX)))


def test_what_is_a_little_late_is_not_missed() -> None:
    found = plan(schedule("* * * * *", missed=Missed.ONCE), last=NOW, now=NOW + timedelta(minutes=3, seconds=10))
    assert found.due == tuple(NOW + timedelta(minutes=minute) for minute in (1, 2, 3))


def test_a_clock_that_was_set_back_runs_nothing_twice() -> None:
    last = NOW + timedelta(hours=3)
    found = plan(schedule("0 * * * *"), last=last, now=NOW)
    assert found.due == ()
    assert found.next > last


@pytest.mark.parametrize("missed", list(Missed))
def test_however_often_it_is_asked_each_due_time_comes_once(missed: Missed) -> None:
    """As the shell goes on: it looks at some moments, and what was due there is the last that was seen to."""
    dice = random.Random(11)  # noqa: S311 - the same every time
    for cron in ("*/10 * * * *", "30 2 * * *", "0 9 * * MON"):
        wanted = schedule(cron, BERLIN, missed)
        last = now = datetime(2026, 3, 20, tzinfo=UTC)
        ran: list[datetime] = []
        for _ in range(200):
            now += timedelta(minutes=dice.choice((1, 2, 5, 60, 600)))
            found = plan(wanted, last=last, now=now)
            ran += found.due
            last = found.due[-1] if found.due else last
            assert found.next > now
        assert ran == sorted(set(ran))
        every = set(
            itertools.takewhile(lambda due, end=now: due <= end, dues(wanted, datetime(2026, 3, 20, tzinfo=UTC)))
        )
        assert set(ran) <= every
