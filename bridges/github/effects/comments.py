"""The one living comment of an issue: found again by its marker and by who wrote it, and edited."""

from typing import Final

from bridges.github.api import GitHub, Priority
from bridges.github.courtesy import COMMENT
from bridges.github.courtesy import Comment as Wanted
from bridges.github.effects.result import Result, done
from bridges.github.errors import NotFound
from bridges.github.payloads import Comment
from bridges.github.status_text import marker

_COMMENTS: Final = "/repos/{owner}/{repo}/issues/{number}/comments"
_COMMENT: Final = "/repos/{owner}/{repo}/issues/comments/{comment}"


async def write(github: GitHub, action: Wanted, self_login: str) -> Result:
    """Looks for it, writes what is to stand there, and records it. A second one of ours is taken away."""
    repository, number = action.about.repository, action.about.number
    ours = await _ours(github, action, self_login)
    for extra in ours[1:]:  # two bridges, each of which took itself for the holder of the lease
        await github.delete(_COMMENT, repository=repository, priority=Priority.LOW, comment=extra.id)
    body = {"body": action.text}
    if not ours:
        made = await github.post(_COMMENTS, body, Comment, repository=repository, priority=Priority.LOW, number=number)
        return done(COMMENT, action.key, "written", made.html_url)
    if ours[0].body == action.text:
        return done(COMMENT, action.key, "written", ours[0].html_url)
    try:
        edited = await github.patch(
            _COMMENT, body, Comment, repository=repository, priority=Priority.LOW, comment=ours[0].id
        )
    except NotFound:  # deleted at this moment
        edited = await github.post(
            _COMMENTS, body, Comment, repository=repository, priority=Priority.LOW, number=number
        )
    return done(COMMENT, action.key, "edited", edited.html_url)


async def _ours(github: GitHub, action: Wanted, self_login: str) -> list[Comment]:
    """Ours that bear the marker, oldest first. Anybody can write a marker, and nobody else can write as we do."""
    repository, number = action.about.repository, action.about.number
    listed = github.pages(_COMMENTS, Comment, repository=repository, priority=Priority.LOW, number=number)
    return [
        comment
        async for comment in listed
        if comment.user is not None
        and comment.user.login.lower() == self_login.lower()
        and (comment.body or "").startswith(marker(action.about))
    ]
