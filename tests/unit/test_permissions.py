"""The table of permissions: what a role may say, its own branches, and nothing by a wildcard beyond them."""

import pytest

from bus.permissions import ADMIN, PRINCIPALS, RESTORE, ROLES, permissions
from bus.topology import DEAD, DURABLES, STREAMS
from schemas import MAY_SAY, Actor
from schemas.registry import EVENTS

NAMES = {stream.name for stream in STREAMS}
CALLS = {"INFO", "STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET", "CONSUMER.INFO", "CONSUMER.MSG.NEXT"}
"""Of JetStream's, those that change nothing."""


def by_first(role: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for subject in permissions(role).may_publish:
        found.setdefault(subject.split(".")[0], []).append(subject)
    return found


@pytest.mark.parametrize("role", ROLES)
def test_on_the_log_a_role_says_exactly_what_the_table_of_actors_lets_it(role: str) -> None:
    may = MAY_SAY[Actor(role)] if role in set(Actor) else frozenset()
    said = {tuple(subject.removesuffix(".*").split(".")) for subject in by_first(role).get("rig", [])}
    assert {(tokens[1], tokens[-2], tokens[-1]) for tokens in said} == {
        (event.noun, role, event.name()) for event in EVENTS if event in may
    }
    assert all(set(tokens[2:-2]) <= {"*"} for tokens in said), "about anything, and no other token is open"
    assert not any(">" in subject for subject in by_first(role).get("rig", []))


@pytest.mark.parametrize("role", ROLES)
def test_beside_the_log_a_wildcard_stands_behind_the_name_of_the_role(role: str) -> None:
    firsts = by_first(role)
    for first in ("presence", "run", "lease", "object", "inbox", "timer"):
        assert all(subject.startswith(f"{first}.{role}.") for subject in firsts.get(first, []))
    verdicts = {"dead.retry.>", "dead.dropped.>"} if role == Actor.CLI else set[str]()
    assert {subject for subject in firsts.get("dead", []) if ">" in subject or "*" in subject} == verdicts
    assert set(firsts) <= {"rig", "presence", "run", "lease", "object", "inbox", "timer", "dead", "ask", "$JS", "$SYS"}
    assert firsts["$SYS"] == ["$SYS.REQ.SERVER.PING.JSZ"]


@pytest.mark.parametrize("role", ROLES)
def test_of_the_servers_calls_a_role_has_those_that_change_nothing_and_no_wildcard(role: str) -> None:
    durables = {f"{durable.stream.name}.{durable.name}" for durable in DURABLES}
    for subject in by_first(role)["$JS"]:
        if subject.startswith("$JS.ACK."):
            ours = subject.removeprefix("$JS.ACK.").removeprefix("*.*.").removesuffix(".>")
            assert ours.removesuffix(".*.*.*.*.*").removesuffix(".*.*.*.*") in durables
            continue
        rest = subject.removeprefix("$JS.API.")
        call = next(call for call in CALLS if rest == call or rest.startswith(f"{call}."))
        about = rest.removeprefix(call).removeprefix(".")
        assert about in (durables if call.startswith("CONSUMER.") else NAMES if about else {""})


def test_a_durable_belongs_to_one_role() -> None:
    owners = {
        f"{durable.stream.name}.{durable.name}": [
            role
            for role in ROLES
            if f"$JS.API.CONSUMER.MSG.NEXT.{durable.stream.name}.{durable.name}" in permissions(role).publish
        ]
        for durable in DURABLES
    }
    assert all(len(roles) == 1 for roles in owners.values()), owners
    buried = [subject for role in ROLES for subject in permissions(role).publish if subject.startswith("dead.letter")]
    burying = [durable for durable in DURABLES if durable.stream != DEAD]
    assert len(buried) == len(set(buried)) == len(burying) + 1, "those, and the projector"


def test_nobody_writes_what_the_server_says_again_or_fires() -> None:
    allowed = [subject for principal in PRINCIPALS for subject in permissions(principal).may_publish]
    assert not [
        subject for subject in allowed if subject.startswith(("stored", ">", "*", "_INBOX", "timer.conductor.f"))
    ]


def test_who_makes_streams_writes_nothing_and_hears_nothing() -> None:
    admin = permissions(ADMIN)
    assert admin.publish == ("$JS.API.>",)
    assert admin.subscribe == ()
    assert permissions(RESTORE).publish == ("$JS.API.>", "rig.>"), "what everybody has said, and nothing else"
    assert permissions(RESTORE).subscribe == ()
    with pytest.raises(KeyError):
        permissions("nobody")
