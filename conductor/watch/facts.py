"""What others answer to what an issue waits for: a person at a gate, the forge, a reviewer, whoever delivers. Pure.

A fact that nobody waits for yet is kept by the conductor and calls for no word: a step of the delivery may be told of
too early, a verdict before its pull request. So only what the live deadline stands for is looked at.
"""

from conductor.watch.issue import Issue, Law
from schemas import (
    ChecksFailed,
    ChecksPassed,
    DeadlineKind,
    Deployed,
    EndToEndFailed,
    EndToEndPassed,
    Event,
    GateApproved,
    GateBypassed,
    GateReason,
    GateRejected,
    MergeConflicted,
    Merged,
    MergeRefused,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    Recorded,
    Reverted,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    SmokeFailed,
    SmokePassed,
    Verified,
)

_OF_THE_DELIVERY = (DeadlineKind.DEPLOY, DeadlineKind.SMOKE, DeadlineKind.END_TO_END, DeadlineKind.VERIFY)
_MAY_BE_TAKEN_BACK = (PullRequestOpened, PullRequestUpdated, PullRequestClosed, ReviewAbstained)


# ── people ───────────────────────────────────────────────────────────────────


def at_a_gate(issue: Issue, said: Recorded, law: Law) -> None:
    """Somebody answers. When nobody is waited for any more, or work was sent back, the conductor goes on."""
    data = said.event.data
    if not isinstance(data, GateApproved | GateRejected | GateBypassed) or not law.hears(data.by):
        return
    meant = {gate for gate in issue.gates if gate[1] == data.head_sha and data.reason in (None, gate[0])}
    if not meant:
        return
    if isinstance(data, GateApproved) and law.driven and any(gate[0] is GateReason.TIER for gate in meant):
        issue.gates.clear()  # it may need more than that: what is open now is not sure
        return
    issue.gates -= meant
    if isinstance(data, GateRejected):
        issue.gates.clear()
    if not issue.gates:
        issue.owe(said)


# ── the forge, reviewers, whoever delivers ───────────────────────────────────


def of_the_forge(issue: Issue, said: Recorded, law: Law) -> None:
    """A fact: is it what was waited for?"""
    data = said.event.data
    due = issue.due or (issue.owed.ended if issue.owed is not None else None)
    if isinstance(data, Merged):
        _merged(issue, said, data.merge_sha)
    elif issue.rest is None and due is not None and _awaited(issue, said, due.kind, law):
        issue.owe(said, ended=due if isinstance(data, _MAY_BE_TAKEN_BACK) else None)
    elif isinstance(data, PullRequestOpened | PullRequestUpdated | PullRequestClosed):
        issue.take_back()  # it shows another head, or nothing, before anybody could decide
    _remember(issue, said, data)


def _merged(issue: Issue, said: Recorded, merge_sha: str) -> None:
    """Whoever did it, and wherever the issue stands: it is done, or delivered."""
    if merge_sha not in issue.merges:
        issue.merges.add(merge_sha)
        issue.merged, issue.reverted = merge_sha, False
        issue.rest = None
        issue.smoked.clear()
        issue.leave()
        issue.owe(said)
        issue.want(None)


def _remember(issue: Issue, said: Recorded, data: Event) -> None:
    """How the forge stands, by its own clock."""
    time = said.event.time
    match data:
        case PullRequestOpened(pull_request=number) | PullRequestUpdated(pull_request=number):
            _show(issue, said, number)
            if isinstance(data, PullRequestOpened) and issue.review is not None and issue.review[1] == data.author:
                issue.review = None  # nobody reviews his own work
        case PullRequestClosed(pull_request=number, superseded_by=superseded_by) if number == issue.pull_request:
            _show(issue, said, superseded_by)
        case MergeRefused() | MergeConflicted():
            issue.answered = time if issue.answered is None else max(time, issue.answered)
        case EndToEndPassed() | EndToEndFailed():
            issue.tested = time if issue.tested is None else max(time, issue.tested)
        case Reverted(merge_sha=merge_sha) if merge_sha == issue.merged:
            issue.reverted = True
        case _:
            pass


def _show(issue: Issue, said: Recorded, number: int | None) -> None:
    time = said.event.time
    if issue.shown is None or time >= issue.shown:
        issue.pull_request = number
    elif number != issue.pull_request:
        issue.pull_request = None  # told in no order: who knows which it is
    issue.shown = time if issue.shown is None else max(time, issue.shown)


def _awaited(issue: Issue, said: Recorded, kind: DeadlineKind, law: Law) -> bool:
    """Whether this is what the live deadline stands for: the wait is over, and the conductor says what comes next."""
    time = said.event.time
    match kind, said.event.data:
        case (
            DeadlineKind.PULL_REQUEST,
            PullRequestOpened(head_sha=head) | PullRequestUpdated(head_sha=head),
        ):
            return head == issue.pushed and not (issue.shown is not None and time < issue.shown)
        case _, PullRequestClosed() as closed:
            return _closed(issue, said, closed, kind)
        case DeadlineKind.CHECKS, ChecksPassed(head_sha=head) | ChecksFailed(head_sha=head):
            return head == issue.pushed and not (issue.answered is not None and time < issue.answered)
        case (
            DeadlineKind.REVIEW,
            ReviewPassed(head_sha=head, reviewer=reviewer) | ReviewDisputed(head_sha=head, reviewer=reviewer),
        ):
            return (head, reviewer) == issue.review
        case DeadlineKind.REVIEW, ReviewAbstained(head_sha=head, reviewer=reviewer):
            return (head, reviewer) == issue.review and law.routes(reviewer)
        case DeadlineKind.MERGE, MergeRefused(head_sha=head) | MergeConflicted(head_sha=head):
            return head == issue.merge and not (issue.answered is not None and time <= issue.answered)
        case _ if kind in _OF_THE_DELIVERY:
            return _delivered(issue, said, kind, law)
        case _:
            return False


def _closed(issue: Issue, said: Recorded, closed: PullRequestClosed, kind: DeadlineKind) -> bool:
    """What was on its way to a merge has lost its pull request, or got another."""
    if closed.pull_request != issue.pull_request or (issue.shown is not None and said.event.time < issue.shown):
        return False
    match kind:
        case DeadlineKind.PULL_REQUEST:  # where another takes its place, that is waited for all the same
            return closed.superseded_by is None
        case DeadlineKind.CHECKS | DeadlineKind.REVIEW | DeadlineKind.MERGE:
            return True
        case DeadlineKind.GATE:
            return any(head is not None for _, head in issue.gates)
        case _:
            return False


def _delivered(issue: Issue, said: Recorded, kind: DeadlineKind, law: Law) -> bool:
    wanted = law.delivery
    match kind, said.event.data:
        case _, Reverted(merge_sha=merge_sha):
            return merge_sha == issue.merged
        case DeadlineKind.DEPLOY, Deployed(environment=environment, sha=sha):
            return environment is wanted.environment and sha == issue.merged
        case DeadlineKind.SMOKE, SmokePassed(environment=environment):
            return environment is wanted.environment
        case DeadlineKind.SMOKE, SmokeFailed(environment=environment, attempt=attempt):
            if environment is not wanted.environment:
                return False
            issue.smoked.add(attempt)
            return len(issue.smoked) > wanted.smoke_retries_max
        case DeadlineKind.END_TO_END, EndToEndPassed() | EndToEndFailed():
            return issue.tested is None or said.event.time >= issue.tested
        case _, Verified(environment=environment):  # whatever was still to come before it
            return environment is wanted.environment
        case _:
            return False
