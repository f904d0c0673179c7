"""The read model of issues: what people and forges have said of each, and where the conductor's fold has brought it.

Where an issue stands is read off the very state that is decided on. Only words that no decision needs (titles, links)
are folded here. Pure.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

from msgspec import UNSET, Struct, UnsetType

from conductor.projector.model import Model
from conductor.state import Issue, State, dollars
from conductor.state import Verdict as Judged
from schemas import (
    BudgetRaised,
    Deadline,
    EscalationReason,
    GateReason,
    IssueApproved,
    IssueAssigned,
    IssueDone,
    IssueEscalated,
    IssueEvent,
    IssueRef,
    IssueRefused,
    IssueRevised,
    IssueState,
    ModelUsed,
    Ownership,
    Priority,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    Recorded,
    Refusal,
    RepoEvent,
    RepoRef,
    Verdict,
    WaitingReason,
)

FINDINGS_MAX = 32_768
"""Characters of findings that are kept."""
_ISSUE_SCOPE = "issue:"

T = TypeVar("T")


class OpenGate(Struct, frozen=True):
    """A gate at which the issue waits for a person."""

    reason: GateReason
    head_sha: str | None
    since: datetime


class Standing(Struct, frozen=True, kw_only=True):
    """Where the conductor's fold has brought an issue."""

    state: IssueState
    since: datetime
    """By the source's clock."""
    ownership: Ownership
    waiting: tuple[WaitingReason, ...]
    waits_for: tuple[IssueRef, ...]
    cycle: tuple[IssueRef, ...]
    deadline: Deadline | None
    role: str
    agent: str | None
    """Who works on it now."""
    question: bool
    """Whether a run waits for an answer."""
    failed_attempts: int
    findings: str
    pull_request: int | None
    head_sha: str | None
    checks: Verdict | None
    reviews: tuple[Verdict, ...]
    """Both about the current head."""
    gates: tuple[OpenGate, ...]
    merge_sha: str | None
    reverted: bool
    spent_usd: float
    committed_usd: float
    """With what is set aside."""


class IssueRow(Struct, kw_only=True):
    """One issue."""

    issue: IssueRef
    opened: int
    """Position of its approval: the order in which issues are listed."""
    approved: datetime
    position: int
    """Of the last event that changed the row."""
    updated: datetime
    title: str
    body: str
    author: str
    url: str
    """Of the issue."""
    priority: Priority
    depends_on: tuple[IssueRef, ...]
    labels: tuple[str, ...]
    milestone: str | None
    attempts: int = 0
    """The last assignment's."""
    branch: str | None = None
    pull_request_url: str = ""
    refusal: Refusal | None = None
    escalation: EscalationReason | None = None
    standing: Standing | None = None
    """None: not looked up yet."""


def issues(state: State) -> Model[IssueRow]:
    """The table, beside the conductor's fold that it follows."""

    def keys(said: Recorded) -> Iterable[str]:
        match said.event.about:
            case IssueRef() as ref if isinstance(said.event.data, IssueApproved) or ref in state.issues:
                return (str(ref),)
            case RepoRef() as repository:
                return [str(ref) for ref in state.issues if ref.repository == repository]
            case _ if isinstance(said.event.data, ModelUsed):
                return (str(said.event.data.issue),) if said.event.data.issue in state.issues else ()
            case _ if isinstance(said.event.data, BudgetRaised) and said.event.data.scope.startswith(_ISSUE_SCOPE):
                key = said.event.data.scope.removeprefix(_ISSUE_SCOPE)
                return (key,) if IssueRef.parse(key) in state.issues else ()
            case _:
                return ()

    def finish(key: str, row: IssueRow) -> IssueRow:
        issue = state.issues[IssueRef.parse(key)]
        row.priority, row.depends_on, row.labels = issue.priority, issue.depends_on, issue.labels
        row.milestone, row.standing = issue.milestone, standing(issue)
        return row

    return Model("issues", IssueRow, keys, fold_issue, (IssueEvent, RepoEvent, BudgetRaised, ModelUsed), finish)


def standing(issue: Issue) -> Standing:
    """What the conductor knows of an issue, for people."""
    waiting, waits_for = issue.waiting or ((), ())
    live = issue.deadline if issue.deadline is not None and not issue.deadline.passed else None
    head = issue.head or ""
    checks = issue.checks.get(head)
    verdicts = issue.review().verdicts.items()
    return Standing(
        state=issue.state,
        since=issue.since,
        ownership=issue.ownership,
        waiting=waiting,
        waits_for=waits_for,
        cycle=issue.cycle,
        deadline=None if live is None else Deadline(kind=live.kind, at=live.at),
        role=issue.role,
        agent=issue.agent if issue.state is IssueState.IN_PROGRESS else None,
        question=issue.question is not None,
        failed_attempts=issue.attempts,
        findings="" if issue.state is IssueState.DONE else _cut(issue.findings),
        pull_request=issue.pull_request,
        head_sha=issue.head,
        checks=None if checks is None else _verdict(head, "checks", checks),
        reviews=tuple(_verdict(head, reviewer, verdict) for reviewer, verdict in verdicts),
        gates=tuple(OpenGate(reason, sha, issue.gates[reason, sha].since) for reason, sha in issue.open_gates),
        merge_sha=issue.merge_sha,
        reverted=issue.reverted,
        spent_usd=dollars(sum(account.spent for account in issue.accounts.values())),
        committed_usd=dollars(issue.committed),
    )


def _verdict(head: str, by: str, judged: Judged) -> Verdict:
    return Verdict(passed=judged.passed, head_sha=head, base_sha=judged.base, by=by, at=judged.time)


def fold_issue(key: str, row: IssueRow | None, said: Recorded) -> IssueRow | None:
    """What is only told. None: there is no such issue, because nobody has approved one."""
    event = said.event.data
    if row is None:
        return _approved(IssueRef.parse(key), said, event) if isinstance(event, IssueApproved) else None
    row.position, row.updated = said.position, said.stored_at
    if isinstance(event, IssueEvent):
        _tell(row, event)
    return row


def _approved(ref: IssueRef, said: Recorded, event: IssueApproved) -> IssueRow:
    return IssueRow(
        issue=ref,
        opened=said.position,
        approved=said.stored_at,
        position=said.position,
        updated=said.stored_at,
        title=event.title,
        body=event.body,
        author=event.author,
        url=event.url,
        priority=event.priority,
        depends_on=event.depends_on,
        labels=event.labels,
        milestone=event.milestone,
    )


def _tell(row: IssueRow, event: IssueEvent) -> None:
    match event:
        case IssueApproved():
            row.title, row.body, row.author, row.url = event.title, event.body, event.author, event.url
        case IssueRevised():
            row.title, row.body = _given(event.title, row.title), _given(event.body, row.body)
        case IssueAssigned(attempt=attempt):
            row.attempts, row.refusal, row.escalation = attempt, None, None
        case IssueDone(attempts=attempts):
            row.attempts = attempts
        case IssueRefused(reason=reason):
            row.refusal = reason
        case IssueEscalated(reason=reason, attempts=attempts):
            row.escalation, row.attempts = reason, attempts
        case PullRequestOpened(branch=branch, url=url):
            row.branch, row.pull_request_url = branch, url
        case PullRequestUpdated(branch=branch):
            row.branch = branch
        case PullRequestClosed():
            row.branch, row.pull_request_url = None, ""
        case _:
            pass


def _given(value: T | UnsetType, otherwise: T) -> T:
    return otherwise if value is UNSET else value  # pyright: ignore[reportReturnType] - UNSET is the one UnsetType


def _cut(text: str) -> str:
    return text if len(text) <= FINDINGS_MAX else f"{text[:FINDINGS_MAX]}\n… (cut: {len(text)} characters)"
