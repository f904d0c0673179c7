"""Saying what came of a step: under which id, because of what, in whose words.

How a thing stands at GitHub is told in the translator's words: a delivery that brings the same is the same fact.
"""

import logging
from datetime import datetime
from hashlib import sha256

import msgspec

from bridges.github import ids
from bridges.github.courtesy import Courtesy
from bridges.github.effects import Result, Told
from bridges.github.journal import Journal
from bridges.github.payloads import Issue, PullRequest
from bridges.github.plan import Action, Configure, Look
from bridges.github.said import Translation, Untranslatable
from bridges.github.translate import look_at_issue, of_pull_request
from schemas import (
    ChecksFailed,
    ChecksPassed,
    Draft,
    EffectRecorded,
    Event,
    IssueRef,
    MergeConflicted,
    PullRequestOpened,
    PullRequestUpdated,
    RepoRef,
)

log = logging.getLogger(__name__)


async def tell(journal: Journal, action: Action | Courtesy, result: Result) -> None:
    """Says what there is to say, each fact once, and returns when it was read."""
    about = action.about
    repository = about.repository if isinstance(about, IssueRef) else about
    match result:
        case None:
            pass
        case PullRequest() | Issue():
            try:
                translation = _translated(journal, repository, result)
            except Untranslatable as error:
                log.warning("%s: it cannot be told how it stands: %s", about, error)
            else:
                await journal.tell(translation)
        case Told(data=data, at=at):
            await say(journal, action, data, at)
        case _:
            await say(journal, action, result)


def _translated(journal: Journal, repository: RepoRef, result: PullRequest | Issue) -> Translation:
    if isinstance(result, PullRequest):
        return of_pull_request(repository, result, journal.heard)
    return look_at_issue(repository, result, journal.heard)


async def say(journal: Journal, action: Action | Courtesy, data: Event, at: datetime | None = None) -> None:
    """Says one event because of what led to a step."""
    issue = journal.known.issues.get(action.about) if isinstance(action.about, IssueRef) else None
    correlation = issue.approval if issue is not None else None
    draft = Draft(about=action.about, data=data, cause=action.cause, correlation=correlation, time=at)
    await journal.say(draft, _id(journal, action, data))


def _id(journal: Journal, action: Action | Courtesy, data: Event) -> str:
    """What is said of one thing one after another names what was said before it."""
    about = action.about
    if isinstance(about, RepoRef):
        after = action.after if isinstance(action, Configure) else "nothing"
        return ids.of_repository(about, type(data).name(), action.cause, after, _digest(data))
    match data:
        case PullRequestOpened(pull_request=number) | PullRequestUpdated(pull_request=number):
            return ids.of_pull_request(about.repository, number, "shown", action.cause)
        case ChecksPassed() | ChecksFailed() if isinstance(action, Look):
            before = action.known.id if action.known is not None else "nothing"
            number = action.pull_request or about.number
            return ids.of_pull_request(about.repository, number, "checked", data.head_sha, before, _digest(data))
        case MergeConflicted(head_sha=head, base_sha=base) if isinstance(action, Look):
            number = action.pull_request or about.number
            return ids.of_pull_request(about.repository, number, "conflicted", head, base)
        case EffectRecorded(effect=effect, key=key):
            before = journal.known.issues[about].last(effect) or "nothing"
            return ids.of_issue(about.repository, about.number, "effect", effect, key, before)
        case _:
            return ids.of_issue(about.repository, about.number, type(data).name(), action.cause)


def _digest(data: Event) -> str:
    return sha256(msgspec.json.encode(data)).hexdigest()[:32]
