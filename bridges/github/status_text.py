"""Where an issue stands, in the words of its one living comment, its label and its commit status. Pure.

A function of the fold alone: the same fold gives the same text, so a text is written when it is another one. What
agents and people said stands in it as code, or fenced.
"""

from enum import StrEnum
from typing import Final, TypeVar

from bridges.github import texts
from bridges.github.known import Issue
from bridges.standing import CHECKS, Standing
from schemas import (
    ChecksFailed,
    Event,
    IssueAssigned,
    IssueDone,
    IssueEscalated,
    IssueRef,
    IssueRefused,
    IssueState,
    IssueWaiting,
    IssueWithdrawn,
    MergeRefused,
    QuestionAsked,
    ReviewDisputed,
    Stopped,
)

EventT = TypeVar("EventT", bound=Event)

_QUOTED: Final = 2_000
"""Characters of what somebody said."""


class Label(StrEnum):
    """The labels by which people see at a glance how far an issue is."""

    QUEUED = "rig: queued"
    WORKING = "rig: working"
    IN_REVIEW = "rig: in review"
    NEEDS_YOU = "rig: needs you"
    DONE = "rig: done"

    @property
    def color(self) -> str:
        return _COLORS[self]

    @property
    def description(self) -> str:
        return _DESCRIPTIONS[self]


class Report(StrEnum):
    """What the rig's own commit status, or check run, says of a head."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"


_COLORS: Final = {
    Label.QUEUED: "c5def5",
    Label.WORKING: "1d76db",
    Label.IN_REVIEW: "fbca04",
    Label.NEEDS_YOU: "d93f0b",
    Label.DONE: "0e8a16",
}
_DESCRIPTIONS: Final = {
    Label.QUEUED: "Approved; nobody works on it yet",
    Label.WORKING: "An agent works on it",
    Label.IN_REVIEW: "Pushed: checks, reviews or the merge are awaited",
    Label.NEEDS_YOU: "It goes on when a person says so",
    Label.DONE: "Merged; nothing more is due",
}
_LABELS: Final = {
    IssueState.QUEUED: Label.QUEUED,
    IssueState.ASSIGNED: Label.WORKING,
    IssueState.IN_PROGRESS: Label.WORKING,
    IssueState.CHANGES_REQUESTED: Label.WORKING,
    IssueState.MERGE_CONFLICT: Label.WORKING,
    IssueState.IN_REVIEW: Label.IN_REVIEW,
    IssueState.READY_TO_MERGE: Label.IN_REVIEW,
    IssueState.MERGING: Label.IN_REVIEW,
    IssueState.DEPLOYING: Label.IN_REVIEW,
    IssueState.GATED: Label.NEEDS_YOU,
    IssueState.ESCALATED: Label.NEEDS_YOU,
    IssueState.REFUSED: Label.NEEDS_YOU,
    IssueState.STOPPED: Label.NEEDS_YOU,
    IssueState.DONE: Label.DONE,
}
_REPORTS: Final = {
    IssueState.MERGING: (Report.SUCCESS, "ready to merge"),
    IssueState.DEPLOYING: (Report.SUCCESS, "merged"),
    IssueState.DONE: (Report.SUCCESS, "done"),
    IssueState.CHANGES_REQUESTED: (Report.FAILURE, "changes are wanted"),
    IssueState.MERGE_CONFLICT: (Report.FAILURE, "conflicts with the base branch"),
    IssueState.GATED: (Report.PENDING, "a person must let it through"),
    IssueState.ESCALATED: (Report.FAILURE, "a person decides what comes next"),
    IssueState.STOPPED: (Report.FAILURE, "stopped by a person"),
}


def marker(issue: IssueRef) -> str:
    """The first line of the living comment: how it is found again."""
    return f"<!-- rig:status {issue} -->"


def label(standing: Standing) -> Label | None:
    """None: the rig has nothing to do with it any more."""
    if standing.question is not None:
        return Label.NEEDS_YOU
    return _LABELS.get(standing.state)


def report(standing: Standing) -> tuple[Report, str]:
    """Of the head of its pull request."""
    return _REPORTS.get(standing.state, (Report.PENDING, "checks and reviews are awaited"))


def comment(issue: Issue, standing: Standing) -> str:
    """The whole living comment."""
    paragraphs = [marker(issue.ref), f"**{_title(standing)}**", *_story(issue, standing)]
    if facts := _facts(issue, standing):
        paragraphs.append("\n".join(f"- {fact}" for fact in facts))
    return "\n\n".join(paragraphs)


def _title(standing: Standing) -> str:
    name = label(standing)
    return "Rig: withdrawn" if name is None else f"Rig{name.removeprefix('rig')}"


def _story(issue: Issue, standing: Standing) -> list[str]:
    """What holds now, and what a person can do about it."""
    if standing.question is not None and isinstance(asked := standing.question.event.data, QuestionAsked):
        return ["The agent asks:", texts.fenced(asked.question, _QUOTED), "Answer with `/rig answer …`."]
    match standing.state:
        case IssueState.QUEUED:
            return [_waiting(standing)]
        case IssueState.ASSIGNED | IssueState.IN_PROGRESS:
            return [_working(issue, standing)]
        case IssueState.CHANGES_REQUESTED | IssueState.MERGE_CONFLICT:
            conflict = standing.state is IssueState.MERGE_CONFLICT
            return ["It conflicts with the base branch." if conflict else "Changes are wanted.", *_findings(issue)]
        case IssueState.GATED:
            return ["A person must let it through:", *_gates(standing), "Say `/rig approve` or `/rig reject`."]
        case IssueState.ESCALATED:
            return _escalated(issue)
        case IssueState.REFUSED:
            refused = _last(issue, IssueRefused)
            reason = "" if refused is None else f" ({refused.reason.replace('_', ' ')})"
            return [f"It cannot be taken as it stands{reason}: edit the issue."]
        case IssueState.STOPPED:
            stopped = _last(issue, Stopped)
            by = "a person" if stopped is None else texts.code(stopped.by)
            return [f"Stopped by {by}. Say `/rig retry` to have it go on."]
        case IssueState.WITHDRAWN:
            withdrawn = _last(issue, IssueWithdrawn)
            return [f"Nobody wants it any more{'' if withdrawn is None else f' ({withdrawn.reason})'}."]
        case IssueState.DONE:
            return [_done(issue)]
        case IssueState.MERGING:
            return ["It is being merged.", *_merge_refused(issue)]
        case IssueState.DEPLOYING:
            return ["Merged; what has to follow is awaited."]
        case IssueState.IN_REVIEW | IssueState.READY_TO_MERGE:
            return ["Checks and reviews are awaited."]


def _waiting(standing: Standing) -> str:
    said = standing.waiting.event.data if standing.waiting is not None else None
    if not isinstance(said, IssueWaiting):
        return "Approved; it will be assigned."
    on = f" on {', '.join(texts.code(str(ref)) for ref in said.waits_for[:10])}" if said.waits_for else ""
    return f"It waits: {', '.join(reason.replace('_', ' ') for reason in said.reasons)}{on}."


def _working(issue: Issue, standing: Standing) -> str:
    assigned = _last(issue, IssueAssigned)
    who = standing.agent or (assigned.role if assigned is not None else "an agent")
    if assigned is None or (assigned.attempt == 1 and assigned.reason == "new"):
        return f"{texts.code(who)} works on it."
    return f"{texts.code(who)} works on it (attempt {assigned.attempt}: {assigned.reason.replace('_', ' ')})."


def _findings(issue: Issue) -> list[str]:
    said: list[str] = []
    head = issue.pull_request.head if issue.pull_request is not None else None
    verdict = issue.checks.get(head) if head is not None else None
    if verdict is not None and isinstance(failed := verdict.said, ChecksFailed):
        said.append(f"Failed: {', '.join(texts.code(check.name, 80) for check in failed.failed[:10])}.")
    disputed = _last(issue, ReviewDisputed)
    if disputed is not None and disputed.head_sha == head:
        said += [f"{texts.code(disputed.reviewer)} wants changes:", texts.fenced(disputed.summary or "-", _QUOTED)]
    return said


def _gates(standing: Standing) -> list[str]:
    gates = sorted(standing.gates.values(), key=lambda gate: gate.reason)
    lines = [
        f"- {gate.reason.replace('_', ' ')}"
        + (f": {texts.code(gate.detail)}" if gate.detail else "")
        + (f": {', '.join(texts.code(path, 120) for path in gate.paths[:10])}" if gate.paths else "")
        for gate in gates
    ]
    return ["\n".join(lines)] if lines else []


def _escalated(issue: Issue) -> list[str]:
    said = _last(issue, IssueEscalated)
    if said is None:
        return ["A person decides what comes next. Say `/rig retry` to have it tried again."]
    told = [f"The rig has done what it may ({said.reason.replace('_', ' ')}); {texts.code(said.to)} decide."]
    if said.summary:
        told.append(texts.fenced(said.summary, _QUOTED))
    return [*told, "Say `/rig retry` to have it tried again."]


def _merge_refused(issue: Issue) -> list[str]:
    """GitHub's word on the last request for the head that is to be merged; it stands while GitHub is asked again."""
    refused = _last(issue, MergeRefused)
    if refused is None or issue.pull_request is None:
        return []
    if refused.head_sha != issue.pull_request.head:
        return []
    reason = refused.reason.replace("_", " ")
    return [f"GitHub refuses ({reason}): {texts.code(refused.detail or reason)}. It is asked again after a while."]


def _done(issue: Issue) -> str:
    said = _last(issue, IssueDone)
    if said is None:
        return "Done."
    cost = f", ${said.cost_usd:.2f}" if said.cost_usd else ""
    attempts = "1 attempt" if said.attempts == 1 else f"{said.attempts} attempts"
    return f"Done: {attempts}{cost}."


def _facts(issue: Issue, standing: Standing) -> list[str]:
    shown = issue.pull_request
    if shown is None:
        return []
    facts = [f"Pull request: #{shown.number} at {shown.head[:9]}{'' if shown.open or issue.merged else ' (closed)'}"]
    verdicts = standing.verdicts.get(shown.head, {})
    checks = verdicts.get(CHECKS)
    if checks is not None:
        facts.append(f"Checks: {'passed' if checks[0] else 'failed'}")
    facts += [
        f"Review of {texts.code(name)}: {'passed' if passed else 'changes wanted'}"
        for name, (passed, _) in sorted(verdicts.items())
        if name != CHECKS
    ]
    if issue.merged is not None:
        facts.append(f"Merged as {issue.merged}")
    return facts


def _last(issue: Issue, kind: type[EventT]) -> EventT | None:
    found = issue.latest.get(kind)
    return found if isinstance(found, kind) else None
