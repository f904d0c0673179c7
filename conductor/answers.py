"""Rows of the read models → answers of the query service. Pure."""

from collections.abc import Iterable

from conductor.projector.issues import IssueRow, Judgement
from conductor.projector.roster import AgentRow
from schemas import AgentLine, Envelope, IssueDetail, IssueLine, IssueRef, TimelineEntry, Verdict, summary


def issue_line(row: IssueRow) -> IssueLine:
    """An issue as a list shows it."""
    return IssueLine(
        issue=row.issue,
        state=row.state,
        priority=row.priority,
        title=row.title,
        agent=row.agent,
        attempts=row.attempts,
        waiting=row.waiting,
        updated=row.updated,
    )


def issue_detail(row: IssueRow, position: int, timeline: tuple[TimelineEntry, ...], earlier: int) -> IssueDetail:
    """An issue as a person wants it: verdicts are those about its current head."""
    head = row.head_sha or ""
    return IssueDetail(
        position=position,
        issue=row.issue,
        state=row.state,
        title=row.title,
        body=row.body,
        author=row.author,
        priority=row.priority,
        depends_on=row.depends_on,
        approved=row.approved,
        waiting=row.waiting,
        waits_for=row.waits_for,
        epoch=row.ownership.epoch,
        run=row.ownership.run,
        agent=row.agent,
        attempts=row.attempts,
        branch=row.branch,
        pull_request=row.pull_request,
        url=row.url,
        head_sha=row.head_sha,
        checks=_verdict(row.checks.get(head)),
        reviews=tuple(found.verdict for found in row.reviews.get(head, {}).values()),
        merge_sha=row.merge_sha,
        findings=row.findings,
        refusal=row.refusal,
        cycle=row.cycle,
        escalation=row.escalation,
        deadline=row.deadline,
        timeline=timeline,
        earlier=earlier,
    )


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


def _verdict(found: Judgement | None) -> Verdict | None:
    return None if found is None else found.verdict
