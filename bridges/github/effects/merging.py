"""Merging a pull request: squashed by GitHub, at exactly the expected head, and what a refusal means."""

from typing import Final

from msgspec import Struct

from bridges.github import texts
from bridges.github.api import GitHub, Priority
from bridges.github.effects.pull_requests import fetch
from bridges.github.effects.result import NotYet, Result
from bridges.github.errors import ApiError, Conflict, Forbidden, Unprocessable
from bridges.github.payloads import PullRequest
from bridges.github.plan import Merge
from schemas import MergeConflicted, MergeRefusal, MergeRefused

_MERGE: Final = "/repos/{owner}/{repo}/pulls/{number}/merge"
_DETAIL: Final = 4_000
_STANDS_STILL: Final = ("clean", "unstable", "has_hooks")
"""States in which GitHub would have merged a moment ago: the base moved meanwhile, or it does not merge this way."""
_MOVED: Final = ("base branch was modified", "try the merge again", "try again")


class _Merged(Struct, frozen=True):
    merged: bool = False


async def merge(github: GitHub, action: Merge) -> Result:
    """Merges, or says why not. A pull request that is merged already is what was asked for, whoever did it.

    Raises NotYet while GitHub does not know itself whether it can.
    """
    repository, number = action.about.repository, action.pull_request
    pull = await fetch(github, repository, number)
    if (answer := _settled(action, pull)) is not None:
        return answer
    body = {
        "sha": action.head,
        "merge_method": "squash",
        "commit_title": f"{texts.line(action.title)} (#{number})",
        "commit_message": f"Closes #{action.about.number}",
    }
    try:
        await github.put(_MERGE, body, _Merged, repository=repository, priority=Priority.HIGH, number=number)
    except (Conflict, Unprocessable, Forbidden) as error:
        return explained(action, await fetch(github, repository, number), error)
    pull = await fetch(github, repository, number)
    if not pull.is_merged:
        raise NotYet(f"pull request {number} was merged, and GitHub does not show it so yet")
    return pull


def explained(action: Merge, pull: PullRequest, error: ApiError) -> Result:
    """Why a merge was refused, as the pull request stands after it. Raises NotYet. Pure."""
    if (answer := _settled(action, pull)) is not None:
        return answer
    state, words = pull.mergeable_state, error.message.lower()
    if state in ("dirty", "behind") or pull.mergeable is False:
        return MergeConflicted(head_sha=action.head, base_sha=action.base)
    if any(moved in words for moved in _MOVED):
        raise NotYet(str(error))
    known = state in ("blocked", "draft", *_STANDS_STILL) or pull.draft
    if not known and pull.mergeable is None and not isinstance(error, Forbidden):
        raise NotYet(f"GitHub has not worked out yet whether pull request {pull.number} can be merged")
    return _refused(action, MergeRefusal.PROTECTED, error.message)


def _settled(action: Merge, pull: PullRequest) -> Result:
    """What needs no try, or must not have one."""
    if pull.is_merged:
        return pull
    if pull.state == "closed":
        return _refused(action, MergeRefusal.PROTECTED, f"pull request {pull.number} is closed: open it again")
    if pull.head.sha != action.head:
        return _refused(action, MergeRefusal.HEAD_MOVED, f"the pull request is at {pull.head.sha}")
    if pull.base.ref != action.base_branch:  # somebody has it go elsewhere, where nobody has looked at what it does
        where = f"pull request {pull.number} goes to {pull.base.ref[:200]}, and the work to {action.base_branch}"
        return _refused(action, MergeRefusal.PROTECTED, where)
    return None


def _refused(action: Merge, reason: MergeRefusal, detail: str) -> MergeRefused:
    return MergeRefused(head_sha=action.head, base_sha=action.base, reason=reason, detail=detail[:_DETAIL])
