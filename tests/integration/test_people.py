"""What people say, on a real log: once, about exactly what they saw, and refused where it would change nothing."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bridges.terminal import spoken
from bridges.terminal.session import person
from bus import Bus
from deploy.embedded.nats import NatsServer
from schemas import (
    FLEET,
    Actor,
    AgentJoined,
    AgentRef,
    Draft,
    EscalationReason,
    Event,
    FleetEvent,
    GateReason,
    GateTriggered,
    IssueApproved,
    IssueEscalated,
    IssueRef,
    Policy,
    PolicyAdopted,
    QuestionAsked,
    Recorded,
    Ref,
    RepositoryAdded,
    Stopped,
    Tier,
)
from schemas.policy import Gates, Tiers
from tests.support.readside import ISSUE, SHOP
from tests.support.saying import assigned, pushed, started
from tests.support.terminal import Terminal

Connect = Callable[..., Awaitable[Bus]]
HEAD, NEXT = "a" * 40, "c" * 40
APPROVED = IssueApproved(title="Fix total", author="ann")
ADDED = RepositoryAdded(clone_url="/srv", check="true", by="ann")


class Others:
    """Everybody but the terminal: each word by whoever may say it."""

    def __init__(self, **buses: Bus) -> None:
        self._buses = buses
        self._said = 0

    async def __call__(self, *events: Event, by: str = "conductor", issue: IssueRef = ISSUE) -> None:
        for event in events:
            about = FLEET if isinstance(event, FleetEvent) else SHOP if event.noun == "repo" else issue
            self._said += 1
            await self._buses[by].log.publish(Draft(about=about, data=event), f"other-{self._said}")

    async def say(self, by: str, about: Ref, data: Event, *, id: str, cause: str) -> None:  # noqa: A002 - CloudEvents' name
        """One event, because of another."""
        await self._buses[by].log.publish(Draft(about=about, data=data, cause=cause), id)


@pytest.fixture
async def rig(nats: NatsServer, connect: Connect) -> Terminal:
    await connect(Actor.CLI)  # makes the streams
    return Terminal(nats)


@pytest.fixture
async def cli(rig: Terminal, connect: Connect) -> Bus:
    return await connect(Actor.CLI)


@pytest.fixture
async def others(rig: Terminal, connect: Connect, cli: Bus) -> Others:
    """A repository under the rig, and an issue that is being worked on."""
    found = Others(
        conductor=await connect(Actor.CONDUCTOR),
        agent=await connect(Actor.DEV_E),
        cli=cli,
        local=await connect(Actor.LOCAL),
    )
    await found(ADDED, by="cli")
    await found(APPROVED, by="local")
    await found(assigned())
    await found(started(), by="agent")
    return found


async def last(bus: Bus) -> Any:
    said = await bus.log.last()
    assert isinstance(said, Recorded)
    return said.event.data


async def end(bus: Bus) -> int:
    said = await bus.log.last()
    return 0 if said is None else said.position


# ── an issue ─────────────────────────────────────────────────────────────────


async def test_an_issue_is_stopped_once_and_tried_again(rig: Terminal, cli: Bus, others: Others) -> None:
    said = await rig("issue", "stop", "shop#1", "--note", "wrong idea")
    assert (said.code, said.err) == (0, "")
    assert said.out == f"demo/shop#1: stopped by {person()}: wrong idea (position 5)\n"
    again = await rig("issue", "stop", "demo/shop#1", "--json")
    assert (again.json()["position"], again.json()["already"]) == (5, True)

    retried = await rig("issue", "retry", "demo/shop#1")
    assert retried.out == f"demo/shop#1: another try asked for by {person()} (position 6)\n"
    twice = await rig("issue", "retry", "demo/shop#1")
    assert twice.out == f"demo/shop#1: another try asked for by {person()} (said before, at position 6)\n"
    assert await end(cli) == 6
    await others(assigned(2), IssueEscalated(reason=EscalationReason.ATTEMPTS, attempts=3))
    anew = await rig("issue", "retry", "demo/shop#1", "--json")
    assert anew.json()["position"] == 9, "the same wish, later, is another"


async def test_what_is_said_on_the_same_knowledge_is_said_once(cli: Bus, others: Others) -> None:
    """Two try at the same time, or one repeats what is still on its way."""
    for anchor, position in (("a", 5), ("a", 5), ("b", 6)):
        assert (await spoken.say(cli, ISSUE, Stopped(by="ann"), anchor)).position == position
    assert (await spoken.say(cli, ISSUE, Stopped(by="bob"), "a")).position == 7


async def test_what_makes_no_sense_is_refused_and_not_said(rig: Terminal, cli: Bus, others: Others) -> None:
    before = await end(cli)
    for arguments, said in (
        (("issue", "retry", "shop#1"), "rig: demo/shop#1 is in progress: it is tried again when it is escalated"),
        (("issue", "stop", "shop#9"), "rig: there is no issue demo/shop#9 in the log; `rig issues` lists those"),
        (("issue", "answer", "shop#1", "yes"), "rig: demo/shop#1 is in progress, and no run of it waits for an answer"),
        (("gate", "approve", "shop#1", "--note", "n"), "rig: no gate of demo/shop#1 is open: it is in progress; `rig"),
        (("resume",), "rig: all is not paused, and nothing else is"),
    ):
        refused = await rig(*arguments)
        assert (refused.code, refused.out) == (1, "")
        assert refused.err.startswith(said)
    for arguments, said in (
        (("issue", "assign", "shop#1", "dev-x"), "rig: 'dev-x' is no role (dev-e, review-e) and no agent that ever"),
        (("pause", "role:dev-x"), "rig: nobody here has the role 'dev-x' (there are dev-e, review-e)"),
        (("pause", "demo/other"), "rig: demo/other is not under this rig"),
    ):
        refused = await rig(*arguments)
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.startswith(said)
    assert await end(cli) == before


async def test_priority_assignment_and_withdrawal(rig: Terminal, cli: Bus, others: Others, connect: Connect) -> None:
    await rig("issue", "priority", "shop#1", "high")
    assert (await last(cli)).priority == "high"
    await rig("issue", "priority", "shop#1", "low", "--note", "can wait")
    await rig("issue", "priority", "shop#1", "high")
    assert (await last(cli)).priority == "high", "said before, but not since"
    joined = AgentJoined(boot="b1", role="dev-e", provider="scripted", slots=1, version="0")
    agent = await connect(Actor.DEV_E)
    await agent.log.publish(Draft(about=AgentRef("dev-e-2"), data=joined), "joined")
    assert (await rig("issue", "assign", "shop#1", "dev-e-2")).code == 0
    assert (await last(cli)).to == "dev-e-2"
    said = await rig("issue", "withdraw", "shop#1")
    assert said.out == f"demo/shop#1: withdrawn by {person()} (cancelled) (position 10)\n"
    assert (await rig("issue", "priority", "shop#1", "low")).code == 1


async def test_a_question_is_answered_from_standard_input(rig: Terminal, cli: Bus, others: Others) -> None:
    await others(QuestionAsked(epoch=1, run="r-1", question="Which one?"), by="agent")
    said = await rig("issue", "answer", "shop#1", "-", stdin=b"Both.\nReally.\n")
    assert said.code == 0
    given = await last(cli)
    assert (given.epoch, given.run, given.answer, given.by) == (1, "r-1", "Both.\nReally.\n", person())
    again = await rig("issue", "answer", "shop#1", "-", stdin=b"Both.\nReally.\n")
    assert again.out.endswith("(said before, at position 6)\n")


# ── gates ────────────────────────────────────────────────────────────────────

SENSITIVE = GateTriggered(reason=GateReason.SENSITIVE_PATH, head_sha=HEAD, paths=("auth/login.py",))
SIZE = GateTriggered(reason=GateReason.SIZE, head_sha=HEAD, detail="21 files")


async def test_a_person_lets_through_what_was_there_to_see(rig: Terminal, cli: Bus, others: Others) -> None:
    assert (await rig("gate", "list")).out == "no gate is open\n"
    await others(pushed(head=HEAD), by="agent")
    await others(SENSITIVE, SIZE)
    listed = await rig("gate", "list", "--repo", "shop")
    assert [line.split()[:3] for line in listed.out.splitlines()[1:3]] == [
        ["demo/shop#1", "sensitive", "path"],
        ["demo/shop#1", "size", HEAD[:12]],
    ]
    assert "auth/login.py" in listed.out
    assert [line["reason"] for line in (await rig("gate", "list", "--json")).json()["gates"]] == [
        "sensitive_path",
        "size",
    ]
    moved = await rig("gate", "approve", "shop#1", "--note", "read it", "--head", NEXT[:12])
    assert (moved.code, moved.out) == (1, "")
    assert moved.err.startswith(f"rig: demo/shop#1 is at {HEAD[:12]} now, not at {NEXT[:12]}")

    said = await rig("gate", "approve", "shop#1", "--note", "read it", "--head", HEAD[:12])
    assert (said.code, said.err) == (0, "")
    words = [recorded.event.data for recorded in await cli.log.history(["rig.issue.*.*.*.cli.>"])]
    assert [(word.reason, word.head_sha, word.by, word.note) for word in words] == [  # type: ignore[attr-defined] - the test knows which it is
        ("sensitive_path", HEAD, person(), "read it"),
        ("size", HEAD, person(), "read it"),
    ]
    answer = (await rig("why", "shop#1", "--json")).json()
    assert [step["type"] for step in answer["because"]] == ["rig.issue.gate_triggered.v1", "rig.issue.gate_approved.v1"]
    before = await end(cli)
    again = await rig("gate", "approve", "shop#1", "--note", "read it", "--json")
    assert [word["already"] for word in again.json()["said"]] == [True]
    assert (await rig("gate", "bypass", "shop#1", "--note", "other")).code == 1
    assert await end(cli) == before
    assert (await rig("gate", "list")).out == "no gate is open\n"


async def test_one_gate_may_be_answered_and_the_others_stay(rig: Terminal, cli: Bus, others: Others) -> None:
    await others(pushed(head=HEAD), by="agent")
    await others(SENSITIVE, SIZE)
    said = await rig("gate", "bypass", "shop#1", "--reason", "size", "--note", "no time")
    assert said.out == f"demo/shop#1: gate bypassed (size) by {person()}: no time (position 8)\n"
    assert len((await rig("gate", "list", "--json")).json()["gates"]) == 1
    said = await rig("gate", "reject", "shop#1", "--note", "split it", "--json")
    assert [word["position"] for word in said.json()["said"]] == [9]
    assert (await last(cli)).head_sha == HEAD
    assert (await rig("why", "shop#1", "--json")).json()["state"] == "changes_requested"


async def test_of_what_a_person_drives_no_approval_is_enough(rig: Terminal, cli: Bus, others: Others) -> None:
    policy = Policy(tiers=Tiers(otherwise=Tier.T3))
    await others(PolicyAdopted(policy=policy, hash=policy.digest(), by="eve"), by="cli")
    await others(pushed(head=HEAD), by="agent")
    await others(GateTriggered(reason=GateReason.TIER, head_sha=HEAD, detail="dev-e, code: T3"))
    approved = await rig("gate", "approve", "shop#1", "--note", "read it")
    assert approved.out.splitlines()[1].startswith("for changes that a person drives (T3 in `rig policy show`) that")
    assert len((await rig("gate", "list", "--json")).json()["gates"]) == 1, "nobody knows, until the conductor goes on"
    assert (await rig("gate", "bypass", "shop#1", "--note", "mine")).code == 0
    assert (await rig("gate", "list")).out == "no gate is open\n"


async def test_who_may_not_approve_is_told_who_may(rig: Terminal, cli: Bus, others: Others) -> None:
    policy = Policy(gates=Gates(approvers=("eve", "zoe")))
    await others(PolicyAdopted(policy=policy, hash=policy.digest(), by="eve"), by="cli")
    await others(pushed(head=HEAD), by="agent")
    await others(SIZE)
    said = await rig("gate", "approve", "shop#1", "--note", "read it")
    assert (said.code, said.out) == (1, "")
    assert said.err == f"rig: {person()} may not answer at the gates of demo/shop; eve, zoe may\n"
    assert await cli.log.history(["rig.issue.*.*.*.cli.>"]) == []


# ── the rig as a whole ───────────────────────────────────────────────────────


async def test_the_rig_is_paused_and_resumed_scope_by_scope(rig: Terminal, cli: Bus, others: Others) -> None:
    said = await rig("pause", "--note", "moving house")
    assert said.out == f"fleet: all paused by {person()}: moving house (position 5)\n"
    assert (await rig("pause")).out.endswith("(said before, at position 5)\n")
    for scope in ("role:dev-e", "shop"):
        assert (await rig("pause", scope)).code == 0
    assert (await last(cli)).scope == "repository:demo/shop"
    assert (await rig("resume", "--json")).json()["position"] == 8
    refused = await rig("resume")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == "rig: all is not paused; paused are repository:demo/shop, role:dev-e\n"
    assert (await rig("resume", "demo/shop")).code == 0
    assert (await rig("pause")).code == 0, "the same word, later, is another"
    assert await end(cli) == 10


# ── why ──────────────────────────────────────────────────────────────────────


async def test_why_an_issue_waits_is_told_by_the_log_alone(rig: Terminal, cli: Bus, others: Others) -> None:
    """Nobody here knows Postgres; and the cause of an assignment may be anybody's word, long before."""
    joined = AgentJoined(boot="b1", role="dev-e", provider="scripted", slots=1, version="0")
    await others.say("agent", AgentRef("dev-e-1"), joined, id="joined", cause="nowhere")
    policy = Policy(gates=Gates(approvers=("eve",)))
    await others(PolicyAdopted(policy=policy, hash=policy.digest(), by="eve"), by="cli")
    await others.say("conductor", ISSUE, assigned(2), id="second", cause="joined")
    await others.say("agent", ISSUE, started(2, "r-2"), id="claim", cause="second")
    await others.say("agent", ISSUE, pushed(2, "r-2", HEAD), id="push", cause="claim")
    await others.say("conductor", ISSUE, SIZE, id="gate", cause="push")
    answer = (await rig("why", "shop#1", "--json")).json()
    assert [step["id"] for step in answer["because"]] == ["joined", "second", "claim", "push", "gate"]
    assert (answer["state"], answer["unknown_cause"], answer["final"]) == ("gated", "nowhere", False)
    gate = next(wait for wait in answer["now"] if wait["what"] == "gate")
    assert (gate["who"], gate["text"][:43]) == (["eve"], "size at aaaaaaaaa, for 0 s (21 files); eve ")
    said = await rig("why", "demo/shop#1")
    assert (said.code, said.err) == (0, "")
    assert "dev-e-1: joined as dev-e, 1 slot, coder scripted\n" in said.out
    assert "  … what came before is not in the log near here (its id is nowhere)\n" in said.out
    missing = await rig("why", "shop#9")
    assert (missing.code, missing.out) == (1, "")


async def test_why_tells_where_the_dependencies_stand(rig: Terminal, others: Others) -> None:
    second = IssueRef("demo", "shop", 2)
    await others(IssueApproved(title="Then", author="ann", depends_on=(ISSUE,)), by="local", issue=second)
    answer = (await rig("why", "shop#2", "--json")).json()
    told = [wait["text"] for wait in answer["now"] if wait["what"] == "dependency"]
    assert [text.rpartition(",")[0] for text in told] == ["demo/shop#1 is in progress"]
