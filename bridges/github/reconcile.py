"""What is open in a repository, compared with what is known of it: for what no delivery has told, or none that is left.

GitHub's own objects go through the functions that translate deliveries: what differs from what was said is said, and
nothing twice. What the log knows as open is looked at one by one, and so is the repository itself.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Final

import msgspec

from bridges.github.api import GitHub, Priority
from bridges.github.heard import Heard, Repository
from bridges.github.payloads import Issue, PullRequest, Review
from bridges.github.said import Answer, Question, Translation, Untranslatable
from bridges.github.translate import asks, of_pull_request, translate
from bridges.github.translate.words import READY
from schemas import IssueRef, RepoRef

__all__ = ["Reconciler"]

log = logging.getLogger(__name__)

_ISSUES: Final = "/repos/{owner}/{repo}/issues{?state,labels}"
_PULLS: Final = "/repos/{owner}/{repo}/pulls{?state}"
_REVIEWS: Final = "/repos/{owner}/{repo}/pulls/{number}/reviews"


class Reconciler:
    """Of one bridge."""

    def __init__(
        self,
        github: GitHub,
        heard: Heard,
        *,
        answers: Callable[[Iterable[Question]], Awaitable[Mapping[Question, Answer]]],
        tell: Callable[[Translation], Awaitable[Collection[str]]],
        look: Callable[[IssueRef | RepoRef], None],
    ) -> None:
        """`answers` finds out what has to be known beyond an object; `tell` says what a translation comes to, and
        returns which of it was news; `look` has something looked at, soon."""
        self._github = github
        self._heard = heard
        self._answers = answers
        self._tell = tell
        self._look = look

    async def reconcile(self, repository: RepoRef) -> int:
        """How many events this led to; what is looked at leads to more, later. Raises ApiError, BusError."""
        home = self._heard.repository(str(repository))
        if home is None:
            return 0
        news = 0
        low, ref = Priority.LOW, home.ref
        async for pull in self._github.pages(_PULLS, PullRequest, repository=ref, priority=low, state="open"):
            news += await self._pull_request(home, pull)
        listed = self._github.pages(_ISSUES, Issue, repository=ref, priority=low, state="open", labels=READY)
        async for issue in listed:
            if issue.pull_request is None:
                news += await self._translated(home, "issues", {"action": "opened", "issue": issue})
        for issue in sorted(home.issues.values(), key=lambda each: each.ref):
            if issue.asked or issue.open:
                self._look(issue.ref)
        self._look(home.ref)
        return news

    async def _pull_request(self, home: Repository, pull: PullRequest) -> int:
        try:
            found = of_pull_request(home.ref, pull, self._heard)
        except Untranslatable as error:
            log.warning("%s#%d cannot be told of: %s", home.ref, pull.number, error)
            return 0
        news = await self._told(found)
        if home.owner_of(pull) is not None or found.said or pull.number in home.issues:
            where, low, number = home.ref, Priority.LOW, pull.number
            async for review in self._github.pages(_REVIEWS, Review, repository=where, priority=low, number=number):
                about = {"action": "submitted", "review": review, "pull_request": pull}
                news += await self._translated(home, "pull_request_review", about)
        return news

    async def _translated(self, home: Repository, event: str, about: Mapping[str, object]) -> int:
        """As if it had been delivered."""
        body = msgspec.json.encode({**about, "repository": {"full_name": str(home.ref)}})
        try:
            answers = await self._answers(asks(event, body, self._heard))
            found = translate(event, body, self._heard, answers)
        except Untranslatable as error:
            log.warning("%s: an object of GitHub's cannot be told of: %s", home.ref, error)
            return 0
        return await self._told(found)

    async def _told(self, found: Translation) -> int:
        news = await self._tell(found)
        for look in found.looks:
            self._look(look.about)
        return len(news)
