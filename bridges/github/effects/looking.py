"""Looking at an issue again: at itself, at its pull request, and at the checks of its head.

Deliveries tell of one check each, and of an issue that its merge has closed in any order; the API tells how all stands.
"""

import asyncio
import logging
from collections import OrderedDict
from datetime import timedelta
from typing import Final

from bridges.github.api import GitHub, Priority
from bridges.github.effects import issues
from bridges.github.effects.branches import head_of
from bridges.github.effects.pull_requests import fetch
from bridges.github.effects.result import NotYet, Outcome, Result
from bridges.github.errors import Forbidden, NotFound, NotInstalled
from bridges.github.judge import Failed, Incomplete, Passed, judge
from bridges.github.payloads import CheckRun, Issue, PullRequest, Status
from bridges.github.plan import Look
from bridges.github.translate.words import closes
from schemas import ChecksFailed, ChecksPassed, IssueRef, MergeConflicted

log = logging.getLogger(__name__)

_CLOSED: Final = "/repos/{owner}/{repo}/pulls{?state,sort,direction}"
_RUNS: Final = "/repos/{owner}/{repo}/commits/{head}/check-runs"
_STATUSES: Final = "/repos/{owner}/{repo}/commits/{head}/statuses"
_HEADS: Final = 1_000
_DIRTY: Final = "dirty"
_WORKED_OUT_SECONDS: Final = 5.0
_TRIES: Final = 5
_SECOND: Final = timedelta(seconds=1)
_CLOSED_MAX: Final = 200
"""Of the pull requests that were closed or changed since an issue was, how many are looked at."""


class Looking:
    """Of one process: it remembers since when it has known a head without any check."""

    def __init__(self, github: GitHub, *, grace_seconds: float) -> None:
        """A head that nobody checks, and that none must check, has passed after so long: checks begin a while late."""
        self._github = github
        self._grace_seconds = grace_seconds
        self._unknown: OrderedDict[tuple[IssueRef, str], int] = OrderedDict()
        """How often it was not known whether a head merges."""
        self._bare: OrderedDict[tuple[IssueRef, str], float] = OrderedDict()

    async def look(self, action: Look) -> Outcome:
        """How it all stands; the pull request before the issue, for what a merge closed is not withdrawn."""
        results: list[Result] = []
        pull: PullRequest | None = None
        repository = action.about.repository
        try:
            issue = await issues.fetch(self._github, action.about)
        except NotInstalled:
            raise
        except NotFound as error:  # the delivery that says so ends it; here is nothing to see, now or later
            log.warning("%s: %s", action.about, error)
            return Outcome()
        if action.pull_request is not None:
            pull = await fetch(self._github, repository, action.pull_request)
            results.append(pull)
        elif issue.state == "closed" and issue.state_reason != "not_planned":
            results += await self._closed_by(action.about, issue)
        results.append(issue)
        if pull is None or action.head is None or pull.state == "closed":
            return Outcome(tuple(results))
        if pull.head.sha == action.head and pull.mergeable_state == _DIRTY:
            # GitHub checks no merge that it cannot make: without this everybody would wait for ever.
            base = await self._base(action)
            return Outcome((*results, MergeConflicted(head_sha=action.head, base_sha=base)))
        verdict, again = await self._verdict(action, action.head)
        if verdict is not None and (action.known is None or not _same(verdict, action.known.said)):
            results.append(verdict)
        if again is None and verdict is None and pull.mergeable is None:
            again = self._until_known(action.about, action.head)
        return Outcome(tuple(results), again)

    def _until_known(self, about: IssueRef, head: str) -> float | None:
        """GitHub works out whether a pull request can be merged when it is first asked, and tells nobody."""
        tries = self._unknown[about, head] = self._unknown.pop((about, head), 0) + 1
        if len(self._unknown) > _HEADS:
            self._unknown.popitem(last=False)
        return _WORKED_OUT_SECONDS * tries if tries <= _TRIES else None

    async def _base(self, action: Look) -> str:
        base = await head_of(self._github, action.about.repository, action.base_branch, priority=Priority.NORMAL)
        if base is None:
            raise NotYet(f"{action.about.repository} has no branch {action.base_branch} any more")
        return base

    async def _closed_by(self, about: IssueRef, issue: Issue) -> list[PullRequest]:
        """People's pull requests whose merge has closed it: of them an issue does not tell."""
        found: list[PullRequest] = []
        seen = 0
        newest_first = self._github.pages(
            _CLOSED, PullRequest, repository=about.repository, state="closed", sort="updated", direction="desc"
        )
        async for pull in newest_first:
            seen += 1
            if seen > _CLOSED_MAX or (issue.closed_at is not None and pull.updated_at + _SECOND < issue.closed_at):
                break
            if pull.is_merged and about in closes(pull.body or "", about.repository):
                found.append(pull)
        return found

    async def _verdict(self, action: Look, head: str) -> tuple[ChecksPassed | ChecksFailed | None, float | None]:
        """What there is to say of the checks; or nothing yet, and then perhaps when to look again."""
        runs, statuses = await self._runs(action, head), await self._statuses(action, head)
        found = judge(runs, statuses, action.required)
        if isinstance(found, Incomplete):
            log.info("%s: %s waits for %s", action.about, head[:9], ", ".join(found.waits_for))
            return None, None
        if isinstance(found, Passed) and not found.checks and (left := self._left(action.about, head)) > 0:
            return None, left
        base = await self._base(action)
        if isinstance(found, Failed):
            return ChecksFailed(head_sha=head, base_sha=base, failed=found.failed), None
        return ChecksPassed(head_sha=head, base_sha=base, checks=found.checks), None

    def _left(self, about: IssueRef, head: str) -> float:
        """Seconds in which a check may still begin."""
        now = asyncio.get_running_loop().time()
        since = self._bare.setdefault((about, head), now)
        if len(self._bare) > _HEADS:
            self._bare.popitem(last=False)
        return since + self._grace_seconds - now

    async def _runs(self, action: Look, head: str) -> list[CheckRun]:
        runs = self._github.pages(_RUNS, CheckRun, repository=action.about.repository, items="check_runs", head=head)
        try:
            return [run async for run in runs]
        except (NotFound, Forbidden) as error:  # a token that may not see check runs: then statuses alone count
            log.warning("%s: check runs cannot be seen: %s", action.about, error)
            return []

    async def _statuses(self, action: Look, head: str) -> list[Status]:
        statuses = self._github.pages(_STATUSES, Status, repository=action.about.repository, head=head)
        try:
            return [status async for status in statuses]
        except (NotFound, Forbidden) as error:
            log.warning("%s: commit statuses cannot be seen: %s", action.about, error)
            return []


def _same(one: ChecksPassed | ChecksFailed, other: ChecksPassed | ChecksFailed) -> bool:
    """Whether they say the same of the head, wherever the base is by now."""
    match one, other:
        case ChecksPassed(), ChecksPassed():
            return True
        case ChecksFailed(failed=failed), ChecksFailed(failed=known):
            return failed == known
        case _:
            return False
