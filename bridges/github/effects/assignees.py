"""Who is asked: assigned while people are needed, and not any more once they are not."""

from typing import Final

from bridges.github.api import GitHub, Priority
from bridges.github.courtesy import ASSIGNEE, Assign
from bridges.github.effects import issues
from bridges.github.effects.result import Result, done
from bridges.github.payloads import Issue

_ASSIGNEES: Final = "/repos/{owner}/{repo}/issues/{number}/assignees"


async def assign(github: GitHub, action: Assign) -> Result:
    """Looks who is assigned, sets and unsets, and records it. GitHub leaves out who cannot be assigned, in silence."""
    repository, number, low = action.about.repository, action.about.number, Priority.LOW
    issue = await issues.fetch(github, action.about, priority=low)
    if action.before is not None and action.before != action.login and _has(issue, action.before):
        body = {"assignees": [action.before]}
        await github.delete(_ASSIGNEES, body, repository=repository, priority=low, number=number)
    if action.login is None:
        return done(ASSIGNEE, action.key, "nobody is asked any more")
    if not _has(issue, action.login):
        body = {"assignees": [action.login]}
        issue = await github.post(_ASSIGNEES, body, Issue, repository=repository, priority=low, number=number)
        if not _has(issue, action.login):
            return done(ASSIGNEE, action.key, "skipped: GitHub assigns only who works in the repository")
    return done(ASSIGNEE, action.key, "assigned")


def _has(issue: Issue, login: str) -> bool:
    return any(user.login.lower() == login.lower() for user in issue.assignees)
