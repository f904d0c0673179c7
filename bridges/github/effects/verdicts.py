"""Showing a verdict of the rig's own reviewer: one review for each pull request, head and reviewer, found again by its
marker and by who wrote it. It is a comment, never an approval: what the rig merges is decided from its log.
"""

from typing import Final

import msgspec

from bridges.github.api import GitHub, Priority
from bridges.github.courtesy import ShowVerdict
from bridges.github.effects.result import Result, done
from bridges.github.errors import Unprocessable
from bridges.github.payloads import PullRequest, Review
from bridges.github.verdict_text import marker

_PULL: Final = "/repos/{owner}/{repo}/pulls/{number}"
_REVIEWS: Final = _PULL + "/reviews"
_REVIEW: Final = _REVIEWS + "/{review}"


async def show(github: GitHub, action: ShowVerdict, self_login: str) -> Result:
    """Looks for it, writes or edits what is to stand there, and records it."""
    repository, low, number = action.about.repository, Priority.LOW, action.pull_request
    if not action.ours:
        pull = await github.get(_PULL, PullRequest, repository=repository, priority=low, number=number)
        if pull.state == "closed":
            return done(action.effect, action.key, "skipped: the pull request is closed", pull.html_url)
    there = await _ours(github, action, self_login)
    if there is not None and there.body in (action.text, action.whole):
        return done(action.effect, action.key, "written", there.html_url)
    if there is not None:  # the same reviewer's other word on this head; comments at lines cannot be made again
        body = {"body": action.whole}
        edited = await github.put(
            _REVIEW, body, Review, repository=repository, priority=low, number=number, review=there.id
        )
        return done(action.effect, action.key, "edited", edited.html_url)
    return done(action.effect, action.key, "written", (await _write(github, action)).html_url)


async def _write(github: GitHub, action: ShowVerdict) -> Review:
    repository, low, number = action.about.repository, Priority.LOW, action.pull_request
    review = {"commit_id": action.head, "event": "COMMENT"}
    if action.lines:
        at_lines = {"body": action.text, "comments": [msgspec.to_builtins(line) for line in action.lines]}
        try:
            return await github.post(
                _REVIEWS, review | at_lines, Review, repository=repository, priority=low, number=number
            )
        except Unprocessable:  # a line that the pull request does not show: GitHub then takes none of them
            pass
    return await github.post(
        _REVIEWS, review | {"body": action.whole}, Review, repository=repository, priority=low, number=number
    )


async def _ours(github: GitHub, action: ShowVerdict, self_login: str) -> Review | None:
    """Ours that bears the marker. Anybody can write a marker, and nobody else can write as we do."""
    mark = marker(action.about, action.reviewer, action.head)
    listed = github.pages(
        _REVIEWS, Review, repository=action.about.repository, priority=Priority.LOW, number=action.pull_request
    )
    async for review in listed:
        if (
            review.user is not None
            and review.user.login.lower() == self_login.lower()
            and (review.body or "").startswith(mark)
        ):
            return review
    return None
