"""One issue as the watch sees it: what was said of it that must have a consequence, and what it waits for. Pure.

Rules of thumb, and fewer than the conductor has. An issue that is in hand has a live deadline: it waits for work, a
forge, a reviewer, a delivery, or for a person at a gate. Whatever ends the wait for which that deadline stands (it is
over, the run reports, the forge or the person answers) calls for a new word of the conductor; until that comes, a
decision is owed. And an issue that wants work is assigned, or it is said why not. Where these rules do not know whether
a word must follow, they do not ask for one.

Here is what people wish, what runs report, and what the conductor says itself; `facts` has what others answer.
"""

from datetime import datetime

from msgspec import UNSET

from conductor.watch.facts import at_a_gate, of_the_forge
from conductor.watch.issue import Due, Issue, Law, Rest
from schemas import (
    Actor,
    AssignRequested,
    DeadlineKind,
    DeadlinePassed,
    DeadlineSet,
    Event,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    GateReminded,
    GateTriggered,
    IssueApproved,
    IssueAssigned,
    IssueEscalated,
    IssueNeedsHuman,
    IssueRefused,
    IssueRevised,
    IssueUnassigned,
    IssueWaiting,
    IssueWithdrawn,
    MergeRequested,
    QuestionAnswered,
    QuestionAsked,
    Recorded,
    Refusal,
    RetryRequested,
    ReviewAbstained,
    ReviewRequested,
    Stopped,
    Withdrawal,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)


def hear(issue: Issue, said: Recorded, law: Law) -> None:
    """Folds one event about the issue."""
    event, data = said.event, said.event.data
    if isinstance(data, WorkStarted | WorkPushed | WorkFailed | IssueAssigned | IssueUnassigned):
        if issue.ownership.apply(data):  # known by epoch and run
            _work(issue, said)
    elif isinstance(data, DeadlineSet | DeadlinePassed):
        _deadline(issue, said, data)
    elif event.actor == Actor.CONDUCTOR:
        _word(issue, said, data)
    elif event.id not in issue.heard:
        issue.heard.add(event.id)
        _others(issue, said, law)


def _others(issue: Issue, said: Recorded, law: Law) -> None:
    match said.event.data:
        case (
            IssueApproved() | IssueRevised() | IssueWithdrawn() | Stopped() | RetryRequested() | AssignRequested()
        ) as data:
            issue.ownership.apply(data)
            _wish(issue, said, law)
        case QuestionAsked(epoch=epoch, run=run):
            if issue.rest is None and issue.ownership.owns(epoch, run):
                issue.question = run
                issue.owe(said)
        case QuestionAnswered(run=run):
            if issue.question == run:
                issue.question = None
                issue.owe(said)
        case GateApproved() | GateRejected() | GateBypassed():
            at_a_gate(issue, said, law)
        case _:
            of_the_forge(issue, said, law)


def unexplained(issue: Issue, at: datetime) -> None:
    """The explanation that holds is not true any more."""
    issue.wanting, issue.waiting = at, None


def at_home(issue: Issue, said: Recorded) -> None:
    """Its repository is under the rig, as it says now."""
    reviewers_changed(issue)
    if issue.rest is Rest.HOMELESS:
        issue.begin(said)


def reviewers_changed(issue: Issue) -> None:
    """Whose word counts is for the next request to say."""
    issue.review = None
    nobody_asked(issue)


def nobody_asked(issue: Issue) -> None:
    """Who will not review calls for a word only while it is sure that another can be asked."""
    if issue.owed is not None and issue.owed.what == ReviewAbstained.name():
        issue.take_back()


def dropped(issue: Issue, reason: GateReason, said: Recorded) -> None:
    """What the gates of that reason were for is no more: nobody need answer there."""
    at = {gate for gate in issue.gates if gate[0] is reason}
    issue.gates -= at
    if at and not issue.gates:
        issue.owe(said)


def _wish(issue: Issue, said: Recorded, law: Law) -> None:
    """What a person asks for."""
    match said.event.data:
        case IssueApproved() if issue.rest in (Rest.NEW, Rest.WITHDRAWN):
            issue.begin(said)
        case IssueRevised() if issue.rest in (Rest.REFUSED, Rest.HOMELESS):
            issue.begin(said)
        case IssueRevised(labels=labels) if labels is not UNSET and not law.holds(labels):
            dropped(issue, GateReason.POLICY, said)
        case RetryRequested() | AssignRequested() if issue.rest in (Rest.ESCALATED, Rest.STOPPED):
            issue.begin(said)
        case IssueWithdrawn(reason=Withdrawal.CLOSED) if issue.merged is not None:
            pass  # by its merge; that is still to be delivered
        case IssueWithdrawn():
            issue.put_down(Rest.WITHDRAWN)
        case Stopped() if issue.rest is None:
            issue.put_down(Rest.STOPPED)
        case _:
            pass


def _work(issue: Issue, said: Recorded) -> None:
    """An epoch begins or ends, or its owner reports."""
    data = said.event.data
    issue.leave()
    if isinstance(data, WorkPushed):
        issue.pushed = data.head_sha
    if issue.rest is not None:
        return  # a word that somebody's stop has overtaken
    issue.owe(said)
    issue.want(said.stored_at if isinstance(data, WorkFailed | IssueUnassigned) else None)


def _deadline(issue: Issue, said: Recorded, data: DeadlineSet | DeadlinePassed) -> None:
    due = Due(data.kind, data.at)
    if isinstance(data, DeadlinePassed):
        if issue.due == due:
            issue.owe(said)
        return
    if issue.rest in (Rest.REFUSED, Rest.HOMELESS, Rest.ESCALATED):
        issue.rest = None  # the conductor has taken it up again
    if issue.rest is not None:
        return
    issue.owed, issue.due = None, due
    if data.kind is not DeadlineKind.GATE:
        issue.gates.clear()
    match data.kind:
        case DeadlineKind.BACKOFF:  # until then it rests
            issue.want(data.at)
        case DeadlineKind.WAITING:
            if issue.waiting is None and issue.wanting is None:
                issue.wanting = said.stored_at
        case _:
            issue.want(None)


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
                issue.owe(said)  # until it is said by when
        case GateTriggered(reason=reason, head_sha=head) if issue.rest is None:
            if issue.owed is not None or issue.due is not None:
                issue.gates.clear()  # the first of several that come together
            issue.gates.add((reason, head))
            issue.owed = issue.due = None  # a person comes next
            issue.want(None)
        case GateReminded() | IssueNeedsHuman():
            issue.owed = None
        case IssueRefused(reason=reason) if issue.rest is None:
            issue.put_down(Rest.HOMELESS if reason is Refusal.NO_SUCH_REPOSITORY else Rest.REFUSED)
        case IssueEscalated() if issue.rest is None:
            issue.put_down(Rest.ESCALATED)
        case _:
            pass
