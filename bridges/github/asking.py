"""Answering what the translator has to know beyond a delivery, by GitHub's API."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from bridges.github.api import GitHub
from bridges.github.errors import Forbidden, NotFound
from bridges.github.payloads import Repository
from bridges.github.said import Answer, BlockedBy, Permission, Question, ReviewComments

_BLOCKED_BY: Final = "/repos/{owner}/{repo}/issues/{number}/dependencies/blocked_by"
_COMMENTS: Final = "/repos/{owner}/{repo}/pulls/{number}/reviews/{review}/comments"
_ASKED_MAX: Final = 200


class _Blocker(Struct, frozen=True):
    number: int
    repository: Repository | None = None
    repository_url: str = ""


class _LineComment(Struct, frozen=True):
    path: str = ""
    line: int | None = None
    original_line: int | None = None
    body: str = ""


async def answers(github: GitHub, questions: Iterable[Question]) -> dict[Question, Answer]:
    """What can be answered; what GitHub does not let us see is left out. Raises ApiError."""
    found: dict[Question, Answer] = {}
    for question in questions:
        try:
            found[question] = await _answer(github, question)
        except (NotFound, Forbidden):
            continue
    return found


async def _answer(github: GitHub, question: Question) -> Answer:
    match question:
        case Permission(repository=repository, login=login):
            return await github.permission(repository, login)
        case BlockedBy(issue=issue):
            blockers = github.pages(_BLOCKED_BY, _Blocker, repository=issue.repository, number=issue.number)
            named: list[str] = []
            async for blocker in blockers:
                named.append(f"{_where(blocker) or issue.repository}#{blocker.number}")
                if len(named) >= _ASKED_MAX:
                    break
            return tuple(named)
        case ReviewComments(repository=repository, pull_request=number, review=review):
            comments = github.pages(_COMMENTS, _LineComment, repository=repository, number=number, review=review)
            texts: list[str] = []
            async for comment in comments:
                line = comment.line or comment.original_line
                texts.append(f"{comment.path}{f':{line}' if line else ''}: {comment.body}")
                if len(texts) >= _ASKED_MAX:
                    break
            return tuple(texts)


def _where(blocker: _Blocker) -> str:
    """owner/repo: in full, or as the end of the repository's address."""
    if blocker.repository is not None:
        return blocker.repository.full_name
    return "/".join(blocker.repository_url.rsplit("/", 2)[-2:]) if blocker.repository_url else ""
