"""Which file does what."""

from bridges.github.api import GitHub
from bridges.github.effects import closing, configure, merging, pull_requests, reviews
from bridges.github.effects.looking import Looking
from bridges.github.effects.result import Outcome, Result
from bridges.github.plan import (
    Action,
    Close,
    CloseIssue,
    Configure,
    Look,
    Merge,
    Refuse,
    RequestReview,
    ShowPush,
)
from schemas import MergeRefused


class Effects:
    """The bridge's hands."""

    def __init__(self, github: GitHub, *, grace_seconds: float) -> None:
        """`grace_seconds`: see Looking."""
        self._github = github
        self._looking = Looking(github, grace_seconds=grace_seconds)

    async def perform(self, action: Action) -> Outcome:
        """Does it. Raises ApiError, NotYet, and BadRepository for what a person must mend in a repository."""
        if isinstance(action, Look):
            return await self._looking.look(action)
        return Outcome((await self._result(action),))

    async def _result(self, action: Action) -> Result:
        match action:
            case Configure():
                return await configure.configure(self._github, action)
            case ShowPush():
                return await pull_requests.show(self._github, action)
            case Merge():
                return await merging.merge(self._github, action)
            case Refuse(asked=asked, reason=reason, detail=detail):
                return MergeRefused(head_sha=asked.head, base_sha=asked.base, reason=reason, detail=detail)
            case Close():
                return await pull_requests.close(self._github, action)
            case RequestReview():
                return await reviews.request_review(self._github, action)
            case CloseIssue():
                return await closing.close_issue(self._github, action)
            case Look():
                return None
