"""Publishing: stored once, compared and set, all or nothing, in order."""

import asyncio

import pytest

from bus import Conflict, DuplicateMismatch, Expect, ServerRefused, Unavailable
from bus.connection import raise_refusal
from bus.publish import Outgoing, store_batch, store_one
from schemas import Actor, NotAllowed, Recorded
from tests.contract.conftest import Carrier, MakeBus
from tests.support.saying import DECIDED, approved, decision


async def test_the_same_id_is_stored_once_and_answers_with_the_first_position(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.LOCAL)
    assert [await bus.log.publish(approved(), "local:1") for _ in range(3)] == [1, 1, 1]
    assert len(await bus.log.history(["rig.>"])) == 1


async def test_an_id_that_says_something_else_is_an_alarm(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.LOCAL)
    await bus.log.publish(approved(), "local:1")
    with pytest.raises(DuplicateMismatch, match="local:1"):
        await bus.log.publish(approved(title="Something else"), "local:1")


async def test_a_subject_that_must_be_new_is_compared_and_set(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.LOCAL)
    await bus.log.publish(approved(), "local:1", new_subject=True)
    assert await bus.log.publish(approved(), "local:1", new_subject=True) == 1, "a retry is no conflict"
    with pytest.raises(Conflict):
        await bus.log.publish(approved(), "local:2", new_subject=True)


async def test_an_actor_says_only_what_the_table_lets_it(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.DEV_E)
    with pytest.raises(NotAllowed, match="dev-e may not say IssueApproved"):
        await bus.log.publish(approved(), "dev-e:1")
    assert await bus.log.last() is None


async def test_of_two_decisions_one_wins_and_all_of_it(make_bus: MakeBus) -> None:
    one, two = await make_bus(Actor.CONDUCTOR, "conductor/1"), await make_bus(Actor.CONDUCTOR, "conductor/2")
    tries = await asyncio.gather(
        one.log.append(decision(1, (1, 1), (2, 1)), expect=Expect(DECIDED, 0)),
        two.log.append(decision(2, (3, 1), (4, 1)), expect=Expect(DECIDED, 0)),
        return_exceptions=True,
    )
    assert sorted(isinstance(result, ServerRefused) for result in tries) == [False, True]
    with pytest.raises(Conflict):
        await one.log.append(decision(3, (5, 1)), expect=Expect(DECIDED, 0))
    told = await one.log.history(["rig.>"])
    assert [item.position for item in told] == [1, 2, 3], "three events of one decision, none of another"
    assert len({item.event.id.split(":")[1] for item in told}) == 1


async def test_a_batch_with_an_id_that_has_landed_stores_nothing(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.CONDUCTOR)
    await bus.log.append(decision(1, (1, 1)), expect=Expect(DECIDED, 0))
    message = Outgoing.of(decision(2, (1, 1))[0])
    assert await store_one(bus.connection, message) == 3
    with pytest.raises(ServerRefused):
        await store_batch(bus.connection, [Outgoing.of(decision(3, (1, 1))[0]), message])
    assert len(await bus.log.history(["rig.>"])) == 3


async def test_nobody_keeps_a_decision_out_by_saying_its_ids_before(make_bus: MakeBus) -> None:
    thief, conductor = await make_bus(Actor.LOCAL), await make_bus(Actor.CONDUCTOR)
    decided = decision(1, (1, 1), (2, 1))
    for number, event in enumerate(decided, start=1):
        await thief.log.publish(approved(number=number), event.id)
    assert await conductor.log.append(decided, expect=Expect(DECIDED, 0)) == 4
    with pytest.raises(Conflict):
        await conductor.log.append(decided, expect=Expect(DECIDED, 0))


async def test_concurrent_publishers_each_get_their_own_position(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.LOCAL)
    numbers = range(1, 201)
    positions = await asyncio.gather(*(bus.log.publish(approved(number=n), f"local:{n}") for n in numbers))
    assert sorted(positions) == list(range(1, 201))
    for number in (1, 100, 200):
        item = await bus.log.at(positions[number - 1])
        assert isinstance(item, Recorded)
        assert item.event.id == f"local:{number}"


async def test_what_one_says_in_turn_is_stored_in_turn(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.LOCAL, free=True)
    for number in range(49):
        await bus.connection.publish(f"rig.fleet.local.n{number % 3}", b"%d" % number)
    await bus.connection.request("rig.fleet.local.n0", b"49")
    bodies = [item.body async for item in bus.log.replay() if not isinstance(item, Recorded)]
    assert bodies == [b"%d" % number for number in range(50)]


async def test_nobody_can_purge_or_delete_or_roll_up_the_log(make_bus: MakeBus) -> None:
    bus = await make_bus(Actor.LOCAL, free=True)
    await bus.log.publish(approved(), "local:1")
    with pytest.raises(ServerRefused):
        await bus.connection.api("$JS.API.STREAM.PURGE.RIG")
    with pytest.raises(ServerRefused):
        await bus.connection.api("$JS.API.STREAM.MSG.DELETE.RIG", {"seq": 1})
    for header, value in {"Nats-Rollup": "all", "Nats-TTL": "1s", "Nats-Schedule": "@at 2030-01-01T00:00:00Z"}.items():
        answer = await bus.connection.request("rig.fleet.local.x", b"{}", headers={header: value})
        with pytest.raises(ServerRefused):
            raise_refusal(header, answer)
    assert isinstance(await bus.log.at(1), Recorded)


async def test_publishing_waits_for_a_server_that_restarts(make_bus: MakeBus, carrier: Carrier) -> None:
    bus = await make_bus(Actor.LOCAL)
    await bus.log.publish(approved(), "local:1")
    await carrier.crash()
    saying = asyncio.create_task(bus.log.publish(approved(title="again"), "local:2"))
    await carrier.restart()
    assert await saying == 2
    assert await bus.log.publish(approved(), "local:1") == 1, "what was stored is known after a restart"


async def test_publishing_gives_up_at_its_deadline(make_bus: MakeBus, carrier: Carrier) -> None:
    bus = await make_bus(Actor.LOCAL)
    await carrier.crash()
    with pytest.raises(Unavailable):
        await bus.log.publish(approved(), "local:1", timeout_seconds=0.2)
