"""How an issue comes from one state into another."""

from conductor.state import Delivered, Issue
from schemas import IssueState


def enter(issue: Issue, state: IssueState) -> None:
    """Leaving a state voids its deadline; a gate that nobody answered is no gate once it is left."""
    if state is not IssueState.GATED:
        for key in issue.open_gates:
            del issue.gates[key]
    issue.state, issue.deadline, issue.waited, issue.waiting, issue.told = state, None, 0, None, 0


def start_over(issue: Issue) -> None:
    """A person wants it tried again: nothing that was tried before counts against it."""
    issue.attempts = issue.failed_runs = issue.unassignments = issue.conflicts = issue.review_rounds = 0
    issue.forge_retries, issue.backoff, issue.retry_at = 0, False, None
    issue.guarded = issue.rejected = issue.pull_request_closed = False
    issue.since_progress = 0
    if issue.merge_sha is not None:
        issue.delivered.failed_no_more()
        if not issue.reverted:
            enter(issue, IssueState.DEPLOYING)
            return
        issue.merge_sha, issue.head, issue.pull_request, issue.pull_request_head = None, None, None, None
        issue.delivered, issue.reverted = Delivered(), False
    enter(issue, IssueState.QUEUED)
