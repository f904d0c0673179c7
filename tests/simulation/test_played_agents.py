"""Two processes of an agent over a year that is played: every due time is woken for once, or missed by its policy.

Processes end in order and die between any two words, timers are lost, fire twice and late; nobody is there for hours.
What must be is told by the calendar and by who lived when, and by nothing that the agent keeps.
"""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import msgspec
import pytest

from agents.life.clock import Firing
from agents.life.schedule import LATE, Missed, Schedule, dues
from bus.testing import InMemoryBus, run
from bus.topology import AGENT_TIMERS
from schemas import AgentRef, AgentRested, AgentScheduled, Draft, RestOutcome, WokenBy, woken
from tests.support.awake import ANN
from tests.support.played import LEASE_SECONDS, STANDBY_SECONDS, Played, seldom

SETTLED = timedelta(seconds=LEASE_SECONDS + STANDBY_SECONDS + 60)
"""So long after a death somebody holds the agent again, where anybody lives."""
SCHEDULES = (
    Schedule(name="hourly", cron="0 * * * *", missed=Missed.ALL, text="Sweep."),
    Schedule(name="night", cron="30 2 * * *", zone="Europe/Berlin", missed=Missed.ALL, text="Sweep."),
    Schedule(name="often", cron="*/20 6-7 * * MON-FRI", zone="America/New_York", missed=Missed.ONCE, text="Sweep."),
    Schedule(name="now", cron="10 */3 * * *", zone="Australia/Lord_Howe", missed=Missed.SKIP, text="Sweep."),
    Schedule(name="monthly", cron="0 9 L * *", missed=Missed.ALL, text="Sweep."),
)


@pytest.fixture(autouse=True)
def on_played_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seldom(monkeypatch)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("seed", "start", "days"),
    [
        (1, "2026-03-26", 6),
        *(
            pytest.param(number, f"2026-{month}-01", 92, marks=(pytest.mark.full, pytest.mark.timeout(900)))
            for number, month in enumerate(("01", "04", "07", "10"), 2)
        ),
    ],
)
def test_every_due_time_is_woken_for_once(tmp_path: Path, seed: int, start: str, days: int) -> None:
    dice = Random(seed)  # noqa: S311 - the same every time

    async def play() -> None:
        played = Played(InMemoryBus(seed=seed, epoch=at(start)), tmp_path, dice)
        await played.open([msgspec.to_builtins(each) for each in SCHEDULES])
        await played.start()
        await played.later(minutes=10)
        began, end = played.now(), at(start) + timedelta(days=days)
        while played.now() < end:
            await something_happens(played)
        while len(played.living) < 2:
            await played.start()
        await played.later(hours=2)
        await played.once()
        said = await played.due()
        for schedule in SCHEDULES:
            check(schedule, [due for name, due in said if name == schedule.name], played, began, played.now())
        for process in played.living:
            await process.stop()

    run(play())


async def something_happens(played: Played) -> None:
    dice, living = played.dice, played.living
    await played.later(minutes=dice.choice((1, 20, 100, 300, 600)))
    match dice.randrange(8):
        case 0 if living:
            await dice.choice(living).stop()
        case 1 | 2 if living:
            await dice.choice(living).die(steps=dice.randrange(1, 25), after=dice.random() < 0.5)
        case 3 if living:  # all at once
            for process in living:
                await process.die()
        case 4:
            await played.root.connection.api(f"$JS.API.STREAM.PURGE.{AGENT_TIMERS.name}")
        case 5:
            schedule = dice.choice(SCHEDULES)
            due = next(dues(schedule, played.now()))
            firing = Firing(agent=ANN, schedule=schedule.name, due=due, missed=schedule.missed)
            late = timedelta(seconds=dice.choice((0, 0, 1, 100)))
            await played.root.timers.set(f"again-{schedule.name}", due + late, msgspec.json.encode(firing))
        case _:
            pass
    if len(played.living) < 2 and dice.random() < 0.8:
        await played.start()


def check(schedule: Schedule, said: list[datetime], played: Played, began: datetime, end: datetime) -> None:
    """Of one schedule: what was woken for is what the calendar and its policy ask for."""
    every = list(itertools.takewhile(lambda due: due <= end, dues(schedule, began)))
    assert len(said) == len(set(said)), "twice"
    assert set(said) <= set(every), "it was not due"
    for due in every:
        if due not in said:
            assert schedule.missed is not Missed.ALL, f"{schedule.name}: {due} is lost"
            assert not somebody_there(played, due), f"{schedule.name}: somebody was there at {due}"
    if schedule.missed is Missed.ONCE:
        assert every[-1] in said
        for process in played.processes:  # who comes back makes up for the last that was missed
            if somebody_there(played, process.began + SETTLED):
                before = [due for due in every if due <= process.began]
                assert before[-1:] == [due for due in said if due <= process.began][-1:]


def somebody_there(played: Played, moment: datetime) -> bool:
    """Surely: it lived long before and after, and nobody died about that time who might have held the agent still."""
    around = moment - SETTLED, moment + LATE
    if any(each.ended is not None and around[0] <= each.ended <= around[1] for each in played.processes):
        return False
    return any(each.began <= around[0] and (each.ended is None or each.ended > around[1]) for each in played.processes)


def test_a_schedule_that_is_edited_while_it_is_in_force_begins_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.character.reload.EVERY_SECONDS", 600.0)

    async def play() -> None:
        played = Played(InMemoryBus(epoch=at("2026-03-02")), tmp_path, Random(1))  # noqa: S311 - a test's
        await played.open([SWEEP])
        process = await played.start()
        await played.later(hours=12)
        played.edit([{**SWEEP, "cron": "0 11 * * *"}, {**SWEEP, "name": "new"}])
        await played.later(hours=24)
        await process.stop()
        assert await played.due() == [
            ("sweep", at("2026-03-02T09:00")),
            ("new", at("2026-03-03T09:00")),
            ("sweep", at("2026-03-03T11:00")),
        ]

    run(play())


SWEEP = {"name": "sweep", "cron": "0 9 * * *", "missed": "all"}


def test_what_was_due_while_nobody_was_there_is_made_up_for_though_it_never_ran_before(tmp_path: Path) -> None:
    async def play() -> None:
        played = Played(InMemoryBus(epoch=at("2026-03-02")), tmp_path, Random(1))  # noqa: S311 - a test's
        await played.open([{**SWEEP, "name": missed.value, "missed": missed.value} for missed in Missed])
        process = await played.start()
        await played.later(hours=1)
        await process.stop()
        await played.root.connection.api(f"$JS.API.STREAM.PURGE.{AGENT_TIMERS.name}")
        await played.later(days=3)
        process = await played.start()
        await played.later(hours=1)
        await process.stop()
        days = [at(f"2026-03-0{day}T09:00") for day in (2, 3, 4)]
        assert sorted(await played.due()) == [*(("all", day) for day in days), ("once", days[-1])]
        await played.once()

    run(play())


def test_a_schedule_that_is_edited_while_nobody_is_there_has_missed_nothing(tmp_path: Path) -> None:
    """Nor does the timer that was set for its old time wake anybody to any purpose."""

    async def play() -> None:
        played = Played(InMemoryBus(epoch=at("2026-03-02")), tmp_path, Random(1))  # noqa: S311 - a test's
        await played.open([SWEEP, {**SWEEP, "name": "gone"}])
        process = await played.start()
        await played.later(hours=10)
        await process.stop()
        played.edit([{**SWEEP, "cron": "0 11 * * *"}, {**SWEEP, "name": "new", "cron": "0 12 * * *"}])
        await played.later(days=1, hours=4)  # the old timers fire at nine
        process = await played.start()
        await played.later(hours=1)
        await process.stop()
        said = [each.event.data for each in await played.log()]
        done = {each.run for each in said if isinstance(each, AgentRested) and each.outcome is RestOutcome.DONE}
        ran = {(each.key, each.due) for each in await played.woken() if each.run in done}
        assert ran == {(name, at("2026-03-02T09:00")) for name in ("sweep", "gone")}
        process = await played.start()
        await played.later(days=1)
        await process.stop()
        later = {(each.key, each.due) for each in await played.woken()} - ran
        assert later >= {("sweep", at("2026-03-04T11:00")), ("new", at("2026-03-04T12:00"))}
        assert ("gone", at("2026-03-04T09:00")) not in later
        begun = [each for each in said if isinstance(each, AgentScheduled)]
        assert [sorted(each.name for each in one.schedules) for one in begun] == [["gone", "sweep"], ["new", "sweep"]]

    run(play())


def test_a_log_that_is_read_again_takes_no_schedule_back_to_when_it_was_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half way through it says what was in force then: what was due meanwhile is not missed."""
    monkeypatch.setattr("agents.character.reload.EVERY_SECONDS", 600.0)
    every = {**SWEEP, "cron": "0 * * * *"}

    async def play() -> None:
        played = Played(InMemoryBus(epoch=at("2026-03-02")), tmp_path, Random(1))  # noqa: S311 - a test's
        await played.open([every])
        process = await played.start()
        for schedules in ([], [every], [{**every, "text": "Sweep well."}]):
            await played.later(hours=5, minutes=20)
            played.edit(schedules)
        await played.later(hours=1, minutes=30)
        await process.stop()
        before, behind = range(1, 6), range(11, 18)  # from 5:20 to 10:40 it had none
        assert [due.hour for _, due in await played.due()] == [*before, *behind]
        begun = [each for each in await played.log() if isinstance(each.event.data, AgentScheduled)]
        assert len(begun) == 3, "who had other words for the same times has no other schedule"

    run(play())


def test_in_a_log_from_before_schedules_were_facts_none_was_missed(tmp_path: Path) -> None:
    """Nobody knows how long it has had them: the next due time is the first."""

    async def play() -> None:
        played = Played(InMemoryBus(epoch=at("2026-03-02")), tmp_path, Random(1))  # noqa: S311 - a test's
        schedules = [{**SWEEP, "name": missed.value, "missed": missed.value} for missed in Missed]
        await played.open(schedules)
        about = AgentRef(ANN)
        for missed in Missed:
            data, said = woken(ANN, WokenBy.SCHEDULE, missed.value, due=at("2026-03-01T09:00"))
            await played.root.log.publish(Draft(about=about, data=data), said)
        await played.later(days=30, hours=8)
        process = await played.start()
        await played.later(hours=2)
        await process.stop()
        new = {each for each in await played.due() if each[1] != at("2026-03-01T09:00")}
        assert new == {(missed.value, at("2026-04-01T09:00")) for missed in Missed}

    run(play())


def test_a_takeover_whose_new_owner_dies_too_leaves_the_wake_to_a_third(tmp_path: Path) -> None:
    async def play() -> None:
        played = Played(InMemoryBus(epoch=at("2026-03-02")), tmp_path, _Slow(1))
        await played.open([SWEEP])
        await played.start()
        await played.later(hours=9, seconds=10)  # it thinks
        for _ in range(2):
            await played.living[0].die()
            await played.start()
            await played.later(seconds=LEASE_SECONDS + 10)
        assert len(played.began) == 3, "each has begun it"
        await played.later(minutes=10)
        await played.living[0].stop()
        await played.once()
        assert await played.due() == [("sweep", at("2026-03-02T09:00"))]

    run(play())


class _Slow(Random):
    """Whoever thinks takes his time."""

    def choice(self, seq: Sequence[object]) -> object:  # type: ignore[override] - of numbers here
        return seq[-1]


def test_a_timer_that_is_lost_loses_no_run(tmp_path: Path) -> None:
    """Who holds the agent looks for himself, seconds behind the time."""

    async def play() -> None:
        played = Played(InMemoryBus(epoch=at("2026-03-02")), tmp_path, Random(1))  # noqa: S311 - a test's
        await played.open([{**SWEEP, "missed": "skip"}])
        process = await played.start()
        await played.later(hours=8)
        await played.root.connection.api(f"$JS.API.STREAM.PURGE.{AGENT_TIMERS.name}")
        await played.later(hours=1, seconds=4)
        assert await played.due() == [("sweep", at("2026-03-02T09:00"))]
        await process.stop()

    run(play())
