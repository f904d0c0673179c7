"""The rig's own labels: one of them at a time on an issue, made in the repository when it is missing there."""

from typing import Final

from bridges.github.api import GitHub, Priority
from bridges.github.courtesy import LABEL, SetLabel
from bridges.github.effects.result import Result, done
from bridges.github.errors import NotFound, Unprocessable
from bridges.github.payloads import Label
from bridges.github.status_text import Label as Ours
from schemas import RepoRef

_LABELS: Final = "/repos/{owner}/{repo}/labels"
_LABEL: Final = "/repos/{owner}/{repo}/labels/{name}"
_ON_ISSUE: Final = "/repos/{owner}/{repo}/issues/{number}/labels"
_OFF_ISSUE: Final = "/repos/{owner}/{repo}/issues/{number}/labels/{name}"
_EXISTS: Final = "already_exists"


async def label(github: GitHub, action: SetLabel) -> Result:
    """Looks which are there, sets the one, takes the others of ours away, and records it."""
    repository, number = action.about.repository, action.about.number
    listed = github.pages(_ON_ISSUE, Label, repository=repository, priority=Priority.LOW, number=number)
    there = {found.name.lower(): found.name async for found in listed}
    if action.label is not None and action.label not in there:
        await _make(github, repository, action.label)
        body = {"labels": [str(action.label)]}
        await github.post(_ON_ISSUE, body, list[Label], repository=repository, priority=Priority.LOW, number=number)
    for name in (there[each] for each in Ours if each in there and each is not action.label):
        try:
            await github.delete(_OFF_ISSUE, repository=repository, priority=Priority.LOW, number=number, name=name)
        except NotFound:
            continue  # taken away meanwhile
    return done(LABEL, action.key, "set")


async def _make(github: GitHub, repository: RepoRef, wanted: Ours) -> None:
    try:
        await github.get(_LABEL, Label, repository=repository, priority=Priority.LOW, name=str(wanted))
    except NotFound:
        body = {"name": str(wanted), "color": wanted.color, "description": wanted.description}
        try:
            await github.post(_LABELS, body, Label, repository=repository, priority=Priority.LOW)
        except Unprocessable as error:
            if not error.has(_EXISTS):
                raise
