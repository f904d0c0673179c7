"""One issue as the watch sees it: what was said of it that must have a consequence, and what it waits for. Pure.

Rules of thumb, and fewer than the conductor has. An issue that is in hand has a live deadline, or waits for a person at
a gate. Whatever ends the wait for which that deadline stands (it is over, the run reports, the forge answers) calls for
a new word of the conductor; until that comes, a decision is owed. And an issue that wants work is assigned, or it is
said why not. Where these rules do not know whether a word must follow, they do not ask for one.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct, field

from schemas import (
    AssignRequested,
    ChecksFailed,
    ChecksPassed,
    DeadlineKind,
    DeadlinePassed,
    DeadlineSet,
    Event,
    GateReminded,
    GateTriggered,
    IssueApproved,
    IssueAssigned,
    IssueEscalated,
    IssueNeedsHuman,
    IssueRef,
    IssueRefused,
    IssueRevised,
    IssueUnassigned,
    IssueWaiting,
    IssueWithdrawn,
    MergeConflicted,
    Merged,
    MergeRefused,
    MergeRequested,
    Ownership,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    Recorded,
    Refusal,
    RetryRequested,
    ReviewDisputed,
    ReviewPassed,
    ReviewRequested,
    Stopped,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)


class Rest(StrEnum):
    """Why the rig need not move an issue."""

    NEW = "new"
    """Nobody has approved it yet."""
    REFUSED = "refused"
    HOMELESS = "homeless"
    """Refused, since its repository is not under the rig."""
    ESCALATED = "escalated"
    STOPPED = "stopped"
    WITHDRAWN = "withdrawn"


class Due(Struct, frozen=True):
    """A deadline that lives."""

    kind: DeadlineKind
    at: datetime


class Owed(Struct, frozen=True):
    """What a decision must follow."""

    since: datetime
    position: int
    what: str
    """The event's name."""
    shown: Due | None = None
    """The deadline that it ended, where that may yet be taken back: a pull request shows the head that was pushed."""


class Issue(Struct):
    """One issue. At most one of `owed` and `due` is set: a decision is to come, or the time is running."""

    ref: IssueRef
    rest: Rest | None = Rest.NEW
    """None: it is in hand."""
    heard: set[str] = field(default_factory=set[str])
    """Ids of what people asked: said again, it is no new wish."""
    ownership: Ownership = field(default_factory=Ownership)
    owed: Owed | None = None
    due: Due | None = None
    wanting: datetime | None = None
    """Since when it could be worked on, and is neither assigned nor explained."""
    waiting: IssueWaiting | None = None
    """The explanation that holds."""

    pushed: str | None = None
    """The head that its owner pushed last."""
    review: tuple[str, str] | None = None
    """The head and the reviewer of the last request for a review."""
    merge: str | None = None
    """The head that was to be merged last."""
    merges: set[str] = field(default_factory=set[str])
    """Merge commits that the forge has told of."""
    shown: datetime | None = None
    """When the forge showed a pull request last, by its own clock: what is older changes nothing."""
    answered: datetime | None = None
    """When it would not merge, by its own clock: checks from before that may be of a base that is no more."""


def hear(issue: Issue, said: Recorded) -> None:
    """Folds one event about the issue."""
    data = said.event.data
    match data:
        case IssueApproved() | IssueRevised() | IssueWithdrawn() | Stopped() | RetryRequested() | AssignRequested():
            if said.event.id not in issue.heard:
                issue.heard.add(said.event.id)
                issue.ownership.apply(data)
                _wish(issue, said)
        case WorkStarted() | WorkPushed() | WorkFailed() | IssueAssigned() | IssueUnassigned():
            if issue.ownership.apply(data):
                _work(issue, said)
        case DeadlineSet() | DeadlinePassed():
            _deadline(issue, said, data)
        case (
            PullRequestOpened()
            | PullRequestUpdated()
            | PullRequestClosed()
            | ChecksPassed()
            | ChecksFailed()
            | ReviewPassed()
            | ReviewDisputed()
            | Merged()
            | MergeRefused()
            | MergeConflicted()
        ):
            _forge(issue, said)
        case _:
            _word(issue, said, data)


def unexplained(issue: Issue, at: datetime) -> None:
    """The explanation that holds is not true any more."""
    issue.wanting, issue.waiting = at, None


def _wish(issue: Issue, said: Recorded) -> None:
    """What a person asks for."""
    match said.event.data:
        case IssueApproved() if issue.rest in (Rest.NEW, Rest.WITHDRAWN):
            _begin(issue, said)
        case IssueRevised() if issue.rest in (Rest.REFUSED, Rest.HOMELESS):
            _begin(issue, said)
        case RetryRequested() | AssignRequested() if issue.rest in (Rest.ESCALATED, Rest.STOPPED):
            _begin(issue, said)
        case IssueWithdrawn():
            _put_down(issue, Rest.WITHDRAWN)
        case Stopped() if issue.rest is None:
            _put_down(issue, Rest.STOPPED)
        case _:
            pass


def _begin(issue: Issue, said: Recorded) -> None:
    issue.rest = None
    _owe(issue, said)
    _want(issue, said.stored_at)


def at_home(issue: Issue, said: Recorded) -> None:
    """Its repository is under the rig; whom it names as reviewers may have changed."""
    issue.review = None
    if issue.rest is Rest.HOMELESS:
        _begin(issue, said)


def _put_down(issue: Issue, rest: Rest) -> None:
    issue.rest = rest
    issue.owed = issue.due = issue.wanting = issue.waiting = None


def _owe(issue: Issue, said: Recorded, *, shown: Due | None = None) -> None:
    issue.owed = Owed(said.stored_at, said.position, said.event.data.name(), shown)
    issue.due = None


def _want(issue: Issue, at: datetime | None) -> None:
    issue.wanting, issue.waiting = at, None


def _work(issue: Issue, said: Recorded) -> None:
    """An epoch begins or ends, or its owner reports."""
    data = said.event.data
    if isinstance(data, WorkPushed):
        issue.pushed = data.head_sha
    if issue.rest is not None:
        return  # a word that somebody's stop has overtaken
    _owe(issue, said)
    _want(issue, said.stored_at if isinstance(data, WorkFailed | IssueUnassigned) else None)


def _deadline(issue: Issue, said: Recorded, data: DeadlineSet | DeadlinePassed) -> None:
    due = Due(data.kind, data.at)
    if isinstance(data, DeadlinePassed):
        if issue.due == due:
            _owe(issue, said)
        return
    if issue.rest in (Rest.REFUSED, Rest.HOMELESS, Rest.ESCALATED):
        issue.rest = None  # the conductor has taken it up again
    if issue.rest is not None:
        return
    issue.owed, issue.due = None, due
    match data.kind:
        case DeadlineKind.BACKOFF:  # until then it rests
            _want(issue, data.at)
        case DeadlineKind.WAITING:
            if issue.waiting is None and issue.wanting is None:
                issue.wanting = said.stored_at
        case _:
            _want(issue, None)


def _forge(issue: Issue, said: Recorded) -> None:
    """What a forge or a reviewer says."""
    data, time = said.event.data, said.event.time
    due = issue.due or (issue.owed.shown if issue.owed is not None else None)
    if isinstance(data, Merged):
        _merged(issue, said, data.merge_sha)
    elif issue.rest is None and due is not None and _awaited(issue, said, due.kind):
        _owe(issue, said, shown=due if due.kind is DeadlineKind.PULL_REQUEST else None)
    elif due is not None and isinstance(data, PullRequestOpened | PullRequestUpdated | PullRequestClosed):
        issue.owed, issue.due = None, due  # it shows another head, or nothing, before anybody could decide
    match data:
        case PullRequestOpened() | PullRequestUpdated() | PullRequestClosed():
            issue.shown = time if issue.shown is None else max(time, issue.shown)
        case MergeRefused() | MergeConflicted():
            issue.answered = time if issue.answered is None else max(time, issue.answered)
        case _:
            pass


def _merged(issue: Issue, said: Recorded, merge_sha: str) -> None:
    """Whoever did it, and wherever the issue stands: it is done, or delivered."""
    if merge_sha not in issue.merges:
        issue.merges.add(merge_sha)
        issue.rest = None
        _owe(issue, said)
        _want(issue, None)


def _word(issue: Issue, said: Recorded, data: Event) -> None:
    """Other words of the conductor."""
    match data:
        case IssueWaiting() if issue.rest is None:
            issue.wanting, issue.waiting = None, data
        case ReviewRequested(head_sha=head, reviewer=reviewer):
            issue.review = head, reviewer
        case MergeRequested(head_sha=head):
            issue.merge = head
            if issue.rest is None:
                _owe(issue, said)  # until it is said by when
        case GateTriggered() if issue.rest is None:
            issue.owed = issue.due = None  # a person comes next
            _want(issue, None)
        case GateReminded() | IssueNeedsHuman():
            issue.owed = None
        case IssueRefused(reason=reason) if issue.rest is None:
            _put_down(issue, Rest.HOMELESS if reason is Refusal.NO_SUCH_REPOSITORY else Rest.REFUSED)
        case IssueEscalated() if issue.rest is None:
            _put_down(issue, Rest.ESCALATED)
        case _:
            pass


def _awaited(issue: Issue, said: Recorded, kind: DeadlineKind) -> bool:
    """Whether this is what the live deadline stands for: the wait is over, and the conductor says what comes next."""
    time = said.event.time
    match kind, said.event.data:
        case (
            DeadlineKind.PULL_REQUEST,
            PullRequestOpened(head_sha=head) | PullRequestUpdated(head_sha=head),
        ):
            return head == issue.pushed and not (issue.shown is not None and time < issue.shown)
        case DeadlineKind.CHECKS, ChecksPassed(head_sha=head) | ChecksFailed(head_sha=head):
            return head == issue.pushed and not (issue.answered is not None and time < issue.answered)
        case (
            DeadlineKind.REVIEW,
            ReviewPassed(head_sha=head, reviewer=reviewer) | ReviewDisputed(head_sha=head, reviewer=reviewer),
        ):
            return (head, reviewer) == issue.review
        case DeadlineKind.MERGE, MergeRefused(head_sha=head) | MergeConflicted(head_sha=head):
            return head == issue.merge and not (issue.answered is not None and time <= issue.answered)
        case _:
            return False
