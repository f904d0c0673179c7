"""Asking for a review at GitHub, of whoever has a login there. A role of the rig's reads the log instead."""

from typing import Final

from bridges.github.api import GitHub, Priority
from bridges.github.effects.result import Result, done, refused
from bridges.github.errors import Forbidden, NotFound, Unprocessable
from bridges.github.logins import login_of
from bridges.github.payloads import PullRequest
from bridges.github.plan import REVIEW, RequestReview

_REVIEWERS: Final = "/repos/{owner}/{repo}/pulls/{number}/requested_reviewers"
_PULL: Final = "/repos/{owner}/{repo}/pulls/{number}"


async def request_review(github: GitHub, action: RequestReview) -> Result:
    """Looks who was asked, asks, and records it."""
    login, repository, number = login_of(action.reviewer), action.about.repository, action.pull_request
    if login is None:
        return done(REVIEW, action.key, "skipped: no login of GitHub's")
    pull = await github.get(_PULL, PullRequest, repository=repository, priority=Priority.HIGH, number=number)
    if any(asked is not None and asked.login.lower() == login.lower() for asked in pull.requested_reviewers):
        return done(REVIEW, action.key, "asked already", pull.html_url)
    body = {"reviewers": [login]}
    try:
        await github.post(_REVIEWERS, body, PullRequest, repository=repository, priority=Priority.HIGH, number=number)
    except (Unprocessable, NotFound, Forbidden) as error:  # no collaborator, or the author himself
        return refused(REVIEW, action.key, error)
    return done(REVIEW, action.key, url=pull.html_url)
