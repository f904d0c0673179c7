"""The pull request of an issue's work: its branch, itself, and what it changes."""

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from bridges.branches import pull_request_branch
from bridges.github import texts
from bridges.github.api import GitHub, Priority
from bridges.github.effects import branches
from bridges.github.effects.branches import Comparison
from bridges.github.effects.result import NotYet, Result, Told, done
from bridges.github.errors import Unprocessable
from bridges.github.payloads import PullRequest
from bridges.github.plan import CLOSED, Close, ShowPush
from schemas import (
    Changes,
    ChecksFailed,
    Conclusion,
    FailedCheck,
    IssueRef,
    PullRequestOpened,
    PullRequestUpdated,
    RepoRef,
    work_branch,
)
from schemas.forge import PATHS_MAX

log = logging.getLogger(__name__)

PULLS: Final = "/repos/{owner}/{repo}/pulls"
PULL: Final = "/repos/{owner}/{repo}/pulls/{number}"
_OF_BRANCH: Final = "/repos/{owner}/{repo}/pulls{?state,head}"
_PATH_LENGTH: Final = 500
_COMPARED: Final = 300
"""Files: the most that a comparison tells of."""
_PATHS_BYTES: Final = 128 * 1024
"""Of UTF-8, for all paths of one event; JSON may make twice as much of them."""
_EMPTY: Final = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
"""What git calls a file with nothing in it."""


def marker(issue: IssueRef) -> str:
    """Hidden in the body of every pull request that the rig makes."""
    return f"<!-- rig:pull {issue} -->"


async def fetch(github: GitHub, repository: RepoRef, number: int) -> PullRequest:
    """One pull request as it is now."""
    return await github.get(PULL, PullRequest, repository=repository, priority=Priority.HIGH, number=number)


async def show(github: GitHub, action: ShowPush, *, surely: bool = True) -> Result:
    """Opens the pull request, or moves its branch. A push that is not there, or brings nothing, is a failed check.

    Not `surely`: one that is not there yet raises NotYet, for GitHub may show a moment late what was pushed.
    """
    push, about, repository = action.push, action.about, action.about.repository
    base = await branches.head_of(github, repository, action.base_branch, priority=Priority.HIGH)
    if base is None:
        return _failed(push.head, push.head, "base", f"{repository} has no branch {action.base_branch}")
    expected = work_branch(about.number, push.epoch, push.run)
    if push.branch != expected or not await branches.is_pushed(github, repository, expected, push.head):
        if push.branch == expected and not surely:
            raise NotYet(f"GitHub does not show commit {push.head} on branch {expected}")
        missing = f"commit {push.head} is not on branch {expected} of the repository: push it there"
        return _failed(push.head, base, "push", missing)
    branch = action.shown.branch if action.shown else pull_request_branch(about.number, push.title)
    for pull in (pulls := await _of_branch(github, repository, branch)):
        if pull.is_merged and pull.head.sha == push.head and pull.merge_commit_sha not in action.merges:
            return await fetch(github, repository, pull.number)  # by a person, or by us before we died
    brought = await branches.compare(github, repository, base, push.head)
    if not brought.ahead_by:
        return _failed(push.head, base, "changes", _nothing(action.base_branch))
    if action.shown:
        return await _update(github, action, branch, brought)
    if not await branches.move(github, repository, branch, push.head, action.heads):
        branch = f"{branch}-{push.epoch}-{push.run}"
        pulls = await _of_branch(github, repository, branch)
        if not await branches.move(github, repository, branch, push.head, action.heads):
            return _failed(push.head, base, "push", f"branch {branch} is somebody else's: delete it, and ask again")
    pull = _open(pulls, about) or await _create(github, action, branch)
    opened = PullRequestOpened(
        pull_request=pull.number,
        url=pull.html_url,
        branch=branch,
        head_sha=push.head,
        author=push.author,
        draft=pull.draft,
        changes=count(brought),
    )
    return Told(opened, pull.updated_at)


async def close(github: GitHub, action: Close) -> tuple[Result, ...]:
    """Closes a pull request; what came of it the translator says.

    Of one that is merged already there may be nothing to say: its merge is known, and was of another head than the one
    that was shown, since a person had added to it. So that is recorded.
    """
    repository, number = action.about.repository, action.pull_request
    pull = await fetch(github, repository, number)
    if pull.state != "closed":
        body = {"state": "closed"}
        await github.patch(PULL, body, PullRequest, repository=repository, priority=Priority.HIGH, number=number)
        pull = await fetch(github, repository, number)
    if pull.is_merged:
        return pull, done(CLOSED, action.cause, "it was merged", pull.html_url)
    return (pull,)


def count(brought: Comparison) -> Changes:
    """What a comparison says is changed. A file that moved counts as two, where it was and where it is.

    GitHub counts no lines of a file that it takes for binary, and a `.gitattributes` says what it takes for that. So
    such a file is not named, as those are not that a comparison leaves out: who decides knows that he has not seen all.
    """
    named: dict[str, None] = {}
    files = lines = 0
    for file in brought.files:
        moved = file.status == "renamed" and file.previous_filename is not None
        files += 2 if moved else 1
        lines += file.additions + file.deletions
        if file.status not in ("renamed", "removed") and not file.changes and file.sha != _EMPTY:
            continue
        named |= dict.fromkeys(path for path in (file.previous_filename if moved else None, file.filename) if path)
    if len(brought.files) >= _COMPARED:
        files += 1
    return Changes(files=files, lines=lines, paths=tuple(_fitting(named)))


def _fitting(paths: Iterable[str]) -> Iterator[str]:
    """Those that an event can say."""
    room = _PATHS_BYTES
    for path in islice((path for path in paths if 0 < len(path) <= _PATH_LENGTH), PATHS_MAX):
        room -= len(path.encode(errors="replace"))
        if room < 0:
            return
        yield path


async def _update(github: GitHub, action: ShowPush, branch: str, brought: Comparison) -> Result:
    push, repository = action.push, action.about.repository
    number = action.shown.number if action.shown else 0
    pull = await fetch(github, repository, number)
    if pull.state == "closed":
        return pull  # nobody has told us; the next look opens another
    if not await branches.move(github, repository, branch, push.head, action.heads):
        # People look at this branch; a merge asks for the head itself, and is refused until they agree again.
        log.warning("%s: branch %s stays behind %s: it has commits of somebody else's", action.about, branch, push.head)
    updated = PullRequestUpdated(pull_request=number, branch=branch, head_sha=push.head, changes=count(brought))
    return Told(updated, (await fetch(github, repository, number)).updated_at)


async def _create(github: GitHub, action: ShowPush, branch: str) -> PullRequest:
    push, repository = action.push, action.about.repository
    body = {
        "title": texts.line(push.title),
        "head": branch,
        "base": action.base_branch,
        "body": _body(action.about, push.body),
    }
    try:
        return await github.post(PULLS, body, PullRequest, repository=repository, priority=Priority.HIGH)
    except Unprocessable:
        found = _open(await _of_branch(github, repository, branch), action.about)
        if found is None:
            raise
        return found


async def _of_branch(github: GitHub, repository: RepoRef, branch: str) -> list[PullRequest]:
    """Every pull request from a branch of this repository: its natural key."""
    found = github.pages(
        _OF_BRANCH,
        PullRequest,
        repository=repository,
        priority=Priority.HIGH,
        state="all",
        head=f"{repository.owner}:{branch}",
    )
    return [pull async for pull in found if pull.head.ref == branch]


def _open(pulls: list[PullRequest], issue: IssueRef) -> PullRequest | None:
    """Ours bears our marker; but on a branch of ours GitHub lets nobody have a second one, so any that is open does."""
    opened = [pull for pull in pulls if pull.state == "open"]
    return next((pull for pull in opened if marker(issue) in (pull.body or "")), next(iter(opened), None))


def _body(issue: IssueRef, said: str) -> str:
    parts = [f"Closes #{issue.number}", texts.fenced(said, 30_000) if said.strip() else "", marker(issue)]
    return "\n\n".join(part for part in parts if part)


def _failed(head: str, base: str, name: str, excerpt: str) -> ChecksFailed:
    conclusion = Conclusion.FAILURE if name == "changes" else Conclusion.STARTUP_FAILURE
    return ChecksFailed(
        head_sha=head, base_sha=base, failed=(FailedCheck(name=name, conclusion=conclusion, excerpt=excerpt),)
    )


def _nothing(base_branch: str) -> str:
    return (
        f"{base_branch} has everything already that this work would bring. "
        f"If somebody put it there in other commits (a squash, a cherry-pick), withdraw the issue: it is done"
    )
