"""Closing an issue that is done. GitHub does so itself at a merge into the default branch; elsewhere it is ours."""

from typing import Final

from bridges.github.api import GitHub, Priority
from bridges.github.effects.result import Result, done
from bridges.github.payloads import Issue
from bridges.github.plan import CLOSING, CloseIssue

_ISSUE: Final = "/repos/{owner}/{repo}/issues/{number}"


async def close_issue(github: GitHub, action: CloseIssue) -> Result:
    """Looks, closes what is open, and records it."""
    repository, number = action.about.repository, action.about.number
    issue = await github.get(_ISSUE, Issue, repository=repository, priority=Priority.HIGH, number=number)
    if issue.state == "closed":
        return done(CLOSING, action.key, "it was closed", issue.html_url)
    body = {"state": "closed", "state_reason": "completed"}
    await github.patch(_ISSUE, body, Issue, repository=repository, priority=Priority.HIGH, number=number)
    return done(CLOSING, action.key, url=issue.html_url)
