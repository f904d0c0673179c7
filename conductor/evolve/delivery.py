"""What happens after the merge: deployed, tried out, verified. Only what is about this merge counts."""

from conductor.evolve.index import NO_POLICY
from conductor.policy import delivery_of
from conductor.state import Issue, State
from schemas import (
    Deployed,
    EndToEndFailed,
    EndToEndPassed,
    Envelope,
    IssueState,
    SmokeFailed,
    SmokePassed,
    Verified,
)


def fold_delivery(state: State, issue: Issue, event: Envelope) -> bool:
    """Known by its id; what is said of another environment than the policy's is recorded and no more."""
    if event.id in issue.heard:
        return False
    issue.heard.add(event.id)
    wanted = delivery_of(state.repositories.get(issue.ref.repository), state.policy or NO_POLICY).environment
    done = issue.delivered
    match event.data:
        case Deployed(environment=environment, sha=sha) if environment is wanted:
            done.deployed.add(sha)
        case _ if issue.merge_sha is None and issue.state is not IssueState.MERGING:
            return False  # whatever was tried, it was not this
        case SmokePassed(environment=environment) if environment is wanted:
            done.smoke_passed = True
        case SmokeFailed(environment=environment, attempt=attempt, reason=reason) if environment is wanted:
            done.smoke_failures.add(attempt)
            issue.findings = f"smoke test {attempt} in {environment}: {reason}"
        case EndToEndPassed() | EndToEndFailed() if done.tested is not None and event.time < done.tested:
            return False
        case EndToEndPassed():
            done.end_to_end, done.tested = True, event.time
        case EndToEndFailed(failed=failed, total=total, first_failure=first):
            done.end_to_end, done.tested = False, event.time
            issue.findings = f"end to end: {failed} of {total} failed: {first}"
        case Verified(environment=environment) if environment is wanted:
            done.verified = True
        case _:
            return False
    return issue.merge_sha is not None
