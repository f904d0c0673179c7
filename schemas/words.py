"""An event in words: one printable line for people. Reused by every screen; nothing ever reads it back.

What people and agents wrote (titles, notes, findings) is foreign text: characters that steer a terminal or hide
what stands there are taken out here, before anybody prints it.
"""

import unicodedata
from collections.abc import Iterable

from msgspec import UNSET

from schemas import agent, fleet, issue, repo
from schemas.event import Event

LINE_MAX = 200
"""Characters of one summary."""

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: controls, formats (bidirectional overrides, zero-width), surrogates, line separators."""


def printable(text: str) -> str:
    """The text with what steers a terminal taken out; line breaks and tabs stay."""
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in _HIDDEN else "" for char in _newlines(text)
    )


def one_line(text: str, limit: int = LINE_MAX) -> str:
    """The printable text on one line, its blanks collapsed, cut at `limit` characters with an ellipsis."""
    line = " ".join(printable(text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def summary(event: Event) -> str:
    """What the event says, as one printable line of at most LINE_MAX characters."""
    return one_line(_words(event))


def _words(event: Event) -> str:
    match event:
        case issue.IssueEvent():
            return _about_issue(event)
        case repo.RepositoryAdded():
            return f"added by {event.by}: {event.clone_url}, checked by `{event.check}`{_reviewed(event.reviewers)}"
        case repo.RepositoryConfigured():
            return (
                f"configured: {event.base_branch} at {_short(event.base_sha)}, checked by `{event.check}`"
                f"{_reviewed(event.reviewers)}"
            )
        case repo.RepositoryRemoved():
            return f"removed by {event.by}"
        case agent.AgentJoined():
            return f"joined as {event.role}, {_count(event.slots, 'slot')}, coder {event.provider}"
        case agent.AgentCapacityChanged():
            return f"takes {_count(event.slots, 'slot')} now{_listed(event.degraded, '; degraded: ')}"
        case agent.AgentLeft():
            return f"left ({event.reason})"
        case fleet.Decided():
            return f"decided {_count(event.count, 'event')} on what was said up to {event.through}"
        case fleet.PolicyAdopted():
            return f"policy {event.hash} adopted by {event.by}"
        case _:
            return event.name().replace("_", " ")


def _about_issue(event: issue.IssueEvent) -> str:
    match event:
        case issue.IssueApproved():
            after = _listed(event.depends_on, ", after ")
            return f"approved for {event.author}: {one_line(event.title, 120)} ({event.priority}{after})"
        case issue.IssueRevised():
            said = [name for name in event.__struct_fields__ if getattr(event, name) is not UNSET]
            return f"revised: {', '.join(said) or 'nothing'}"
        case issue.IssueWithdrawn():
            return f"withdrawn by {event.by} ({event.reason})"
        case issue.Stopped():
            return f"stopped by {event.by}{_note(event.note)}"
        case issue.RetryRequested():
            return f"another try asked for by {event.by}{_note(event.note)}"
        case issue.PriorityChanged():
            return f"priority {event.priority}, says {event.by}{_note(event.note)}"
        case issue.IssueRefused():
            return f"refused: {_spoken(event.reason)}{_listed(event.cycle, ' ', ' → ')}"
        case issue.IssueWaiting():
            return f"waits for {', '.join(map(_spoken, event.reasons))}{_listed(event.waits_for, ': ')}"
        case issue.IssueAssigned():
            whom = f"{event.role} ({event.agent} if free)" if event.agent else event.role
            return f"assigned to {whom}: epoch {event.epoch}, attempt {event.attempt}, {_spoken(event.reason)}"
        case issue.IssueUnassigned():
            return f"taken back: epoch {event.epoch}, {event.reason}"
        case issue.ReviewRequested():
            return f"review of {_short(event.head_sha)} asked of {event.reviewer}"
        case issue.MergeRequested():
            return f"merge of {_short(event.head_sha)} onto {_short(event.base_sha)} asked for"
        case issue.IssueEscalated():
            tried = _count(event.attempts, "attempt")
            return f"escalated to {event.to} after {tried}: {_spoken(event.reason)}{_note(event.summary)}"
        case issue.IssueDone():
            tried = _count(event.attempts, "attempt")
            return f"done in {event.duration_minutes:.1f} min, {tried}, merge {_short(event.merge_sha)}"
        case issue.DeadlineSet():
            return f"{_spoken(event.kind)} due by {event.at:%Y-%m-%d %H:%M:%S} UTC"
        case issue.DeadlinePassed():
            return f"{_spoken(event.kind)} overdue"
        case issue.WorkStarted():
            return f"{event.agent} works on it: epoch {event.epoch}, run {event.run}, coder {event.provider}"
        case issue.WorkPushed():
            size = f"{_count(event.files_changed, 'file')}, {_count(event.lines_changed, 'line')}"
            return f"pushed {_short(event.head_sha)} ({size}): {one_line(event.title, 100)}"
        case issue.WorkFailed():
            return f"run {event.run} failed, {_spoken(event.kind)}{_note(event.detail)}"
        case issue.PullRequestOpened():
            return f"pull request {event.pull_request} opened: {event.branch} at {_short(event.head_sha)}"
        case issue.PullRequestUpdated():
            return f"pull request {event.pull_request} moved to {_short(event.head_sha)}"
        case issue.PullRequestClosed():
            instead = "" if event.superseded_by is None else f", superseded by {event.superseded_by}"
            return f"pull request {event.pull_request} closed without a merge{instead}"
        case issue.ChecksPassed():
            return f"checks passed for {_short(event.head_sha)} on {_short(event.base_sha)}"
        case issue.ChecksFailed():
            failed = ", ".join(f"{check.name} ({_spoken(check.conclusion)})" for check in event.failed)
            return f"checks failed for {_short(event.head_sha)} on {_short(event.base_sha)}: {failed}"
        case issue.ReviewPassed():
            return f"review of {_short(event.head_sha)} passed by {event.reviewer}{_note(event.summary)}"
        case issue.ReviewDisputed():
            return f"review of {_short(event.head_sha)} disputed by {event.reviewer}{_note(event.summary)}"
        case issue.MergeConflicted():
            return f"{_short(event.head_sha)} conflicts with {_short(event.base_sha)}{_listed(event.paths, ' in ')}"
        case issue.MergeRefused():
            return f"merge of {_short(event.head_sha)} refused: {_spoken(event.reason)}{_note(event.detail)}"
        case issue.Merged():
            return f"merged as {_short(event.merge_sha)}"
        case _:
            return event.name().replace("_", " ")


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")


def _short(sha: str) -> str:
    return sha[:9]


def _spoken(value: str) -> str:
    return value.replace("_", " ")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _note(text: str) -> str:
    return f": {text}" if text.strip() else ""


def _listed(items: Iterable[object], lead: str, between: str = ", ") -> str:
    text = between.join(map(str, items))
    return f"{lead}{text}" if text else ""


def _reviewed(reviewers: Iterable[str]) -> str:
    return _listed(reviewers, ", reviewed by ")
