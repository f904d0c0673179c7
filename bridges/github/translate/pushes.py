"""Pushes: the base branch moved, perhaps with a commit that takes one of our merges out again."""

import re
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct, field

from bridges.github import payloads
from bridges.github.heard import Heard
from bridges.github.said import Look, Said, Translation
from bridges.github.translate.pull_requests import reverted
from bridges.github.translate.reading import NOT_SERVED, commit, decoded, line, person, served, skip, text
from schemas import Reverted

_SAID: Final = re.compile(r"^This reverts commit ([0-9a-f]{40}(?:[0-9a-f]{24})?)\b", re.MULTILINE)
_COMMITS_MAX: Final = 2_048
"""GitHub tells of no more."""


class _Commit(Struct, frozen=True):
    id: str
    message: str = ""


class _Repository(payloads.Repository, frozen=True):
    pushed_at: int | str | None = None
    """Seconds, in this event alone."""


class Payload(Struct, frozen=True):
    """The event `push`."""

    ref: str
    repository: _Repository
    commits: list[_Commit] = field(default_factory=list[_Commit])
    sender: payloads.User | None = None


def translate(body: bytes, heard: Heard) -> Translation:
    """The event `push`."""
    payload = decoded(body, Payload)
    home = served(heard, payload.repository)
    if home is None:
        return skip(f"{payload.repository.full_name}: {NOT_SERVED}")
    if home.base_branch is None or payload.ref != f"refs/heads/{home.base_branch}":
        return skip(f"{line(payload.ref, 'what was pushed', 100)} is not the branch that work goes to")
    told: list[Said] = []
    taken_out: set[str] = set()
    by, at = person(payload.sender), _at(payload.repository.pushed_at)
    for one in payload.commits[:_COMMITS_MAX]:
        revert = commit(one.id)
        # A merge of the rig's own quotes the text of issues: only what calls itself a revert is read as one.
        if revert is None or not one.message.lower().startswith("revert "):
            continue
        for merge in _SAID.findall(text(one.message)):
            if merge not in taken_out:
                taken_out.add(merge)
                told += reverted(home, heard, Reverted(merge_sha=merge, revert_sha=revert, by=by), at)
    return Translation(said=tuple(told), looks=(Look(home.ref),))


def _at(pushed: int | str | None) -> datetime | None:
    if not isinstance(pushed, int) or not 946_684_800 <= pushed < 1 << 34:
        return None
    return datetime.fromtimestamp(pushed, UTC)
