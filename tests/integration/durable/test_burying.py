"""Dead letters against a real server: what is buried, why, and what is in the letter."""

import asyncio
import tracemalloc

import pytest
from msgspec import json, structs

from bus import Bus, Delivery, Done, NoLetter, Outcome, Retry
from bus.dead import DeadLetters
from bus.letters import COPY_BYTES, bury
from bus.topology import DEAD, LOG, SECOND, WORK
from schemas import Actor, Draft, IssueRef, Recorded
from tests.conftest import Connect
from tests.support.jobs import HASTY, JOBS, Worker, fill, forever, info, key, make, working
from tests.support.letters import drops, open_letters
from tests.support.saying import NOW, assigned

# ── by consumers of the rig ──────────────────────────────────────────────────


async def test_what_can_never_be_handled_is_buried_with_its_reason_and_a_copy(bus: Bus, dead: DeadLetters) -> None:
    answer = await bus.connection.request("rig.jobs.a", b"\x00\xff", headers={"Traceparent": "00-1"})
    position = json.decode(answer)["seq"]
    async with working(bus, drops):
        (found,) = await open_letters(dead, 1)
    letter = found.letter
    assert (letter.stream, letter.consumer, letter.position) == ("RIG", "jobs", position)
    assert (letter.subject, letter.reason, letter.attempts) == ("rig.jobs.a", "makes no sense", 1)
    assert (letter.body, letter.size, letter.headers) == (b"\x00\xff", 2, {"Traceparent": "00-1"})
    (listed,) = await dead.all()
    assert (listed.letter.size, listed.letter.body, listed.letter.headers) == (2, b"", {}), "a list is without bodies"
    assert (await info(bus))["num_ack_pending"] == 0


async def test_a_list_of_letters_takes_no_memory_for_their_bodies(bus: Bus) -> None:
    delivery = Delivery(
        subject="rig.jobs.a", body=b"x" * 500_000, reply="", position=0, order=1, attempt=1, pending=0, stored_at=NOW
    )
    for position in range(1, 41):
        await bury(bus.connection, JOBS, structs.replace(delivery, position=position), "makes no sense")
    tracemalloc.start()
    try:
        letters = await bus.dead.all()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(letters) == 40
    assert most < 40 * 500_000 / 2, "a few batches at a time"


async def test_a_letter_is_written_once_however_often_it_is_said(bus: Bus, dead: DeadLetters, connect: Connect) -> None:
    """Buried, and killed before the original was acknowledged: it comes again, and is buried again."""
    await make(bus, HASTY)
    await fill(bus, "a")
    dying = await connect(Actor.CLI, "dying")
    publish = dying.connection.publish

    async def never_acknowledges(subject: str, body: bytes, **more: object) -> None:
        if body != b"+ACK":
            await publish(subject, body, **more)

    dying.connection.publish = never_acknowledges
    worker = Worker(dying, drops)
    worker.start()
    await open_letters(dead, 1)
    await dying.connection.close()
    async with working(bus, drops) as living:
        await living.until(lambda: len(living.began) == 1)
        while (await info(bus))["num_ack_pending"]:
            pass
    worker.task.cancel()
    await asyncio.gather(worker.task, return_exceptions=True)
    assert len(await dead.all()) == 1


async def test_a_letter_is_written_whoever_has_taken_its_id(bus: Bus, dead: DeadLetters, connect: Connect) -> None:
    foreign = await connect(Actor.DEV_E)
    name = f"{JOBS.stream.name}:{JOBS.name}:1:"
    await foreign.connection.request("dead.letter.RIG.dev-e", b"mine", headers={"Nats-Msg-Id": name})
    await fill(bus, "a")
    async with working(bus, drops):
        (found,) = await open_letters(dead, 1)
    await foreign.connection.request("dead.letter.RIG.dev-e", b"", headers={"Nats-Msg-Id": f"verdict:{found.id}"})
    await dead.drop(found.id, by="ada", reason="it is none")
    assert [letter.state for letter in await dead.all()] == ["dropped"]


@pytest.mark.parametrize("by_key", [False, True])
async def test_a_message_that_always_fails_is_buried_after_its_attempts(
    bus: Bus, dead: DeadLetters, *, by_key: bool
) -> None:
    async def fails(delivery: Delivery) -> Outcome:
        if delivery.body == b"poison":
            raise ValueError("on purpose")
        return Done()

    _, fine = await fill(bus, "poison", "fine")
    async with working(bus, fails, max_attempts=2, key=key if by_key else None) as worker:
        (found,) = await open_letters(dead, 1)
        await worker.until(lambda: worker.done == [fine])
    assert found.letter.reason == "ValueError: on purpose (attempt 2)"
    assert [delivery.attempt for delivery in worker.began if delivery.body == b"poison"] == [1, 2]


@pytest.mark.parametrize("by_key", [False, True])
async def test_who_asks_for_another_try_for_ever_is_heard_so_often(
    bus: Bus, dead: DeadLetters, *, by_key: bool
) -> None:
    async def again(delivery: Delivery) -> Outcome:
        return Retry(0)

    await fill(bus, "a")
    async with working(bus, again, max_attempts=3, key=key if by_key else None) as worker:
        (found,) = await open_letters(dead, 1)
    assert found.letter.reason == "another try was asked for 3 times"
    assert len(worker.began) == 3


async def test_a_message_that_kills_its_process_each_time_is_buried_unhandled(
    bus: Bus, dead: DeadLetters, connect: Connect
) -> None:
    await make(bus, HASTY)
    await fill(bus, "a")
    for number in (1, 2):
        killed = Worker(await connect(Actor.CLI, f"killed-{number}"), forever)
        killed.start()
        await killed.until(lambda killed=killed: len(killed.began) == 1)
        await killed.bus.connection.close()
        killed.task.cancel()
        await asyncio.gather(killed.task, return_exceptions=True)
    async with working(bus, forever, max_attempts=2) as worker:
        (found,) = await open_letters(dead, 1)
    assert worker.began == []
    assert found.letter.attempts >= 3
    assert found.letter.reason.startswith(f"delivered {found.letter.attempts} times")


async def test_a_body_too_large_for_a_letter_is_cut_and_said_so(bus: Bus, dead: DeadLetters) -> None:
    await bus.connection.request("rig.jobs.a", b"x" * (COPY_BYTES + 1))
    async with working(bus, drops):
        (found,) = await open_letters(dead, 1)
    assert (found.letter.size, len(found.letter.body), found.letter.whole) == (COPY_BYTES + 1, COPY_BYTES, False)


async def test_what_cannot_be_buried_is_not_lost(bus: Bus, dead: DeadLetters, caplog: pytest.LogCaptureFixture) -> None:
    await bus.connection.api(f"$JS.API.STREAM.DELETE.{DEAD.name}")
    await fill(bus, "a")
    async with working(bus, drops, key=key) as worker:
        await worker.until(lambda: "cannot be buried" in caplog.text)
        assert (await info(bus))["num_ack_pending"] == 1
        await bus.connection.api(f"$JS.API.STREAM.CREATE.{DEAD.name}", DEAD)
        await open_letters(dead, 1)


UNHEARD_OF = (
    b'{"specversion":"1.0","id":"1","source":"x","type":"rig.issue.unheard_of.v9","time":"2026-01-01T00:00:00Z",'
    b'"subject":"rig.issue.acme.web.1.conductor.assigned.dev-e","data":{}}'
)
HOSTILE = [
    ("rig.issue.acme.web.1.conductor.assigned.dev-e", b"not json"),
    ("rig.issue.acme.web.1.conductor.assigned.dev-e", b'{"x":' + b"[" * 2_000 + b"]" * 2_000 + b"}"),
    ("rig.issue.acme.web.1.conductor.assigned.dev-e", b""),
    ("rig.issue.acme.web.1.conductor.assigned.dev-e", b"\xff\xfe"),
    ("rig.issue.a%20b.web.1.conductor.assigned.dev-e", b"{}"),
    (f"rig.issue.acme.{'x' * 500}.1.conductor.assigned.dev-e", b"{}"),
    ("rig.issue.ä.\x1b]0;x.-1.conductor.assigned.dev-e", b"{}"),
    (
        "rig.issue.acme.web.1.conductor.assigned.dev-e",
        UNHEARD_OF,
    ),
]


async def test_what_is_no_event_is_buried_with_its_reason_and_the_consumer_goes_on(bus: Bus, connect: Connect) -> None:
    conductor = await connect(Actor.CONDUCTOR)
    for subject, body in HOSTILE:
        await bus.connection.request(subject, body)
    draft = Draft(about=IssueRef("acme", "web", 1), data=assigned())
    position = await conductor.log.publish(draft, "conductor:1")
    stop = asyncio.Event()
    seen: list[int] = []

    async def handle(item: Recorded) -> Outcome:
        seen.append(item.position)
        stop.set()
        return Done()

    await bus.log.work(WORK[Actor.DEV_E], handle, slots=1, stop=stop)
    assert seen == [position]
    letters = await bus.dead.all()
    assert [letter.letter.position for letter in letters] == list(range(1, len(HOSTILE) + 1))
    assert all(letter.letter.reason for letter in letters)
    assert "unheard_of" in letters[-1].letter.reason


async def test_a_key_that_cannot_be_told_is_a_reason_too(bus: Bus, dead: DeadLetters) -> None:
    def hostile(delivery: Delivery) -> str:
        if delivery.body == b"hostile":
            raise LookupError("no such thing")
        return "k"

    _, fine = await fill(bus, "hostile", "fine")
    async with working(bus, key=hostile) as worker:
        (found,) = await open_letters(dead, 1)
        await worker.until(lambda: worker.done == [fine])
    assert found.letter.reason == "it has no key: LookupError: no such thing"


# ── by others ────────────────────────────────────────────────────────────────


async def test_what_a_foreign_consumer_gives_up_is_a_letter_too(bus: Bus, dead: DeadLetters) -> None:
    config = {
        "durable_name": "foreign",
        "ack_policy": "explicit",
        "ack_wait": SECOND // 10,
        "max_deliver": 1,
        "filter_subject": "rig.jobs.>",
    }
    where = f"{LOG.name}.foreign"
    await bus.connection.api(f"$JS.API.CONSUMER.DURABLE.CREATE.{where}", {"stream_name": LOG.name, "config": config})
    lost, ended = await fill(bus, "lost", "ended")
    heard: asyncio.Queue[str] = asyncio.Queue()
    inbox = bus.connection.inbox()
    await bus.connection.subscribe(inbox, lambda message: heard.put_nowait(message.reply))
    for batch in (2, 1):  # the server gives a message up when it looks for the next
        pull = json.encode({"batch": batch, "expires": SECOND})
        await bus.connection.publish(f"$JS.API.CONSUMER.MSG.NEXT.{where}", pull, reply=inbox)
        if batch == 2:
            await heard.get()
            await bus.connection.publish(await heard.get(), b"+TERM it is nonsense")
    letters = {letter.letter.position: letter for letter in await open_letters(dead, 2)}
    assert letters[lost].letter.reason == "given up after 1 deliveries"
    assert letters[ended].letter.reason == "it is nonsense"
    shown = await dead.show(letters[lost].id)
    assert (shown.letter.subject, shown.letter.body) == ("rig.jobs.lost", b"lost"), "as its stream holds it"
    with pytest.raises(NoLetter, match="nobody in the rig takes that up again"):
        await dead.retry(letters[lost].id, by="ann", reason="please")
    await dead.drop(letters[lost].id, by="ann", reason="it was foreign")
    assert [letter.id for letter in await open_letters(dead, 1)] == [letters[ended].id]
