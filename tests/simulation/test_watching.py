"""The watch at work, on the bus in memory and on virtual time: what stands still is said within its time, once."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from msgspec.structs import replace

from bus import Bus, Expect, ServerRefused, Unavailable
from bus.testing import run
from conductor.state import State
from conductor.watch import run_watch
from machine.lifecycle import Lifecycle
from schemas import (
    Actor,
    AgentBack,
    AgentSilent,
    CanaryIssued,
    CanaryReturned,
    Draft,
    Envelope,
    Event,
    HaltCleared,
    HaltDetected,
    Invariant,
    IssueApproved,
    IssueDone,
    Merged,
    Policy,
    Recorded,
    WorkPushed,
)
from tests.support.around import AGENT, QUICK, World, world

SLACK = 3
"""Seconds beyond the policy's: between two looks, and for what is on its way."""
WORDS = (HaltDetected, HaltCleared, AgentSilent, AgentBack)


class Watching:
    """A watch that is running."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.life = Lifecycle()
        self.life.running = True
        self.task = asyncio.create_task(run_watch(bus, self.life))

    async def stop(self) -> None:
        self.life.stop.set()
        await self.task
        await self.bus.close()


@asynccontextmanager
async def watching(rig: World, source: str = "watch") -> AsyncGenerator[Watching]:
    watch = Watching(await rig.server.connect(Actor.WATCH, source))
    try:
        yield watch
    finally:
        await watch.stop()


def play(monkeypatch: pytest.MonkeyPatch, story: Callable[[World], Awaitable[None]], policy: Policy = QUICK) -> None:
    """A story on a rig that is well when it begins."""

    async def main() -> None:
        async with asyncio.timeout(3_600), world(monkeypatch, policy) as rig:
            await story(rig)

    run(main())


def seconds(after: datetime, item: Recorded) -> float:
    return (item.stored_at - after).total_seconds()


def decides(monkeypatch: pytest.MonkeyPatch, keep: Callable[[Draft], bool]) -> None:
    """The conductor says only what is kept of what it decides."""
    from conductor import shell

    decide = shell.decide
    monkeypatch.setattr(shell, "decide", lambda *known: [draft for draft in decide(*known) if keep(draft)])


def never_hears(monkeypatch: pytest.MonkeyPatch, lost: Callable[[Envelope], bool]) -> None:
    """What is lost never reaches the conductor's fold; it reads on and decides on everything else."""
    from conductor import shell

    evolve = shell.evolve

    def hears(state: State, event: Envelope | None, position: int) -> State:
        return evolve(state, None if event is not None and lost(event) else event, position)

    monkeypatch.setattr(shell, "evolve", hears)


# ── stories ──────────────────────────────────────────────────────────────────


def test_on_a_rig_that_is_well_it_says_nothing(monkeypatch: pytest.MonkeyPatch):
    async def story(rig: World) -> None:
        async with watching(rig) as watch:
            for number in range(1, 6):
                await rig.approve(number)
                await asyncio.sleep(2)
            await asyncio.sleep(120)
            assert len(await rig.heard(IssueDone)) == 5
            assert await rig.heard(*WORDS) == []
            assert watch.life.is_ready

    play(monkeypatch, story)


def test_a_conductor_that_silently_does_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    decides(monkeypatch, lambda draft: False)

    async def story(rig: World) -> None:
        async with watching(rig):
            issue = await rig.approve(1)
            began = rig.reader.connection.now()
            said = await rig.next(HaltDetected)
            assert isinstance(said.event.data, HaltDetected)
            assert said.event.data.invariant is Invariant.FACT_WITHOUT_CONSEQUENCE
            assert said.event.data.evidence[0].startswith(f"{issue}, approved at position ")
            assert 10 <= seconds(began, said) <= 10 + SLACK
            await asyncio.sleep(60 + SLACK)
            found = [event.invariant for event in await rig.heard(HaltDetected) if isinstance(event, HaltDetected)]
            assert found == [Invariant.FACT_WITHOUT_CONSEQUENCE, Invariant.ISSUE_UNANSWERED]

    play(monkeypatch, story)
    shouted = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [line.split(" since ")[0] for line in shouted] == [
        "HALT: fact without consequence",
        "HALT: issue unanswered",
    ]


@pytest.mark.parametrize(
    ("lost", "what"), [(IssueApproved, "approved"), (WorkPushed, "work_pushed"), (Merged, "merged")]
)
def test_a_conductor_that_drops_a_delivery_while_all_others_go_on(
    monkeypatch: pytest.MonkeyPatch, lost: type[Event], what: str
):
    never_hears(monkeypatch, lambda event: str(event.about) == "demo/shop#2" and isinstance(event.data, lost))

    async def story(rig: World) -> None:
        async with watching(rig):
            for number in (1, 2, 3):
                await rig.approve(number)
            await asyncio.sleep(40)
            assert len(await rig.heard(IssueDone)) == 2
            (halt,) = await rig.heard(HaltDetected)
            assert isinstance(halt, HaltDetected)
            assert halt.invariant is Invariant.FACT_WITHOUT_CONSEQUENCE
            (line,) = halt.evidence
            assert line.startswith(f"demo/shop#2, {what} at position ")

    play(monkeypatch, story)


def test_a_conductor_that_died_and_comes_back(monkeypatch: pytest.MonkeyPatch):
    async def story(rig: World) -> None:
        from conductor.shell import run_conductor

        async with watching(rig):
            await rig.stop("conductor")
            await rig.approve(1)
            await rig.next(HaltDetected)
            rig.start("conductor", run_conductor(rig.buses[Actor.CONDUCTOR], Lifecycle()))
            cleared = await rig.next(HaltCleared)
            assert isinstance(cleared.event.data, HaltCleared)
            assert cleared.event.data.invariant is Invariant.FACT_WITHOUT_CONSEQUENCE
            await rig.next(IssueDone)

    play(monkeypatch, story)


@pytest.mark.parametrize(("read_to", "why"), [(4, "it is at position 4 of the log"), (-1, "postgres does not answer")])
def test_a_projector_that_stands_still_and_a_postgres_that_is_away(
    monkeypatch: pytest.MonkeyPatch, read_to: int, why: str
):
    async def story(rig: World) -> None:
        async with watching(rig):
            await asyncio.sleep(20)
            rig.read_to = read_to
            await rig.approve(1)
            began = rig.reader.connection.now()
            said = await rig.next(HaltDetected)
            assert isinstance(said.event.data, HaltDetected)
            assert said.event.data.invariant is Invariant.PROJECTION_BEHIND
            assert why in said.event.data.evidence[0]
            assert seconds(began, said) <= 16 + 16 / 8 + SLACK
            rig.read_to = None
            await rig.next(HaltCleared)

    play(monkeypatch, story)


def test_an_agent_that_dies_without_a_word_and_one_that_comes_back(monkeypatch: pytest.MonkeyPatch):
    async def story(rig: World) -> None:
        async with watching(rig):
            await asyncio.sleep(21)
            died = rig.reader.connection.now()
            await rig.stop("agent")
            said = await rig.next(AgentSilent)
            assert str(said.event.about) == AGENT
            assert isinstance(said.event.data, AgentSilent)
            assert 10 <= seconds(said.event.data.since, said) <= 10 + SLACK
            assert seconds(died, said) <= 10 + SLACK
            await asyncio.sleep(60)
            assert len(await rig.heard(AgentSilent)) == 1
            rig.start("agent", rig.agent())
            back = await rig.next(AgentBack)
            assert back.event.data == AgentBack(since=said.event.data.since)

    play(monkeypatch, story)


# ── canaries ─────────────────────────────────────────────────────────────────

CANARIES = replace(QUICK, watch=replace(QUICK.watch, canary_repository="demo/shop"))


def test_canaries_go_out_on_schedule_and_each_comes_back(monkeypatch: pytest.MonkeyPatch):
    async def story(rig: World) -> None:
        async with watching(rig):
            await asyncio.sleep(3 * 60 + 30)
        assert len(rig.asked) == len(await rig.heard(CanaryIssued)) == len(await rig.heard(CanaryReturned)) == 4
        assert await rig.heard(HaltDetected) == []

    play(monkeypatch, story, CANARIES)


def test_a_watch_that_dies_between_asking_and_saying_puts_in_no_second_canary(monkeypatch: pytest.MonkeyPatch):
    async def story(rig: World) -> None:
        first = Watching(await rig.server.connect(Actor.WATCH, "watch/1"))

        async def dies(events: Sequence[Envelope], *, expect: Expect) -> int:
            await asyncio.Event().wait()
            raise AssertionError

        first.bus.log.append = dies
        while not rig.asked:  # noqa: ASYNC110 - a fact of the rig
            await asyncio.sleep(1)
        await first.stop()
        assert await rig.heard(CanaryIssued) == []
        async with watching(rig, "watch/2"):
            said = await rig.next(CanaryIssued)
            assert isinstance(said.event.data, CanaryIssued)
            assert rig.asked == {"canary-0": said.event.data.issue}
            await rig.next(CanaryReturned)

    play(monkeypatch, story, CANARIES)


def test_a_canary_that_nobody_takes_is_lost_and_told_of(monkeypatch: pytest.MonkeyPatch):
    async def story(rig: World) -> None:
        async with watching(rig) as watch:
            await asyncio.sleep(40 + SLACK)
            assert "canary" in watch.life.checks
            assert not watch.life.checks["canary"].ok
            assert not watch.life.is_ready
            (halt,) = await rig.heard(HaltDetected)
            assert isinstance(halt, HaltDetected)
            assert halt.invariant is Invariant.CANARY_LOST

    elsewhere = replace(QUICK, watch=replace(QUICK.watch, canary_repository="nowhere"))
    play(monkeypatch, story, elsewhere)


# ── itself ───────────────────────────────────────────────────────────────────


def test_three_watches_say_it_once_and_so_do_those_that_come_later(monkeypatch: pytest.MonkeyPatch):
    decides(monkeypatch, lambda draft: False)

    async def story(rig: World) -> None:
        async with watching(rig, "watch/1"), watching(rig, "watch/2"), watching(rig, "watch/3"):
            await rig.approve(1)
            await rig.stop("agent")
            await asyncio.sleep(100)
        before = await rig.heard(*WORDS)
        assert sorted(type(event).__name__ for event in before) == ["AgentSilent", "HaltDetected", "HaltDetected"]
        async with watching(rig, "watch/4"):
            await asyncio.sleep(100)
        assert await rig.heard(*WORDS) == before

    play(monkeypatch, story)


def test_a_server_that_was_away_for_hours_is_no_halt_of_others(monkeypatch: pytest.MonkeyPatch):
    async def story(rig: World) -> None:
        async with watching(rig):
            await rig.approve(1)
            await asyncio.sleep(2)
            rig.server.crash()
            await asyncio.sleep(60)
            rig.server.restart()
            await asyncio.sleep(90)
            assert await rig.heard(*WORDS) == []

    play(monkeypatch, story)


@pytest.mark.parametrize("error", [Unavailable("no answer"), ServerRefused("a batch", 10077, "disk is full")])
def test_a_watch_that_cannot_speak_is_not_ready_and_shouts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
):
    decides(monkeypatch, lambda draft: False)

    async def story(rig: World) -> None:
        async with watching(rig) as watch:
            append = watch.bus.log.append

            async def refused(events: Sequence[Envelope], *, expect: Expect) -> int:
                raise error

            watch.bus.log.append = refused
            await rig.approve(1)
            await asyncio.sleep(10 + SLACK)
            assert not watch.life.is_ready
            assert str(error) in watch.life.checks["log"].detail
            watch.bus.log.append = append
            await rig.next(HaltDetected)
            await asyncio.sleep(1)
            assert watch.life.is_ready

    play(monkeypatch, story)
    assert sum("HALT: fact without consequence" in record.getMessage() for record in caplog.records) == 1


def test_without_a_policy_it_stands_by_and_says_so(monkeypatch: pytest.MonkeyPatch):
    async def main() -> None:
        from bus.testing import InMemoryBus

        server = InMemoryBus()
        watch = Watching(await server.connect(Actor.WATCH))
        await asyncio.sleep(10)
        assert "no policy" in watch.life.checks["policy"].detail
        assert not watch.life.is_ready
        await watch.stop()

    run(main())
