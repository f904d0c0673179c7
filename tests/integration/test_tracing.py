"""Traces over a real server: what spans are made, whose trace is whose, and one issue of the demo from end to end."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs

from bus import WORK, Conflict, Done, Drop, Expect, Outcome, Retry
from bus.tracing import tracing
from schemas import (
    FLEET,
    Actor,
    Decided,
    Draft,
    Envelope,
    IssueApproved,
    IssueRef,
    Recorded,
    envelope,
)
from tests.conftest import Connect
from tests.support.rig import rig
from tests.support.saying import DECIDED, assigned, started
from tests.support.spans import Here, Seen, collecting, traced

ISSUES = [IssueRef("acme", "web", number) for number in range(1, 25)]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECRET = "hunter2"


@pytest.fixture
def here() -> Iterator[Here]:
    with traced() as here:
        yield here


def approved(issue: IssueRef = ISSUES[0], **fields: str) -> Draft:
    return Draft(about=issue, data=IssueApproved(title=SECRET, author="ada"), **fields)


def assignment(issue: IssueRef = ISSUES[0], **fields: str) -> Draft:
    return Draft(about=issue, data=assigned(), **fields)


def context(traceparent: str | None) -> str | None:
    return traceparent and traceparent[3:-3]


def in_trace(parent: str, span: Seen) -> bool:
    return context(parent) == f"{span.trace}-{span.parent}"


# ── publishing ───────────────────────────────────────────────────────────────


async def test_what_is_published_has_a_span_and_carries_it(connect: Connect, here: Here) -> None:
    bus = await connect(Actor.LOCAL)
    await bus.log.publish(approved(correlation="local:0", cause="local:0"), "local:1")
    [stored] = await bus.log.history(["rig.>"])
    span = here.one("send rig.issue.approved")
    assert (span.kind, span.parent, span.failed) == ("PRODUCER", None, False)
    assert context(stored.event.traceparent) == span.context
    body = span.attributes.pop("messaging.message.body.size")
    assert isinstance(body, int)
    assert 200 < body < 1_000
    assert span.attributes == {
        "messaging.system": "nats",
        "messaging.destination.name": "rig.issue.approved",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.message.id": "local:1",
        "messaging.message.conversation_id": "local:0",
        "rig.subject": "rig.issue.acme.web.1.local.approved",
        "rig.cause": "local:0",
    }


async def test_the_current_span_comes_first_then_the_cause_then_a_new_trace(connect: Connect, here: Here) -> None:
    bus = await connect(Actor.LOCAL)
    with tracing.step("outer"):
        await bus.log.publish(approved(ISSUES[0], cause="x", traceparent=PARENT), "local:1")
    await bus.log.publish(approved(ISSUES[1], cause="x", traceparent=PARENT), "local:2")
    await bus.log.publish(approved(ISSUES[2], cause="x", traceparent="nonsense"), "local:3")
    outer, sent = here.one("outer"), [span for span in here.spans if span.kind == "PRODUCER"]
    assert (sent[0].trace, sent[0].parent) == (outer.trace, outer.id)
    assert in_trace(PARENT, sent[1])
    assert sent[2].parent is None
    assert len({outer.trace, sent[1].trace, sent[2].trace}) == 3


async def test_who_shares_a_flush_has_a_span_of_his_own(connect: Connect, here: Here) -> None:
    bus = await connect(Actor.LOCAL)
    await asyncio.gather(*(bus.log.publish(approved(issue), f"local:{issue.number}") for issue in ISSUES))
    said = {item.event.id: context(item.event.traceparent) for item in await bus.log.history(["rig.>"])}
    assert {str(span.attributes["messaging.message.id"]): span.context for span in here.spans} == said
    assert len({span.trace for span in here.spans}) == len(ISSUES)


async def test_without_spans_an_event_still_carries_on_the_trace_of_its_cause(connect: Connect) -> None:
    bus = await connect(Actor.LOCAL)
    await bus.log.publish(approved(ISSUES[0], cause="x", traceparent=PARENT), "local:1")
    await bus.log.publish(approved(ISSUES[1]), "local:2")
    assert [item.event.traceparent for item in await bus.log.history(["rig.>"])] == [PARENT, None]


async def test_a_refusal_is_an_error_of_its_kind(connect: Connect, here: Here) -> None:
    bus = await connect(Actor.LOCAL)
    await bus.log.publish(approved(), "local:1", new_subject=True)
    with pytest.raises(Conflict):
        await bus.log.publish(approved(), "local:2", new_subject=True)
    good, bad = here.spans
    assert (good.failed, bad.failed, bad.attributes["error.type"]) == (False, True, "Conflict")
    assert SECRET not in str(here.spans)


def batch(*drafts: Draft) -> list[Envelope]:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    decided = Draft(about=FLEET, data=Decided(through=0, now=now, policy="p", rules=1, count=len(drafts)))
    return [
        envelope(draft, id=f"conductor:0:{index}", actor=Actor.CONDUCTOR, source="conductor", time=now)
        for index, draft in enumerate([decided, *drafts])
    ]


async def test_the_events_of_a_batch_are_each_in_the_trace_of_their_cause(connect: Connect, here: Here) -> None:
    bus = await connect(Actor.CONDUCTOR)
    causes = [PARENT, PARENT.replace("0af", "0bf"), "nonsense"]
    drafts = [assignment(issue, cause="x", traceparent=cause) for issue, cause in zip(ISSUES, causes, strict=False)]
    await bus.log.append(batch(*drafts), expect=Expect(DECIDED, 0))
    sent, decided = here.one("send RIG"), here.one("create rig.fleet.decided")
    created = [span for span in here.spans if span.name == "create rig.issue.assigned"]
    assert (sent.kind, sent.parent, sent.attributes["messaging.batch.message_count"]) == ("CLIENT", None, 4)
    assert sent.links == (decided.id, *(span.id for span in created))
    assert (decided.trace, decided.parent) == (sent.trace, sent.id)
    assert [in_trace(cause, span) for cause, span in zip(causes[:2], created, strict=False)] == [True, True]
    assert created[2].parent is None
    assert {span.kind for span in created} == {"PRODUCER"}
    stored = [context(item.event.traceparent) for item in await bus.log.history(["rig.>"])]
    assert stored == [span.context for span in (decided, *created)]
    again = [structs.replace(event, id=f"{event.id}:again") for event in batch(*drafts)]
    with pytest.raises(Conflict):
        await bus.log.append(again, expect=Expect(DECIDED, 0))
    assert sum(span.failed for span in here.spans) == 5, "what did not land does not look as if it had"


# ── working ──────────────────────────────────────────────────────────────────


async def test_a_batch_that_was_given_up_does_not_look_as_if_it_had_landed(connect: Connect, here: Here) -> None:
    bus = await connect(Actor.CONDUCTOR)
    appending = asyncio.create_task(bus.log.append(batch(assignment()), expect=Expect(DECIDED, 0)))
    await asyncio.sleep(0)  # its spans have begun
    appending.cancel()
    await asyncio.gather(appending, return_exceptions=True)
    assert [span.attributes.get("rig.outcome") for span in here.spans] == ["cancelled"] * 3


async def test_what_stands_in_the_place_of_an_id_is_no_attribute(connect: Connect, here: Here) -> None:
    bus = await connect(Actor.LOCAL)
    await bus.log.publish(approved(correlation="x" * 301, cause="two words"), "local:1")
    attributes = here.one("send rig.issue.approved").attributes
    assert not {"messaging.message.conversation_id", "rig.cause"} & set(attributes)


async def test_work_goes_on_in_the_trace_of_its_event_and_so_does_what_it_says(connect: Connect, here: Here) -> None:
    conductor, agent = await connect(Actor.CONDUCTOR), await connect(Actor.DEV_E)
    await conductor.log.publish(assignment(), "conductor:1")
    stop = asyncio.Event()
    tries = iter([ValueError(SECRET), Retry(0), Drop(SECRET)])

    async def handle(item: Recorded) -> Outcome:
        if outcome := next(tries, None):
            if isinstance(outcome, ValueError):
                raise outcome
            if isinstance(outcome, Drop):
                await conductor.log.publish(assignment(ISSUES[1]), "conductor:2")
            return outcome
        await agent.log.publish(Draft(about=ISSUES[0], data=started(), cause=item.event.id), "dev-e:1")
        stop.set()
        return Done()

    await agent.log.work(WORK[Actor.DEV_E], handle, slots=1, stop=stop)
    first, second = [span for span in here.spans if span.name == "send rig.issue.assigned"]
    of_first = [span for span in here.spans if span.parent == first.id]
    received, processed = of_first[::2], of_first[1::2]
    assert {span.name for span in received} == {"receive rig.issue.assigned"}
    assert {span.kind for span in received} == {"CLIENT"}
    assert {(span.name, span.kind) for span in processed} == {("process rig.issue.assigned", "CONSUMER")}
    told = [[span.attributes.get(name) for name in ("rig.attempt", "rig.outcome", "error.type")] for span in processed]
    assert told == [[1, None, "ValueError"], [2, "retry", None], [3, "drop", "Drop"]]
    assert [span.failed for span in processed] == [True, False, True]
    assert {span.attributes["messaging.consumer.group.name"] for span in of_first} == {WORK[Actor.DEV_E].name}
    assert second.parent == processed[2].id, "said while that was handled"
    last = here.spans[-1]
    assert (last.parent, last.attributes["rig.outcome"]) == (second.id, "done")
    sent = here.one("send rig.issue.work_started")
    assert (sent.trace, sent.parent) == (first.trace, last.id)
    assert SECRET not in str(here.spans)


# ── the whole rig ────────────────────────────────────────────────────────────

ASIDE = {"deadline_set", "budget_reserved", "budget_settled"}
"""What keeps time and accounts beside the story."""
STORY = [
    "approved",
    "assigned",
    "work_started",
    "tokens_used",
    "work_failed",
    "work_pushed",
    "pull_request_opened",
    "checks_passed",
    "merge_requested",
    "merged",
    "done",
]


def test_one_issue_of_the_demo_is_one_connected_trace_over_all_processes(tmp_path: Path) -> None:
    with collecting() as collector:
        # Often, so that little is left for the end, which is bounded.
        exported = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        done = rig(tmp_path / "home", "demo", "--json", **exported)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "done"

    def said(spans: list[Seen]) -> list[Seen]:
        found = [span for span in spans if span.kind == "PRODUCER" and span.name.split()[1].startswith("rig.issue.")]
        return sorted(found, key=lambda span: span.began)

    [approval] = [span for span in collector.spans if span.name == "send rig.issue.approved"]
    of_issue = [span for span in collector.spans if span.trace == approval.trace]
    assert said(collector.spans) == said(of_issue), "everything that was said about the issue is in its trace"
    by_id = {span.id: span for span in of_issue}
    assert [span for span in of_issue if span.parent not in by_id] == [approval], "one root, from which all follows"
    assert {span.service for span in of_issue} == {"rig-local", "rig-conductor", "rig-dev-e"}

    events = [str(span.attributes["messaging.destination.name"]).removeprefix("rig.issue.") for span in said(of_issue)]
    assert list(dict.fromkeys(event for event in events if event not in ASIDE)) == STORY
    for span in said(of_issue):
        if span is not approval:
            assert span.attributes["rig.cause"] in messages_above(span, by_id), f"{span.name} follows from its cause"
    names = {span.name for span in of_issue}
    assert {"process rig.issue.assigned", "process rig.issue.merge_requested"} <= names
    assert {"prepare", "code", "check", "push"} <= names
    assert "discount" not in str(collector.spans), "nothing of what was said is told"


def messages_above(span: Seen, by_id: dict[str, Seen]) -> list[object]:
    """The ids of the messages whose spans lead to this one."""
    found: list[object] = []
    while span.parent is not None:
        span = by_id[span.parent]
        if span.kind == "PRODUCER":
            found.append(span.attributes["messaging.message.id"])
    return found
