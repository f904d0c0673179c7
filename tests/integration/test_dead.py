"""Dead letters against a real server: what is buried, why, and how it comes back; and `rig dead` at the terminal."""

import asyncio
import logging
import tracemalloc
from base64 import b64decode
from datetime import UTC, datetime
from typing import NoReturn

import pytest
from msgspec import json, structs

from bus import Bus, DeadLetter, Delivery, Done, Drop, NoLetter, Outcome, Retry, ServerRefused
from bus.consume import consume
from bus.dead import DeadLetters
from bus.letters import COPY_BYTES, Verdict, bury
from bus.topology import DEAD, LOG, SECOND, WORK
from deploy.embedded.nats import NatsServer
from schemas import Actor, AssignReason, Draft, IssueAssigned, IssueRef, Recorded, decode
from tests.conftest import Connect
from tests.support.jobs import HASTY, JOBS, Worker, fill, forever, info, key, make, until, working
from tests.support.terminal import Terminal

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASSIGNED = IssueAssigned(epoch=1, role="dev-e", attempt=1, reason=AssignReason.NEW)


@pytest.fixture
def connect(connect_freely: Connect) -> Connect:
    """These tests use subjects, and make durables, that no role has."""
    return connect_freely


@pytest.fixture
async def bus(connect: Connect) -> Bus:
    bus = await connect(Actor.CLI)
    await make(bus)
    return bus


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again soon: how soon is tested elsewhere."""
    monkeypatch.setattr("bus.outcomes._BACKOFF", (0.05,))


@pytest.fixture
def dead(bus: Bus) -> DeadLetters:
    """The dead letters, for people; retries of the tests' own durable are taken."""
    return DeadLetters(bus.connection, [JOBS])


async def drops(delivery: Delivery) -> Outcome:
    return Drop("makes no sense")


async def open_letters(dead: DeadLetters, count: int) -> list[DeadLetter]:
    """Waits until so many are open, and has them whole."""
    while len(found := [letter for letter in await dead.all() if letter.state == "open"]) != count:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return [await dead.show(letter.id) for letter in found]


# ── burying ──────────────────────────────────────────────────────────────────


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
    draft = Draft(about=IssueRef("acme", "web", 1), data=ASSIGNED)
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


# ── coming back ──────────────────────────────────────────────────────────────


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
    await fill(bus, "a")
    async with working(bus, drops):
        (found,) = await open_letters(dead, 1)
    await dead.retry(found.id, by="ann", reason="later")
    stop = asyncio.Event()
    other = asyncio.create_task(consume(bus.connection, WORK[Actor.DEV_E], forever, slots=1, stop=stop))
    async with working(bus) as worker:
        await worker.until(lambda: len(worker.done) == 1)
    stop.set()
    await other


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
    await conductor.log.publish(Draft(about=IssueRef("a", "b", 1), data=ASSIGNED), "conductor:1")
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


# ── what others give up ──────────────────────────────────────────────────────


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


# ── the terminal ─────────────────────────────────────────────────────────────


async def test_the_terminal_lists_shows_retries_and_drops(
    bus: Bus, connect: Connect, nats: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    rig = Terminal(nats)
    assert (await rig("dead", "list")).out == "no open dead letters\n"
    conductor = await connect(Actor.CONDUCTOR)
    draft = Draft(about=IssueRef("acme", "web", 7), data=ASSIGNED)
    await conductor.log.publish(draft, "conductor:1")
    await bus.connection.request(
        "rig.issue.acme.web.8.conductor.assigned.dev-e", b"\x1b]0;owned\x07", headers={"X": "\x1b[2J"}
    )
    stop = asyncio.Event()
    done: list[int] = []

    async def handle(delivery: Delivery) -> Outcome:
        if delivery.cause:
            done.append(delivery.position)
            return Done()
        return Drop("no \x1b[31msense\nat all")

    working = asyncio.create_task(consume(bus.connection, WORK[Actor.DEV_E], handle, slots=1, stop=stop))
    await open_letters(bus.dead, 2)

    listed = (await rig("dead", "list")).out
    assert "RIG dev-e" in listed
    assert "no [31msense at all" in listed
    assert "\x1b" not in listed
    first, second = (await rig("dead", "list", "--json")).json()["letters"]
    assert (first["state"], first["position"], "body" in first) == ("open", 1, False)
    one, two = str(first["id"]), str(second["id"])
    assert "assigned to dev-e: epoch 1" in (await rig("dead", "show", one)).out
    foreign = await rig("dead", "show", two)
    assert foreign.code == 0
    assert "\x1b" not in foreign.out
    whole = (await rig("dead", "show", one, "--json")).json()
    assert decode(b64decode(whole["body"])).data == ASSIGNED

    said = await rig("dead", "retry", one, "--reason", "it is mended")
    assert (said.code, said.out.split(" (")[0]) == (0, f"dead letter {one} is tried once more")
    await until(lambda: bool(done))
    assert done == [1]
    again = await rig("dead", "retry", one, "--reason", "again")
    assert (again.code, again.err.startswith(f"rig: dead letter {one} is not open: it was retried by ")) == (1, True)
    assert (await rig("dead", "drop", two, "--reason", "nonsense")).out == f"dead letter {two} is dropped\n"
    assert (await rig("dead", "list")).out == "no open dead letters\n"
    states = [letter["state"] for letter in (await rig("dead", "list", "--all", "--json")).json()["letters"]]
    assert states == ["retried", "dropped"]
    assert "nonsense" in (await rig("dead", "show", two)).out
    missing = await rig("dead", "show", "999")
    assert (missing.code, missing.err) == (1, "rig: there is no dead letter 999\n")
    stop.set()
    await working
