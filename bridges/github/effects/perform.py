"""Which file does what."""

from collections import Counter
from typing import Final

from bridges.github.api import GitHub
from bridges.github.courtesy import Assign, Comment, Courtesy, DeleteBranches, SetLabel, SetStatus, ShowVerdict
from bridges.github.effects import (
    assignees,
    branches,
    closing,
    comments,
    configure,
    labels,
    merging,
    pull_requests,
    reviews,
    statuses,
    verdicts,
)
from bridges.github.effects.looking import Looking
from bridges.github.effects.result import NotYet, Outcome, Result, refused
from bridges.github.errors import Forbidden, NotFound, Unprocessable
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

UNSEEN: Final = 3
"""So many times a push that GitHub does not show is looked for again; who looks makes longer pauses each time."""


class Effects:
    """The bridge's hands."""

    def __init__(self, github: GitHub, *, grace_seconds: float) -> None:
        """`grace_seconds`: see Looking."""
        self._github = github
        self._looking = Looking(github, grace_seconds=grace_seconds)
        self._unseen: Counter[str] = Counter()
        """How often GitHub did not show a push, by its id."""

    async def perform(self, action: Action) -> Outcome:
        """Does it. Raises ApiError, NotYet, and BadRepository for what a person must mend in a repository."""
        if isinstance(action, Look):
            return await self._looking.look(action)
        if isinstance(action, Close):
            return Outcome(await pull_requests.close(self._github, action))
        return Outcome((await self._result(action),))

    async def please(self, action: Courtesy, self_login: str) -> Outcome:
        """Does what people look at. What GitHub refuses there is recorded as refused, and not tried again."""
        try:
            return Outcome((await self._courtesy(action, self_login),))
        except (Forbidden, NotFound, Unprocessable) as error:
            return Outcome((refused(action.effect, action.key, error),))

    async def _courtesy(self, action: Courtesy, self_login: str) -> Result:
        match action:
            case Comment():
                return await comments.write(self._github, action, self_login)
            case SetLabel():
                return await labels.label(self._github, action)
            case Assign():
                return await assignees.assign(self._github, action)
            case SetStatus():
                return await statuses.report(self._github, action)
            case DeleteBranches():
                return await branches.tidy(self._github, action)
            case ShowVerdict():
                return await verdicts.show(self._github, action, self_login)

    async def _show(self, action: ShowPush) -> Result:
        push = action.push.id
        try:
            result = await pull_requests.show(self._github, action, surely=self._unseen[push] >= UNSEEN)
        except NotYet:
            self._unseen[push] += 1
            raise
        del self._unseen[push]
        return result

    async def _result(self, action: Action) -> Result:
        match action:
            case Configure():
                return await configure.configure(self._github, action)
            case ShowPush():
                return await self._show(action)
            case Merge():
                return await merging.merge(self._github, action)
            case Refuse(asked=asked, reason=reason, detail=detail):
                return MergeRefused(head_sha=asked.head, base_sha=asked.base, reason=reason, detail=detail)
            case RequestReview():
                return await reviews.request_review(self._github, action)
            case CloseIssue():
                return await closing.close_issue(self._github, action)
            case Look() | Close():
                return None
