"""Closing an issue that is done. GitHub does so itself at a merge into the default branch; elsewhere it is ours."""

from bridges.github.api import GitHub, Priority
from bridges.github.effects import issues
from bridges.github.effects.result import Result, done
from bridges.github.errors import NotFound
from bridges.github.payloads import Issue
from bridges.github.plan import CLOSING, CloseIssue


async def close_issue(github: GitHub, action: CloseIssue) -> Result:
    """Looks, closes what is open, and records it."""
    repository, number = action.about.repository, action.about.number
    try:
        issue = await issues.fetch(github, action.about, priority=Priority.HIGH)
    except NotFound as error:
        if error.status != issues.GONE:
            raise
        return done(CLOSING, action.key, "it is not there any more")
    if issue.state == "closed":
        return done(CLOSING, action.key, "it was closed", issue.html_url)
    body = {"state": "closed", "state_reason": "completed"}
    await github.patch(issues.ISSUE, body, Issue, repository=repository, priority=Priority.HIGH, number=number)
    return done(CLOSING, action.key, url=issue.html_url)
