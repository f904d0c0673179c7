"""Dead letters that come back to their consumer, or are dropped: once, by one person, and never by forgery."""

import asyncio
from typing import NoReturn

import pytest
from msgspec import json

from bus import Bus, Delivery, Done, Drop, NoLetter, Outcome, ServerRefused
from bus.dead import DeadLetters
from bus.letters import Verdict
from bus.topology import WORK
from schemas import Actor, Draft, IssueRef, Recorded
from tests.conftest import Connect
from tests.support.jobs import JOBS, fill, info, key, working
from tests.support.letters import drops, open_letters
from tests.support.saying import assigned


async def test_a_retried_letter_comes_back_to_its_consumer_with_its_cause(bus: Bus, dead: DeadLetters) -> None:
    async def mended(delivery: Delivery) -> Outcome:
        return Done() if delivery.cause else Drop("makes no sense")

    (position,) = await fill(bus, "a")
    async with working(bus, mended, key=key) as worker:
        (found,) = await open_letters(dead, 1)
        retry = await dead.retry(found.id, by="ann", reason="it is mended")
        await worker.until(lambda: len(worker.done) == 1)
    again = worker.began[1]
    assert (again.position, again.subject, again.body) == (position, "rig.jobs.a", b"a")
    assert (again.cause, again.attempt) == (f"RIG_DEAD:{retry}", 1)
    (letter,) = await dead.all()
    assert letter.state == "retried"
    assert letter.verdict is not None
    assert (letter.verdict.by, letter.verdict.reason) == ("ann", "it is mended")
    assert (await info(bus, JOBS.retries))["num_ack_pending"] == 0
    with pytest.raises(NoLetter, match="is not open: it was retried by ann"):
        await dead.retry(found.id, by="bob", reason="me too")


async def test_a_retry_that_fails_again_is_a_new_letter(bus: Bus, dead: DeadLetters) -> None:
    await fill(bus, "a")
    async with working(bus, drops):
        (first,) = await open_letters(dead, 1)
        retry = await dead.retry(first.id, by="ann", reason="perhaps")
        while len(await dead.all()) < 2:
            pass
    old, new = await dead.all()
    assert (old.state, new.state) == ("retried", "open")
    assert new.letter.cause == f"RIG_DEAD:{retry}"
    assert new.letter.position == first.letter.position


async def test_a_retry_waits_for_its_consumer_and_is_for_no_other(bus: Bus, dead: DeadLetters) -> None:
    positions = await fill(bus, "a")
    async with working(bus, drops):
        (found,) = await open_letters(dead, 1)
    await dead.retry(found.id, by="ann", reason="later")
    async with working(bus, None, WORK[Actor.DEV_E]) as other, working(bus) as worker:
        await worker.until(lambda: len(worker.done) == 1)
    assert worker.positions == positions
    assert other.began == []


async def test_a_dropped_letter_stays_with_who_dropped_it_and_why(bus: Bus, dead: DeadLetters) -> None:
    await fill(bus, "a")
    async with working(bus, drops):
        (found,) = await open_letters(dead, 1)
        await dead.drop(found.id, by="ann", reason="nobody wants it")
    (letter,) = await dead.all()
    assert letter.state == "dropped"
    assert letter.verdict is not None
    assert letter.verdict.reason == "nobody wants it"
    with pytest.raises(NoLetter, match="it was dropped by ann"):
        await dead.retry(found.id, by="bob", reason="but I do")
    with pytest.raises(NoLetter, match="there is no dead letter 999"):
        await dead.drop(999, by="ann", reason="which?")


async def test_of_two_people_one_decides(bus: Bus, dead: DeadLetters) -> None:
    await fill(bus, "a")
    async with working(bus, drops):
        (found,) = await open_letters(dead, 1)
        decided = await asyncio.gather(
            dead.drop(found.id, by="ann", reason="away"),
            dead.retry(found.id, by="bob", reason="again"),
            return_exceptions=True,
        )
    assert sorted(isinstance(one, NoLetter) for one in decided) == [False, True]


@pytest.mark.parametrize(
    ("letter", "why"),
    [
        (1, "1 is no letter about RIG jobs"),
        (77, "there is no letter 77"),
        (2**63 - 1, "there is no letter 9223372036854775807"),
        (0, "not a retry"),
        (None, "not a retry"),
    ],
)
async def test_a_forged_retry_hands_over_nothing(
    bus: Bus, dead: DeadLetters, connect: Connect, letter: int | None, why: str
) -> None:
    """A retry names a letter and is believed nothing else: the first letter here is another consumer's."""
    conductor = await connect(Actor.CONDUCTOR)
    await conductor.log.publish(Draft(about=IssueRef("a", "b", 1), data=assigned()), "conductor:1")
    stop = asyncio.Event()

    async def drop(item: Recorded) -> Outcome:
        stop.set()
        return Drop("not mine")

    await bus.log.work(WORK[Actor.DEV_E], drop, slots=1, stop=stop)
    verdict = {} if letter is None else Verdict(letter=letter, by="eve", reason="?", time=bus.connection.now())
    await bus.connection.request("dead.retry.RIG.jobs", json.encode(verdict))
    async with working(bus) as worker:
        found = (await open_letters(dead, 2))[-1]
    assert worker.began == []
    assert (found.letter.stream, found.letter.consumer) == ("RIG_DEAD", "RIG-jobs")
    assert why in found.letter.reason


async def test_a_retry_whose_message_cannot_be_fetched_is_not_tried_for_ever(
    bus: Bus, dead: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*args: object, **more: object) -> NoReturn:
        raise ServerRefused("direct get", 408, "bad request")

    monkeypatch.setattr("bus.consume._FETCH_SECONDS", 0.01)
    monkeypatch.setattr("bus.letters.get", refused)
    verdict = Verdict(letter=1, by="ann", reason="?", time=bus.connection.now())
    await bus.connection.request("dead.retry.RIG.jobs", json.encode(verdict))
    async with working(bus, max_attempts=2) as worker:
        (found,) = await open_letters(dead, 1)
    assert worker.began == []
    assert (found.letter.stream, found.letter.consumer) == ("RIG_DEAD", "RIG-jobs")
    assert found.letter.reason.startswith("delivered 3 times")
