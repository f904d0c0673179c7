"""Asking for a review at GitHub, of whoever has a login there. A role of the rig's reads the log instead."""

import re
from typing import Final

from bridges.github.api import GitHub, Priority
from bridges.github.effects.result import Result, done, refused
from bridges.github.errors import Forbidden, NotFound, Unprocessable
from bridges.github.payloads import PullRequest
from bridges.github.plan import REVIEW, RequestReview
from schemas import Actor

_REVIEWERS: Final = "/repos/{owner}/{repo}/pulls/{number}/requested_reviewers"
_PULL: Final = "/repos/{owner}/{repo}/pulls/{number}"
_LOGIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})")
_BOT: Final = ".bot"


def login_of(name: str) -> str | None:
    """The login that a reviewer's name stands for; None: he is none of GitHub's. `x.bot` is the App `x[bot]`."""
    if name in set(Actor):
        return None
    bare = name.removesuffix(_BOT)
    if _LOGIN.fullmatch(bare) is None:
        return None
    return f"{bare}[bot]" if name.endswith(_BOT) else bare


async def request_review(github: GitHub, action: RequestReview) -> Result:
    """Looks who was asked, asks, and records it."""
    login, repository, number = login_of(action.reviewer), action.about.repository, action.pull_request
    if login is None:
        return done(REVIEW, action.key, "skipped: no login of GitHub's")
    pull = await github.get(_PULL, PullRequest, repository=repository, priority=Priority.HIGH, number=number)
    if any(user.login.lower() == login.lower() for user in pull.requested_reviewers):
        return done(REVIEW, action.key, "asked already", pull.html_url)
    body = {"reviewers": [login]}
    try:
        await github.post(_REVIEWERS, body, PullRequest, repository=repository, priority=Priority.HIGH, number=number)
    except (Unprocessable, NotFound, Forbidden) as error:  # no collaborator, or the author himself
        return refused(REVIEW, action.key, error)
    return done(REVIEW, action.key, url=pull.html_url)
