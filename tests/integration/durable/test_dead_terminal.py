"""`rig dead` at the terminal."""

import asyncio
import logging
from base64 import b64decode

import pytest

from bus import Bus, Delivery, Done, Drop, Outcome
from bus.consume import consume
from bus.topology import WORK
from deploy.embedded.nats import NatsServer
from schemas import Actor, Draft, IssueRef, decode
from tests.conftest import Connect
from tests.support.letters import open_letters
from tests.support.saying import assigned
from tests.support.terminal import Terminal
from tests.support.waiting import until


async def test_the_terminal_lists_shows_retries_and_drops(
    bus: Bus, connect: Connect, nats: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    rig = Terminal(nats)
    assert (await rig("dead", "list")).out == "no open dead letters\n"
    conductor = await connect(Actor.CONDUCTOR)
    draft = Draft(about=IssueRef("acme", "web", 7), data=assigned())
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
    assert decode(b64decode(whole["body"])).data == assigned()

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
