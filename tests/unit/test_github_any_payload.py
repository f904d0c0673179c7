"""Whatever the bytes are: translated, skipped or Untranslatable; and whatever is said can be read again."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridges.github import payloads
from bridges.github.judge import Failed, judge
from bridges.github.said import BlockedBy, Permission, Untranslatable
from bridges.github.translate import EVENTS, asks, of_issue, of_pull_request, of_review
from bridges.github.translate.reading import decoded
from schemas import (
    MAY_SAY,
    Actor,
    ChecksFailed,
    Draft,
    GateReason,
    GateTriggered,
    QuestionAsked,
    ReviewScope,
    encode,
    envelope,
)
from tests.conftest import FULL
from tests.support.github_payloads import (
    ADA,
    BOB,
    REPOSITORY,
    START,
    at,
    comment,
    deployment_status,
    issue,
    issues,
    merged,
    pull,
    pull_request,
    review,
    sha,
    workflow_run,
)
from tests.support.translated import ISSUE, WEB, Desk, desk, opened

EXAMPLES = 2_000 if FULL else 60
pytestmark = [pytest.mark.full, pytest.mark.timeout(600)] if FULL else []
"""The same tests, with more examples, are the long count."""
SAYABLE = {kind.__name__ for kind in MAY_SAY[Actor.GITHUB]} | {"untranslatable"}
DEEP = "<deep>"
"""Stands for what is nested deeper than anything reads."""

DATES = (
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-03-02T09:00:00", "1700-01-01T00:00:00Z"),
    *("2026-03-02T09:59:59.999999+14:00", "2800-01-01T00:00:00Z"),
)

nasty = st.one_of(
    st.sampled_from(
        [
            *(None, True, 0, -1, 2**53, 2**64, 10**400, 1e308, "", " ", "\0", "\ud800", "\u202e", "x" * 70_000, [], {}),
            *(999_999_999, 1_000_000_000, [{}], {"name": "\n"}, "\x1b[31m", "a/b/c", "acme/web", DEEP),
            *(
                "Closes #0",
                "Depends on #99999999999",
                "Depends on " + "#1 " * 9_000,
                "/rig stop\0",
                "/rig budget 9e999",
            ),
            *(sha("head"), sha("merge"), sha("head").upper(), "f" * 64, "approved", "dismissed", "closed", "deleted"),
        ]
    ),
    st.text(max_size=20),
    st.integers(),
)
shapeless = st.recursive(nasty, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))


def known() -> dict[str, list[dict[str, Any]]]:
    """Deliveries of every kind, as they should be."""
    fork = {"ref": "fix", "sha": sha("mine"), "repo": {**REPOSITORY, "full_name": "bob/web"}}
    found: dict[str, list[bytes | dict[str, Any]]] = {
        "issues": [
            issues("labeled", issue(9, "agent-ready", "P1", body="Depends on #7, acme/api#3"), label="agent-ready"),
            issues("edited", issue(7, "agent-ready", second=900, title="Other", milestone={"title": "1.0"})),
            issues("closed", issue(7, second=900, state="closed")),
            issues("deleted", issue(7, "agent-ready", second=900)),
        ],
        "issue_comment": [
            comment("/rig stop\n/rig approve\n/rig budget 5\n/rig answer yes\n/rig assign x", second=800)
        ],
        "pull_request": [
            pull_request("closed", merged()),
            pull_request("closed", pull(second=900, state="closed", closed_at=at(900))),
            pull_request("opened", pull(30, head=fork, user=BOB)),
            pull_request("closed", merged(31, merge="undone", body=f"This reverts commit {sha('landed')}")),
        ],
        "pull_request_review": [review(state, pull()) for state in ("approved", "changes_requested", "dismissed")],
        "check_run": [
            {"check_run": {"id": 1, "name": "a", "head_sha": sha("head"), "pull_requests": [{"number": 12}]}}
        ],
        "check_suite": [{"check_suite": {"id": 1, "head_sha": sha("head")}}],
        "status": [{"sha": sha("head"), "context": "ci", "state": "success"}],
        "workflow_run": [workflow_run("failure"), workflow_run("success")],
        "push": [
            {
                "ref": "refs/heads/main",
                "sender": BOB,
                "commits": [{"id": sha("undone"), "message": f'Revert "x"\n\nThis reverts commit {sha("landed")}.'}],
            }
        ],
        "deployment_status": [deployment_status(sha("landed"))],
        "installation": [
            {"action": "deleted", "installation": {"id": 5, "updated_at": at(9)}, "repositories": [REPOSITORY]}
        ],
        "installation_repositories": [
            {"action": "removed", "installation": {"id": 5}, "repositories_removed": [REPOSITORY], "sender": ADA}
        ],
        "repository": [{"action": "archived", "sender": ADA}],
        "milestone": [
            {
                "action": "edited",
                "milestone": {"title": "2.0", "updated_at": at(950)},
                "changes": {"title": {"from": "1.0"}},
            }
        ],
        "issue_dependencies": [
            {"action": "blocked_by_added", "blocked_issue": issue(7, second=950), "blocking_issue": issue(5)}
        ],
    }
    return {
        event: [
            {"repository": REPOSITORY, **(json.loads(one) if isinstance(one, bytes) else one)} for one in deliveries
        ]
        for event, deliveries in found.items()
    }


KNOWN = known()


def busy() -> Desk:
    """A log in which everything that a delivery may be about is there."""
    it = desk(reviewers=("review-e.bot", "ada"), reviews=ReviewScope.ALL)
    it.deliver("issues", issues("opened", issue(7, "agent-ready", milestone={"title": "1.0"})))
    it.deliver("issues", issues("opened", issue(8, "agent-ready")))
    opened(it)
    landed = merged(20, merge="landed", second=100, body="Closes #8", head={"ref": "x", "sha": sha("x")})
    it.deliver("pull_request", pull_request("closed", landed))
    it.say(ISSUE, GateTriggered(reason=GateReason.SIZE, head_sha=sha("head")), Actor.CONDUCTOR, 200)
    it.say(ISSUE, QuestionAsked(epoch=1, run="r-1", question="?"), Actor.DEV_E, 300)
    return it


def written(payload: object) -> bytes:
    text = json.dumps(payload)
    return text.replace(json.dumps(DEEP), "[" * 5_000 + "]" * 5_000).encode()


def tried(event: str, body: bytes, permission: str = "write") -> list[str]:
    """What is said of it, read again; or that it is untranslatable."""
    it = busy()
    try:
        asked = asks(event, body, it.heard)
        answers = {one: permission if isinstance(one, Permission) else ("#7", "text\0") for one in asked}
        return [type(said).__name__ for said in it.deliver(event, body, answers)]
    except Untranslatable:
        return ["untranslatable"]


@pytest.mark.parametrize("event", EVENTS)
def test_a_delivery_as_it_should_be_means_something(event: str) -> None:
    """So that what follows tries more than how to refuse."""
    for payload in KNOWN[event]:
        it = busy()
        answers = {Permission(WEB, "bob"): "write", BlockedBy(ISSUE): ("#5",)}
        said = it.deliver(event, json.dumps(payload).encode(), answers)
        assert said or it.last.looks, payload


@settings(max_examples=EXAMPLES)
@given(st.sampled_from(EVENTS), st.binary(max_size=200))
def test_any_bytes(event: str, body: bytes) -> None:
    assert tried(event, body) == ["untranslatable"]


@settings(max_examples=EXAMPLES)
@given(st.sampled_from(EVENTS), st.dictionaries(st.text(max_size=10), shapeless) | shapeless)
def test_any_json(event: str, payload: object) -> None:
    assert tried(event, written(payload)) in ([], ["untranslatable"]), "what is of no shape of GitHub's says nothing"


def changed(draw: st.DrawFn, payload: Any) -> Any:
    """One place of a payload is something else, or not there, or there twice."""
    if isinstance(payload, dict) and payload and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(payload)))
        if not draw(st.integers(0, 7)):
            return {name: value for name, value in payload.items() if name != key}
        return {**payload, key: changed(draw, payload[key])}
    if isinstance(payload, list) and payload and draw(st.integers(0, 4)):
        return [changed(draw, payload[0]), *payload[1:]] * draw(st.integers(1, 2))
    if isinstance(payload, str) and payload.endswith("00Z") and draw(st.integers(0, 3)):
        return draw(st.sampled_from(DATES))
    return draw(shapeless)


@st.composite
def nearly(draw: st.DrawFn) -> tuple[str, bytes]:
    event = draw(st.sampled_from(EVENTS))
    payload: Any = draw(st.sampled_from(KNOWN[event]))
    for _ in range(draw(st.integers(1, 3))):
        if isinstance(payload, dict):
            payload = changed(draw, payload)
    body = written(payload)
    if not draw(st.integers(0, 9)):
        body = body[: draw(st.integers(0, len(body)))]
    elif not draw(st.integers(0, 9)):
        body = body[:-1] + b"," + body[1:]  # every key twice
    return event, body


@settings(max_examples=4 * EXAMPLES)
@given(nearly(), st.sampled_from(["write", "read", "\0"]))
def test_any_delivery_that_is_nearly_right(delivery: tuple[str, bytes], permission: str) -> None:
    assert set(tried(*delivery, permission)) <= SAYABLE


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_any_answer_of_the_api_that_is_nearly_right(data: st.DataObject) -> None:
    def drawn(kind: Any, payload: dict[str, Any]) -> Any:
        return decoded(written(data.draw(st.composite(lambda draw: changed(draw, payload))())), kind)

    it = busy()
    try:
        it.take(of_issue(WEB, drawn(payloads.Issue, issue(7, "agent-ready", second=900, title="Other")), it.heard))
        it.take(of_pull_request(WEB, drawn(payloads.PullRequest, merged()), it.heard))
        told = drawn(payloads.Review, json.loads(review("approved", pull()))["review"])
        it.take(of_review(WEB, decoded(json.dumps(pull()).encode(), payloads.PullRequest), told, it.heard))
    except Untranslatable:
        pass
    assert {type(said).__name__ for said in it.said} <= SAYABLE


@settings(max_examples=EXAMPLES)
@given(
    st.lists(st.tuples(st.text(max_size=5), st.sampled_from(["failure", "success", "cancelled", None]), st.text())),
    st.lists(st.text(max_size=5), max_size=2),
)
def test_any_verdict_can_be_said(checks: list[tuple[str, str | None, str]], required: list[str]) -> None:
    runs = [
        payloads.CheckRun(
            id=id_ + 1,
            name=name,
            head_sha=sha("head"),
            status="completed" if conclusion else "queued",
            conclusion=conclusion,
            html_url=text,
            output=payloads.CheckOutput(text, text * 9_000),
        )
        for id_, (name, conclusion, text) in enumerate(checks)
    ]
    verdict = judge(runs, [], required)
    if isinstance(verdict, Failed):
        data = ChecksFailed(head_sha=sha("head"), base_sha=sha("base"), failed=verdict.failed)
        encode(envelope(Draft(about=ISSUE, data=data), id="x", actor=Actor.GITHUB, source="github", time=START))
