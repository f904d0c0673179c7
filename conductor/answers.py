"""Rows of the read models → answers of the query service. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from conductor.projector.issues import IssueRow, Standing
from conductor.projector.roster import AgentRow
from schemas import AgentLine, Envelope, IssueDetail, IssueLine, IssueRef, TimelineEntry, summary

T = TypeVar("T", bound=Struct)

ANSWER_BYTES: Final = 700_000
"""Of what fills an answer; a message holds a megabyte."""


def fitting(page: Sequence[T]) -> list[T]:
    """As much of a page as an answer holds, and at least its first."""
    size, found = 0, list[T]()
    for one in page:
        size += len(msgspec.json.encode(one))
        if found and size > ANSWER_BYTES:
            break
        found.append(one)
    return found


def issue_line(row: IssueRow) -> IssueLine:
    """An issue as a list shows it."""
    now = _standing(row)
    return IssueLine(
        issue=row.issue,
        state=now.state,
        priority=row.priority,
        title=row.title,
        agent=now.agent,
        attempts=row.attempts,
        waiting=now.waiting,
        updated=row.updated,
    )


def issue_detail(row: IssueRow, position: int, timeline: tuple[TimelineEntry, ...], earlier: int) -> IssueDetail:
    """An issue as a person wants it: verdicts are those about its current head."""
    now = _standing(row)
    return IssueDetail(
        position=position,
        issue=row.issue,
        state=now.state,
        title=row.title,
        body=row.body,
        author=row.author,
        priority=row.priority,
        depends_on=row.depends_on,
        approved=row.approved,
        waiting=now.waiting,
        waits_for=now.waits_for,
        epoch=now.ownership.epoch,
        run=now.ownership.run,
        agent=now.agent,
        attempts=row.attempts,
        branch=row.branch,
        pull_request=now.pull_request,
        url=row.pull_request_url,
        head_sha=now.head_sha,
        checks=now.checks,
        reviews=now.reviews,
        merge_sha=now.merge_sha,
        findings=now.findings,
        refusal=row.refusal,
        cycle=now.cycle,
        escalation=row.escalation,
        deadline=now.deadline,
        timeline=timeline,
        earlier=earlier,
    )


def _standing(row: IssueRow) -> Standing:
    """Every row that is stored has it."""
    if row.standing is None:
        raise ValueError(f"the row of {row.issue} does not say where it stands")
    return row.standing


def timeline_entry(position: int, said: Envelope) -> TimelineEntry:
    """One event of an issue, in words."""
    return TimelineEntry(
        position=position,
        time=said.time,
        actor=said.actor,
        type=said.data.wire_type(),
        summary=summary(said.data),
    )


def agent_line(row: AgentRow, busy: Iterable[IssueRef]) -> AgentLine:
    """An agent, with the issues that it works on now."""
    return AgentLine(
        name=row.name,
        role=row.role,
        slots=row.slots,
        busy=tuple(busy),
        provider=row.provider,
        version=row.version,
        joined=row.joined,
        left=row.left,
    )
