"""New issues: the local forge alone allots their numbers, on request, and says `IssueApproved`.

The number is the highest that anybody used plus one, and its subject must be new. The event's id is the request's:
asked again, also after a crash or of another forge, the same request gives the same issue.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from bridges.local.fold import Known
from bridges.local.repository import RepositoryError, branch_head
from bus import Bus, Conflict, DuplicateMismatch, Refused, Unavailable
from schemas import Actor, Draft, IssueApproved, IssueRef, RepoRef, RepositoryAdded, event_id
from schemas.queries import AddIssue, IssueAdded

SERVICE: Final = "local"
ADD_ISSUE: Final = "add_issue"
_RACES = 20


class Numbers:
    """Answers requests for new issues."""

    def __init__(self, bus: Bus, known: Known, read_up_to: Callable[[int], Awaitable[None]]) -> None:
        """`read_up_to` waits until the fold has the log up to a position."""
        self._bus = bus
        self._known = known
        self._read_up_to = read_up_to
        self._one_at_a_time = asyncio.Lock()

    async def serve(self) -> None:
        """Answers `AddIssue` from here on. The fold must have caught up."""
        await self._bus.services.serve(SERVICE, ADD_ISSUE, AddIssue, self.add)

    async def add(self, asked: AddIssue) -> IssueAdded:
        """Allots a number and says the issue. Raises Refused with the reason."""
        id_ = event_id(Actor.LOCAL, "issue", asked.request)
        async with self._one_at_a_time:
            for _ in range(_RACES):
                if earlier := self._known.approvals.get(id_):
                    return IssueAdded(issue=earlier[0], position=earlier[1])
                issue = await self._next(asked)
                try:
                    position = await self._bus.log.publish(_draft(issue, asked, id_), id_, new_subject=True)
                except (Conflict, DuplicateMismatch):  # another forge was faster: with this number, or this request
                    await self._read_up_to(await self._last_position("rig.issue.>"))
                except Unavailable as error:
                    raise Refused(f"the log does not answer; ask again: {error}") from error
                else:
                    await self._read_up_to(position)
        raise Refused(f"{asked.repository} gets issues from elsewhere faster than this one can be numbered; ask again")

    async def _next(self, asked: AddIssue) -> IssueRef:
        added = self._added(asked.repository)
        if added is None:  # or just now
            await self._read_up_to(await self._last_position("rig.repo.>"))
            added = self._added(asked.repository)
        if added is None:
            raise Refused(
                f"{asked.repository} is not under this rig's local forge: put it there with `rig repo add`,"
                " or open the issue at GitHub where it is served from there"
            )
        if asked.base_branch is not None:
            try:
                await branch_head(Path(added.clone_url), asked.base_branch)
            except RepositoryError as error:
                raise Refused(str(error)) from error
        number = self._known.repositories[asked.repository].highest + 1
        issue = IssueRef(asked.repository.owner, asked.repository.repo, number)
        if issue in asked.depends_on:
            raise Refused(f"the new issue is {issue}: it cannot depend on itself")
        return issue

    def _added(self, about: RepoRef) -> RepositoryAdded | None:
        repository = self._known.repositories.get(about)
        return None if repository is None else repository.added

    async def _last_position(self, subjects: str) -> int:
        last = await self._bus.log.last(subjects)
        return 0 if last is None else last.position


def _draft(issue: IssueRef, asked: AddIssue, id_: str) -> Draft:
    data = IssueApproved(
        title=asked.title,
        body=asked.body,
        author=asked.author,
        priority=asked.priority,
        depends_on=asked.depends_on,
        labels=asked.labels,
        requires=asked.requires,
        milestone=asked.milestone,
        base_branch=asked.base_branch,
    )
    return Draft(about=issue, data=data, correlation=id_)
