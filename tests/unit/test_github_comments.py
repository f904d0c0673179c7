"""Commands in comments: from people who may write, about what they had before them."""

from datetime import timedelta
from typing import Any

import pytest

from bridges.github.said import Permission
from bridges.github.translate import asks
from schemas import (
    FLEET,
    Actor,
    AssignRequested,
    BudgetRaised,
    Event,
    GateApproved,
    GateReason,
    GateRejected,
    Gates,
    GateTriggered,
    Policy,
    PolicyAdopted,
    Priority,
    PriorityChanged,
    QuestionAnswered,
    QuestionAsked,
    RetryRequested,
    Stopped,
)
from tests.support.github_payloads import START, body, comment, issue, issues, sha
from tests.support.translated import ISSUE, WEB, Desk, desk, opened

BOB = {"login": "bob", "type": "User"}


def at_work() -> Desk:
    it = desk()
    it.deliver("issues", issues("opened", issue(7, "agent-ready")))
    return it


def spoken(it: Desk, text: str, permission: str = "write", **fields: Any) -> list[Event]:
    return it.deliver("issue_comment", body(comment(text, **fields)), {Permission(WEB, "bob"): permission})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/rig stop", Stopped(by="bob")),
        ("Not like this.\r\n/rig stop  wrong approach \r\nThanks!", Stopped(by="bob", note="wrong approach")),
        ("/rig retry", RetryRequested(by="bob")),
        ("/RIG retry", None),
        ("/rig priority Critical", PriorityChanged(priority=Priority.CRITICAL, by="bob")),
        ("/rig assign @dev-e-2", AssignRequested(to="dev-e-2", by="bob")),
        (
            "/rig budget $20",
            BudgetRaised(scope="issue:acme/web#7", limit_usd=20, until=START + timedelta(days=1, seconds=60), by="bob"),
        ),
        (
            "/rig budget 2.50 for 4h",
            BudgetRaised(
                scope="issue:acme/web#7", limit_usd=2.5, until=START + timedelta(hours=4, seconds=60), by="bob"
            ),
        ),
        ("> /rig stop", None),
        ("```\n/rig stop\n```", None),
        (" /rig stop", None),
        ("please /rig stop", None),
        ("/rig budget lots", None),
        ("/rig budget 1 for 9999d", None),
        ("/rig priority asap", None),
        ("/rig assign ../x", None),
        ("/rig help", None),
        ("/rig", None),
        ("/rigstop", None),
        ("/rig fly", None),
        ("/rig approve", None),
        ("/rig answer yes", None),
    ],
)
def test_a_line_commands(text: str, said: Event | None) -> None:
    it = at_work()
    assert spoken(it, text) == ([] if said is None else [said])
    assert (it.last.skipped is None) == (said is not None)
    assert spoken(it, text) == []


def test_a_budget_is_the_fleets_to_know() -> None:
    it = at_work()
    spoken(it, "/rig budget 5\n/rig retry")
    assert [one.draft.about for one in it.last.said] == [FLEET, ISSUE]


@pytest.mark.parametrize("permission", ["read", "triage", "none", ""])
def test_who_may_not_write_commands_nothing(permission: str) -> None:
    it = at_work()
    assert spoken(it, "/rig stop", permission) == []
    assert it.last.skipped is not None
    assert it.last.skipped.startswith("bob may not write to acme/web")
    assert it.deliver("issue_comment", body(comment("/rig stop"))) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "edited"},
        {"action": "deleted"},
        {"user": {"login": "helper[bot]", "type": "Bot"}},
        {"user": None},
    ],
)
def test_of_others_nobody_asks_what_they_may(fields: dict[str, Any]) -> None:
    it = at_work()
    assert asks("issue_comment", body(comment("/rig stop", **fields)), it.heard) == ()
    assert spoken(it, "/rig stop", **fields) == []
    assert it.last.skipped is not None


def test_what_the_rig_writes_as_a_person_commands_nothing() -> None:
    it = at_work()
    it.heard.self_login = "Bob"
    assert spoken(it, "<!-- rig:status acme/web#7 -->\n/rig stop") == []
    assert spoken(it, "/rig stop") == [Stopped(by="bob")]  # that person's own words do


def test_permission_is_asked_once_there_is_a_command() -> None:
    it = at_work()
    assert asks("issue_comment", body(comment("/rig stop")), it.heard) == (Permission(WEB, "bob"),)
    assert asks("issue_comment", body(comment("What about tax?")), it.heard) == ()
    assert asks("issue_comment", body(comment("/rig help")), it.heard) == ()


def test_on_a_pull_request_it_is_about_the_issue() -> None:
    it = at_work()
    opened(it)
    told = comment("/rig stop", number=12)
    told["issue"]["pull_request"] = {"url": "https://api.github.com/repos/acme/web/pulls/12"}
    it.deliver("issue_comment", body(told), {Permission(WEB, "bob"): "admin"})
    assert [(one.draft.about, one.draft.data) for one in it.last.said] == [(ISSUE, Stopped(by="bob"))]


def test_an_approval_is_about_the_head_that_was_there_to_see() -> None:
    it = at_work()
    opened(it)
    it.say(ISSUE, GateTriggered(reason=GateReason.SIZE, head_sha=sha("head")), Actor.CONDUCTOR, 200)
    assert spoken(it, "/rig approve", id=1, second=150) == []
    it.say(ISSUE, GateTriggered(reason=GateReason.SIZE, head_sha=sha("newer")), Actor.CONDUCTOR, 300)
    approved = GateApproved(head_sha=sha("head"), by="bob", note="approved in a comment")
    assert spoken(it, "/rig approve", id=2, second=250) == [approved]
    rejected = GateRejected(head_sha=sha("newer"), by="bob", note="too big")
    assert spoken(it, "/rig reject too big", id=3, second=400) == [rejected]


def test_who_answers_a_gate_is_named_as_the_policy_names_them() -> None:
    """GitHub's logins have no case; the conductor's list of approvers has."""
    it = at_work()
    policy = Policy(gates=Gates(approvers=("ada", "Bob")))
    it.say(FLEET, PolicyAdopted(policy=policy, hash=policy.digest(), by="ada"), Actor.CLI)
    it.say(ISSUE, GateTriggered(reason=GateReason.SIZE, head_sha=sha("head")), Actor.CONDUCTOR, 200)
    (approved,) = spoken(it, "/rig approve", second=250)
    assert approved == GateApproved(head_sha=sha("head"), by="Bob", note="approved in a comment")


def test_an_answer_is_for_the_run_that_asked() -> None:
    it = at_work()
    it.say(ISSUE, QuestionAsked(epoch=2, run="r-2", question="Net or gross?"), Actor.DEV_E, 100)
    assert spoken(it, "/rig answer net", id=1, second=50) == []
    said = QuestionAnswered(epoch=2, run="r-2", answer="net, always", by="bob")
    assert spoken(it, "/rig answer net, always", id=2, second=150) == [said]
    assert spoken(it, "/rig answer gross", id=3, second=160) == []


def test_what_somebody_said_in_the_second_of_a_comment_was_perhaps_before_it() -> None:
    """GitHub's clock shows whole seconds: who is told to stop stops."""
    it = at_work()
    it.say(ISSUE, RetryRequested(by="ada"), Actor.CLI, 60.5)
    assert spoken(it, "/rig stop", id=1, second=59) == []
    assert it.last.skipped == "stop: somebody said otherwise later"
    assert spoken(it, "/rig stop", id=2, second=60) == [Stopped(by="bob")]
