"""Comments: commands of people who may write to the repository, about the issue that is commented on.

A comment commands when it is made and never when it is edited; a command is about what its writer had before them: a
gate that was open then, a question that had been asked.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from msgspec import Struct

from bridges.github import ids, payloads
from bridges.github.heard import Gate, Heard, Issue, Repository
from bridges.github.said import Answer, Permission, Question, Said, Translation
from bridges.github.translate import commands
from bridges.github.translate.commands import (
    Approve,
    Assign,
    Budget,
    Command,
    Help,
    Prioritise,
    Reject,
    Reply,
    Retry,
    Stop,
    Unreadable,
)
from bridges.github.translate.issues import asks_links, of_comment, wants
from bridges.github.translate.reading import (
    NOT_SERVED,
    checked,
    decoded,
    is_ours,
    is_person,
    line,
    numbered,
    once,
    person,
    served,
    skip,
    text,
    utc,
)
from schemas import (
    FLEET,
    AssignRequested,
    BudgetRaised,
    Draft,
    Event,
    GateApproved,
    GateRejected,
    PriorityChanged,
    QuestionAnswered,
    RetryRequested,
    Stopped,
)

_MAY: Final = ("admin", "maintain", "write")
_WHOLE_SECONDS: Final = timedelta(seconds=1)
"""GitHub's clock shows no less: what happened in the second of a comment may have been before it."""


class Payload(Struct, frozen=True):
    """The event `issue_comment`; of a pull request, too."""

    action: str
    issue: payloads.Issue
    comment: payloads.Comment
    repository: payloads.Repository


class _Spoken(Struct, frozen=True):
    """A comment with commands, from somebody who may command if GitHub lets them write."""

    home: Repository
    issue: Issue
    comment: payloads.Comment
    commands: list[Command]
    approved: Translation | None = None
    """That the issue was wanted, where nobody has heard of it yet."""


def asks(body: bytes, heard: Heard) -> tuple[Question, ...]:
    """What the writer of commands may do in the repository; and what blocks the issue, if nobody has heard of it."""
    payload = decoded(body, Payload)
    spoken = _spoken(payload, heard, {})
    if isinstance(spoken, str):
        return ()
    blocked = () if spoken.approved is None else asks_links(spoken.issue.ref, payload.issue, heard)
    if all(isinstance(one, Help | Unreadable) for one in spoken.commands):
        return blocked
    return (Permission(spoken.home.ref, _login(spoken.comment)), *blocked)


def translate(body: bytes, heard: Heard, answers: Mapping[Question, Answer]) -> Translation:
    """The event `issue_comment`."""
    spoken = _spoken(decoded(body, Payload), heard, answers)
    if isinstance(spoken, str):
        return skip(spoken)
    login = _login(spoken.comment)
    permission = answers.get(Permission(spoken.home.ref, login))
    first = spoken.approved or Translation()
    told: list[Said] = list(first.said)
    reasons: list[str] = []
    for index, command in enumerate(spoken.commands):
        if not isinstance(command, Help | Unreadable) and permission not in _MAY:
            reasons.append(
                f"{login} may not write to {spoken.home.ref}, so not command: permission {permission or 'unknown'}"
            )
            break
        data = _event(spoken, command, heard)
        if isinstance(data, str):
            reasons.append(data)
        else:
            told += _said(spoken, heard, data, index)
    if not told and not reasons:
        reasons.append("said before")
    skipped = line("; ".join(reasons), "nothing") if reasons else None
    return Translation(said=tuple(told), looks=first.looks, skipped=skipped, seen=first.seen)


def _spoken(payload: Payload, heard: Heard, answers: Mapping[Question, Answer]) -> _Spoken | str:
    """Or why it commands nothing."""
    home, comment = served(heard, payload.repository), payload.comment
    if home is None:
        return f"{payload.repository.full_name}: {NOT_SERVED}"
    if payload.action != "created":
        return f"a comment that was {payload.action} commands nothing"
    if comment.user is None or not is_person(comment.user):
        return "not from a person"
    if is_ours(comment.body, comment.user, heard):
        return "the rig's own comment"
    found = commands.commands(text(comment.body))
    if not found:
        return "a comment without a command"
    number = payload.issue.number
    ref = home.pulls.get(number) if payload.issue.pull_request is not None else numbered(home.ref, number)
    if ref is None:
        return f"#{number} is no pull request of the rig's"
    approved = of_comment(ref, payload.issue, heard, answers)
    issue = heard.issue(ref) or Issue(ref)
    if approved is None and (issue.approval is None or _before_it_was_wanted(payload, issue)):
        return f"#{number} is no issue of the rig's" + ("" if issue.approval is None else " yet")
    return _Spoken(home, issue, comment, found, approved)


def _before_it_was_wanted(payload: Payload, issue: Issue) -> bool:
    """Deliveries come in any order; a comment on what was not wanted then commanded nothing."""
    if payload.issue.pull_request is not None or wants(payload.issue):
        return False
    return utc(payload.comment.created_at) + _WHOLE_SECONDS < issue.approved_at


def _login(comment: payloads.Comment) -> str:
    return comment.user.login if comment.user is not None else ""


def _said(spoken: _Spoken, heard: Heard, data: Event, index: int) -> tuple[Said, ...]:
    home, issue, at = spoken.home, spoken.issue, utc(spoken.comment.created_at)
    id_ = ids.of_issue(home.ref, issue.ref.number, "comment", spoken.comment.id, index)
    if isinstance(data, BudgetRaised):
        draft = Draft(about=FLEET, data=data, correlation=issue.approval, time=at)
        return () if id_ in heard.said else (checked(Said(draft, id_)),)
    return once(heard, issue.ref, data, id_, at)


def _event(spoken: _Spoken, command: Command, heard: Heard) -> Event | str:
    """What to say for one command, or why it comes to nothing."""
    issue, by, at = spoken.issue, person(spoken.comment.user), utc(spoken.comment.created_at)
    match command:
        case Stop() | Retry() | Assign() if issue.steered_at >= at + _WHOLE_SECONDS:
            return f"{type(command).__name__.lower()}: somebody said otherwise later"
        case Stop(note=note):
            return Stopped(by=by, note=text(note))
        case Retry(note=note):
            return RetryRequested(by=by, note=text(note))
        case Approve(note=note):
            gate = _gate(spoken)
            note = line(note, "approved in a comment")
            by = heard.approver(spoken.home, by)
            return "approve: no gate was open" if gate is None else GateApproved(head_sha=gate.head, by=by, note=note)
        case Reject(note=note):
            gate = _gate(spoken)
            note = line(note, "rejected in a comment")
            by = heard.approver(spoken.home, by)
            return "reject: no gate was open" if gate is None else GateRejected(head_sha=gate.head, by=by, note=note)
        case Budget(usd=usd, lasts=lasts):
            return BudgetRaised(scope=f"issue:{issue.ref}", limit_usd=usd, until=at + lasts, by=by)
        case Prioritise(priority=priority):
            return PriorityChanged(priority=priority, by=by)
        case Assign(to=to):
            return AssignRequested(to=to, by=by)
        case Reply(answer=answer):
            asked = issue.question
            if asked is None or asked.at >= at + _WHOLE_SECONDS:
                return "answer: no question was open"
            return QuestionAnswered(epoch=asked.epoch, run=asked.run, answer=text(answer), by=by)
        case Help():
            return "help: stop, retry, approve, reject, budget N, priority P, answer TEXT, assign NAME"
        case Unreadable(reason=reason):
            return reason


def _gate(spoken: _Spoken) -> Gate | None:
    """The last that had been opened when the comment was written: what is newer nobody had seen."""
    at = utc(spoken.comment.created_at) + _WHOLE_SECONDS
    return next((gate for gate in reversed(spoken.issue.gates) if gate.at < at), None)
