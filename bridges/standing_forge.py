"""What a forge, reviewers and whoever deploys do to a Standing. Pure."""

from datetime import datetime

from bridges.standing import CHECKS, Standing, enter, judge
from schemas import (
    ChecksFailed,
    ChecksPassed,
    Deployed,
    EndToEndFailed,
    EndToEndPassed,
    Event,
    IssueState,
    MergeConflicted,
    Merged,
    MergeRefusal,
    MergeRefused,
    MergeRequested,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    Recorded,
    Reverted,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    ReviewRequested,
    SmokeFailed,
    SmokePassed,
    Verified,
)


def forge(it: Standing, said: Recorded, data: Event) -> bool:
    """Verdicts are kept by head: one may come before its head is known. Of two, the source's later time wins."""
    moved = _heard(it, said, data)
    if moved and it.judged:
        judge(it)
    return moved


def _heard(it: Standing, said: Recorded, data: Event) -> bool:
    time = said.event.time
    match data:
        case PullRequestOpened() | PullRequestUpdated():
            if it.shown is not None and time < it.shown:
                return False
            it.pull_request, it.shown = data.pull_request, time
            if isinstance(data, PullRequestOpened):
                it.author = data.author
            return not it.state.final
        case PullRequestClosed(pull_request=number, superseded_by=superseded_by):
            if number != it.pull_request or it.merge_sha is not None or (it.shown is not None and time < it.shown):
                return False
            it.pull_request, it.shown = superseded_by, time
            if superseded_by is not None and it.judged and it.state is not IssueState.IN_REVIEW:
                enter(it, IssueState.IN_REVIEW)
            return it.judged
        case ChecksPassed(head_sha=head) | ChecksFailed(head_sha=head):
            late = head == it.head and it.base_moved is not None and time < it.base_moved
            return not late and _verdict(it, head, CHECKS, isinstance(data, ChecksPassed), time)
        case ReviewPassed(head_sha=head, reviewer=by) | ReviewDisputed(head_sha=head, reviewer=by):
            counts = by in it.house.reviewers and by not in it.workers and by != it.author
            return counts and _verdict(it, head, by, isinstance(data, ReviewPassed), time)
        case ReviewRequested(head_sha=head):
            it.deadline = None
            return head == it.head and it.judged
        case ReviewAbstained(head_sha=head):
            return head == it.head and it.judged
        case MergeRequested(head_sha=head) if head == it.head and it.judged:
            enter(it, IssueState.MERGING)
        case MergeRefused() | MergeConflicted():
            return _not_merged(it, data, time)
        case Merged(merge_sha=merge_sha) if merge_sha not in it.merges:
            it.merges.add(merge_sha)
            it.merge_sha, it.reverted = merge_sha, False
            enter(it, IssueState.DEPLOYING)
        case Reverted(merge_sha=merge_sha) if merge_sha == it.merge_sha and not it.reverted:
            it.reverted = True
        case _:
            return False
    return True


def _verdict(it: Standing, head: str, facet: str, passed: bool, time: datetime) -> bool:
    """True when it is news about the current head."""
    known = it.verdicts.setdefault(head, {}).get(facet)
    if known is not None and known[1] > time:
        return False
    it.verdicts[head][facet] = passed, time
    return head == it.head and it.judged


def _not_merged(it: Standing, data: MergeRefused | MergeConflicted, time: datetime) -> bool:
    asked = it.judged if isinstance(data, MergeConflicted) else it.state is IssueState.MERGING
    if data.head_sha != it.head or not asked or (it.answered is not None and time < it.answered):
        return False
    if time != it.answered:
        it.answered, it.answers = time, []
    if data in it.answers:
        return False
    it.answers.append(data)
    if isinstance(data, MergeConflicted):
        enter(it, IssueState.MERGE_CONFLICT)
    elif data.reason is MergeRefusal.BASE_MOVED:
        it.base_moved = time
        enter(it, IssueState.IN_REVIEW)
    else:
        it.deadline = None
    return True


def delivery(it: Standing, data: Event) -> bool:
    match data:
        case Deployed() | SmokePassed() | SmokeFailed() | EndToEndPassed() | EndToEndFailed() | Verified():
            return it.state is IssueState.DEPLOYING
        case _:
            return False
