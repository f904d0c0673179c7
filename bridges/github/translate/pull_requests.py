"""Pull requests: merged, closed, taken back, or changed so that whoever does effects looks again.

An issue's own pull request is one that the log names, or a branch of the rig's in the repository itself. Of people's,
those count that close an issue by GitHub's keywords; where the rig reviews everybody's, each head is to be reviewed.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from msgspec import Struct

from bridges.github import ids, payloads
from bridges.github.heard import PULL, Heard, Issue, Repository, same
from bridges.github.said import Look, Said, Seen, Translation
from bridges.github.translate import words
from bridges.github.translate.reading import (
    NOT_SERVED,
    commit,
    decoded,
    line,
    name,
    numbered,
    once,
    person,
    served,
    skip,
    stamp,
    text,
    url,
    utc,
)
from schemas import Merged, PullRequestClosed, RepoRef, Reverted, ReviewScope, ReviewWanted

_LOOKED_AT: Final = (
    *("opened", "reopened", "closed", "synchronize", "edited", "converted_to_draft", "ready_for_review"),
    *("auto_merge_enabled", "auto_merge_disabled", "enqueued", "dequeued"),
)
"""After these an issue's pull request may stand otherwise. Labels and reviewers change nothing."""
_REVERTS_COMMIT: Final = re.compile(r"^This reverts commit ([0-9a-f]{40}(?:[0-9a-f]{24})?)\b", re.MULTILINE)
_REVERTS_PULL: Final = re.compile(
    r"^Reverts ([A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100})?#([0-9]{1,9})\b", re.MULTILINE
)
_REVERT_BRANCH: Final = re.compile(r"revert-([0-9]{1,9})-.+")
_REVERT_TITLE: Final = 'revert "'


class Payload(Struct, frozen=True):
    """The event `pull_request`."""

    action: str
    pull_request: payloads.PullRequest
    repository: payloads.Repository


def translate(body: bytes, heard: Heard) -> Translation:
    """The event `pull_request`."""
    payload = decoded(body, Payload)
    home = served(heard, payload.repository)
    if home is None:
        return skip(f"{payload.repository.full_name}: {NOT_SERVED}")
    found = _translated(home, payload.pull_request, heard, look=payload.action in _LOOKED_AT)
    if found.said or found.looks or found.skipped:
        return found
    return Translation(
        skipped=f"{line(payload.action, 'no action', 50)}: nothing that the rig has not heard", seen=found.seen
    )


def of_pull_request(repository: RepoRef, pull: payloads.PullRequest, heard: Heard) -> Translation:
    """What is to be said of a pull request that the API tells of."""
    home = heard.repository(str(repository))
    return skip(f"{repository}: {NOT_SERVED}") if home is None else _translated(home, pull, heard, look=True)


def _translated(home: Repository, pull: payloads.PullRequest, heard: Heard, *, look: bool) -> Translation:
    ref, at = numbered(home.ref, pull.number), utc(pull.updated_at)
    owner = home.owner_of(pull)
    seen = (Seen(ref, PULL, at),)
    if pull.is_merged:
        merges = tuple(_merged(home, pull, owner, heard))
        told = (*merges, *_reverted(home, pull, heard))
        return Translation(said=told, skipped=None if told else "merged, and of no issue's", seen=seen)
    newest = heard.newest(ref, PULL)
    if newest is not None and at < newest:
        return Translation(skipped=f"the pull request was heard of as it was later, at {newest.isoformat()}")
    if owner is None:
        wanted = _review_wanted(home, pull, heard) if pull.state == "open" else ()
        return Translation(said=wanted, skipped=None if wanted else "of no issue's", seen=seen)
    if pull.state == "closed":
        return Translation(said=_closed(home, pull, owner, heard), seen=seen)
    return Translation(looks=(Look(owner.ref),) if look else (), seen=seen)


# ── the end of one ───────────────────────────────────────────────────────────


def _merged(home: Repository, pull: payloads.PullRequest, owner: Issue | None, heard: Heard) -> Iterator[Said]:
    """For the issue whose it is; else for every issue that it closes, if it went where work goes."""
    merge, head, base = commit(pull.merge_commit_sha), commit(pull.head.sha), commit(pull.base.sha)
    if merge is None or head is None or base is None:
        return
    issues = [owner] if owner is not None else _closes(home, pull, heard)
    for issue in issues:
        if merge not in issue.merges:
            data = Merged(head_sha=head, base_sha=base, merge_sha=merge)
            id_ = ids.of_pull_request(home.ref, pull.number, "merged", merge, *_of(issue, home, pull))
            yield from once(heard, issue.ref, data, id_, utc(pull.merged_at or pull.closed_at or pull.updated_at))


def _of(issue: Issue, home: Repository, pull: payloads.PullRequest) -> tuple[str, ...]:
    """One pull request may close several issues."""
    return () if home.owner_of(pull) is issue else (str(issue.ref),)


def _closes(home: Repository, pull: payloads.PullRequest, heard: Heard) -> list[Issue]:
    found: list[Issue] = []
    for ref in words.closes(text(pull.body), home.ref) if pull.base.ref == home.base_branch else ():
        issue = heard.issue(ref)
        if issue is not None and _was_wanted(issue, pull) and heard.repository(str(ref.repository)) is not None:
            found.append(issue)
    return found


def _was_wanted(issue: Issue, pull: payloads.PullRequest) -> bool:
    """When it was merged: that GitHub has closed the issue then may have been heard before."""
    at = utc(pull.merged_at or pull.closed_at or pull.updated_at)
    return issue.wanted or (issue.approval is not None and issue.withdrawn_at >= at)


def _closed(home: Repository, pull: payloads.PullRequest, owner: Issue, heard: Heard) -> tuple[Said, ...]:
    at = utc(pull.closed_at or pull.updated_at)
    if not owner.open or owner.pull_request != pull.number or at < owner.shown_at.replace(microsecond=0):
        return ()
    data = PullRequestClosed(pull_request=pull.number)
    # Not before it was shown: the rig's clock told that, and this is GitHub's.
    id_ = ids.of_pull_request(home.ref, pull.number, "closed", stamp(at))
    return once(heard, owner.ref, data, id_, max(at, owner.shown_at))


def _reverted(home: Repository, pull: payloads.PullRequest, heard: Heard) -> Iterator[Said]:
    """GitHub's own button names the pull request, git's own words the commit; a title alone says nothing."""
    revert = commit(pull.merge_commit_sha)
    if revert is None or pull.base.ref != home.base_branch:
        return
    at = utc(pull.merged_at or pull.closed_at or pull.updated_at)
    for merge in _taken_out(home, pull, at):
        data = Reverted(merge_sha=merge, revert_sha=revert, by=person(pull.merged_by))
        yield from reverted(home, heard, data, at)


def _taken_out(home: Repository, pull: payloads.PullRequest, at: datetime) -> list[str]:
    """What stood there then: a revert is told of again (a label, a replay) when its issue has landed anew."""
    body = text(pull.body)
    found = [merge for merge in _REVERTS_COMMIT.findall(body) if merge in home.merges]
    if pull.title.lower().startswith(_REVERT_TITLE):
        numbers = [
            int(number) for where, number in _REVERTS_PULL.findall(body) if not where or same(where, str(home.ref))
        ]
        branch = _REVERT_BRANCH.fullmatch(pull.head.ref)
        numbers += [int(branch[1])] if branch is not None else []
        for ref in (home.pulls.get(number) for number in numbers):
            issue = home.issues.get(ref.number) if ref is not None else None
            in_force = [merge for merge, stands in issue.merges.items() if stands] if issue is not None else []
            found += [merge for merge in in_force if home.merges[merge].at <= at]
    return list(dict.fromkeys(found))


def reverted(home: Repository, heard: Heard, data: Reverted, at: datetime | None) -> tuple[Said, ...]:
    """That a merge was taken out again, unless that is known."""
    merge, revert = data.merge_sha, data.revert_sha
    landed = home.merges.get(merge)
    told: list[Said] = []
    for ref, which in landed.each() if landed is not None and revert != merge else ():
        issue = heard.issue(ref)
        if issue is not None and issue.merges.get(merge):
            told += once(heard, ref, data, ids.of_repository(home.ref, "reverted", merge, revert, *which), at)
    return tuple(told)


# ── people's ─────────────────────────────────────────────────────────────────


def _review_wanted(home: Repository, pull: payloads.PullRequest, heard: Heard) -> tuple[Said, ...]:
    configured, head, author = home.configured, commit(pull.head.sha), name(pull.user)
    if configured is None or configured.reviews is ReviewScope.RIG or pull.draft or head is None:
        return ()
    labelled = any(words.is_label(label.name, words.NEEDS_REVIEW) for label in pull.labels)
    if configured.reviews is ReviewScope.LABELLED and not labelled:
        return ()
    reviewer = next((one for one in configured.reviewers if author is None or not same(one, author)), None)
    if reviewer is None:
        return ()
    data = ReviewWanted(
        pull_request=pull.number,
        head_sha=head,
        reviewer=reviewer,
        author=person(pull.user),
        title=line(pull.title, "(no title)"),
        url=url(pull.html_url),
    )
    id_ = ids.of_pull_request(home.ref, pull.number, "review_wanted", head)
    return once(heard, numbered(home.ref, pull.number), data, id_, utc(pull.updated_at))
