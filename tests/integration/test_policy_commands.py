"""`rig policy` on a real log: what is adopted is in force, once; what is wrong changes nothing."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bridges.terminal.policy_text import parse
from bridges.terminal.session import person
from bus import Bus
from deploy.embedded.nats import NatsServer
from deploy.up import adopt
from schemas import Actor, Policy, PolicyAdopted, Recorded
from tests.support.terminal import Terminal

WRONG = 'patience = 1\nattempts_max = -1\nheartbeat_seconds = 90\nrun_seconds = "90m"\n[budget]\nrun_usd = 50\n'
Connect = Callable[..., Awaitable[Bus]]


@pytest.fixture
async def cli(connect: Connect) -> Bus:
    return await connect(Actor.CLI)


@pytest.fixture
async def rig(nats: NatsServer, cli: Bus) -> Terminal:
    return Terminal(nats)


async def adopted(bus: Bus) -> list[Policy]:
    words = [said.event.data for said in await bus.log.history(["rig.fleet.>"])]
    return [word.policy for word in words if isinstance(word, PolicyAdopted)]


async def test_the_default_is_shown_adopted_and_shown_again(rig: Terminal, cli: Bus) -> None:
    nothing = await rig("policy", "show")
    assert (nothing.code, nothing.out) == (1, "")
    assert nothing.err.startswith("rig: no policy is adopted yet")

    default = await rig("policy", "default")
    assert "# Runs that failed for a reason of the work.\nattempts_max = 3\n" in default.out
    said = await rig("policy", "adopt", "-", stdin=default.out.encode())
    assert (said.code, said.out) == (0, f"policy {Policy().digest()} is adopted (position 1)\n")
    shown = await rig("policy", "show")
    assert shown.out.startswith(f"# policy {Policy().digest()}, adopted by {person()} at position 1, ")
    assert parse(shown.out, "x") == Policy()
    again = await rig("policy", "adopt", "-", stdin=shown.out.encode())
    assert again.out == f"policy {Policy().digest()} is in force already (position 1)\n"
    assert await adopted(cli) == [Policy()]


async def test_what_changes_is_named_and_an_older_policy_may_come_back(rig: Terminal, cli: Bus) -> None:
    texts = (b"attempts_max = 5\n", b"attempts_max = 4\n", b"attempts_max = 5\n")
    said = [await rig("policy", "adopt", "-", stdin=text) for text in texts]
    assert [answer.out.splitlines()[1:] for answer in said] == [
        ["  attempts_max: 3 → 5"],
        ["  attempts_max: 5 → 4"],
        ["  attempts_max: 4 → 5"],
    ]
    assert [policy.attempts_max for policy in await adopted(cli)] == [5, 4, 5]
    as_json = (await rig("policy", "show", "--json")).json()
    assert (as_json["position"], as_json["policy"]["attempts_max"], as_json["by"]) == (3, 5, person())


async def test_a_bad_policy_is_refused_with_everything_and_the_old_one_stays(
    rig: Terminal, cli: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await adopt(cli, Policy(attempts_max=5))
    monkeypatch.chdir(tmp_path)
    missing = await rig("policy", "adopt")
    assert (missing.code, missing.err) == (2, "rig: policy: cannot read rig.toml: No such file or directory\n")
    (tmp_path / "rig.toml").write_text(WRONG)
    refused = await rig("policy", "adopt")
    assert (refused.code, refused.out) == (2, "")
    assert [line.strip().partition(":")[0] for line in refused.err.splitlines()] == [
        "rig",
        "patience",
        "attempts_max",
        "run_seconds",
        "budget.issue_usd",
        "watch.silent_seconds",
    ]
    assert [policy.attempts_max for policy in await adopted(cli)] == [5]
    said = await rig(
        "publish", "PolicyAdopted", "--json", "-", stdin=b'{"policy":{"heartbeat_seconds":90},"hash":"x","by":"a"}'
    )
    assert said.code == 2
    assert "policy.watch.silent_seconds: not more than heartbeat_seconds" in said.err
    assert [policy.attempts_max for policy in await adopted(cli)] == [5]


async def test_a_rig_that_starts_keeps_the_policy_in_force_unless_it_is_given_one(cli: Bus) -> None:
    first = await adopt(cli, None)
    assert (first.already, first.before, first.changes) == (False, None, [])
    kept = await adopt(cli, None)
    assert (kept.already, kept.position) == (True, 1)
    other = await adopt(cli, Policy(attempts_max=9))
    assert (other.already, other.before, other.changes) == (False, Policy().digest(), ["attempts_max: 3 → 9"])
    assert (await adopt(cli, None)).hash == other.hash
    last = await cli.log.last()
    assert isinstance(last, Recorded)
    assert last.position == 2
