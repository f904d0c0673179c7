"""An issue as GitHub has it now; and not another in its place.

Where an issue was transferred, GitHub leads on to what it is in the other repository, under the number that it has
there. That is none of ours, whoever wrote it; what has become of ours the delivery of the transfer tells.
"""

from typing import Final

from bridges.github.api import GitHub, Priority
from bridges.github.errors import NotFound
from bridges.github.payloads import Issue, Repository
from schemas import IssueRef

ISSUE: Final = "/repos/{owner}/{repo}/issues/{number}"
GONE: Final = 410
"""Surely not there any more, and not just out of our sight."""


async def fetch(github: GitHub, about: IssueRef, *, priority: Priority = Priority.NORMAL) -> Issue:
    """One issue as it is now. Raises NotFound also for one that was transferred."""
    repository = about.repository
    issue = await github.get(ISSUE, Issue, repository=repository, priority=priority, number=about.number)
    where = "/".join(issue.repository_url.split("/")[-2:]).lower()
    if issue.number == about.number and where in ("", str(repository).lower()):
        return issue
    if issue.number == about.number:  # or is it the repository that is called otherwise now?
        home = await github.get("/repos/{owner}/{repo}", Repository, repository=repository, priority=priority)
        if home.full_name.lower() == where:
            return issue
    raise NotFound(f"GET {about}", "it was transferred to another repository", status=GONE)
