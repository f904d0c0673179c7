"""What an assignment is about, folded from the log: the issue's events and its repository's.

Pure. It reads what is recorded and judges nothing but whose word counts (schemas.Ownership) and which verdicts are
about the head that was pushed last. How it is told to a coder is prompt.py's business.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import UNSET, Struct

from schemas import (
    ChecksFailed,
    ChecksPassed,
    Event,
    FailedCheck,
    Forge,
    IssueApproved,
    IssueRef,
    IssueRevised,
    MergeConflicted,
    Ownership,
    Recorded,
    RepositoryAdded,
    RepositoryConfigured,
    RepositoryRemoved,
    RetryRequested,
    ReviewDisputed,
    ReviewPassed,
    WorkFailed,
    WorkPushed,
    WorkStarted,
)


class NotReady(Exception):
    """The log does not say yet what an agent must know before it can begin."""


class Finding(Struct, frozen=True):
    """Something the next try must mend."""

    what: str
    """In our words."""
    text: str
    """In the words of a program or a person: never to be trusted."""


class Brief(Struct, frozen=True, kw_only=True):
    """All that an agent must know to begin."""

    issue: IssueRef
    title: str
    body: str
    check: str
    clone_url: str
    base_branch: str
    forge: Forge = Forge.LOCAL
    findings: tuple[Finding, ...] = ()
    """What was found wrong with the work so far, the last run's own report first."""
    earlier: tuple[str, ...] = ()
    """Branches of the runs before this one, newest first; not each of them was pushed."""
    pushed_head: str | None = None
    """The last head that an owner reported as finished."""


def brief(issue: IssueRef, events: Iterable[Recorded], repository: Iterable[Recorded]) -> Brief:
    """Folds the events of an issue and of its repository, both in order. Raises NotReady, naming what is missing."""
    asked = _Asked()
    for recorded in events:
        asked.apply(recorded.event.data, recorded.event.time)
    where = Where.of(repository)
    base_branch = asked.base_branch or where.base_branch
    if asked.title is None:
        raise NotReady(f"nobody has approved {issue}")
    if where.check is None or where.clone_url is None:
        raise NotReady(f"{issue.repository} is not under the rig; `rig repo add` puts it there")
    if base_branch is None:
        raise NotReady(f"the forge has not looked at {issue.repository} yet: its base branch is not known")
    return Brief(
        issue=issue,
        title=asked.title,
        body=asked.body,
        check=where.check,
        clone_url=where.clone_url,
        base_branch=base_branch,
        forge=where.forge,
        findings=asked.findings(),
        earlier=tuple(reversed(asked.branches)),
        pushed_head=asked.pushed_head,
    )


def required(events: Iterable[Recorded], repository: Iterable[Recorded]) -> frozenset[str]:
    """What a replica must have for an issue: all that the issue and its repository ask for."""
    asked = _Asked()
    for recorded in events:
        asked.apply(recorded.event.data, recorded.event.time)
    where = Where.of(repository)
    return asked.requires | where.capabilities


class Where:
    """The fold of a repository: where it is, and how it is checked. None: it is not known, or not under the rig."""

    def __init__(self) -> None:
        self.capabilities: frozenset[str] = frozenset()
        self.check: str | None = None
        self.clone_url: str | None = None
        self.base_branch: str | None = None
        self.forge = Forge.LOCAL

    @classmethod
    def of(cls, repository: Iterable[Recorded]) -> "Where":
        where = cls()
        for recorded in repository:
            where.apply(recorded.event.data)
        return where

    def apply(self, event: Event) -> None:
        match event:
            case RepositoryAdded() | RepositoryConfigured():
                self.check, self.clone_url = event.check, event.clone_url
                self.base_branch = event.base_branch or self.base_branch
                before = self.capabilities if isinstance(event, RepositoryAdded) else frozenset[str]()
                self.forge = event.forge if isinstance(event, RepositoryAdded) else self.forge
                self.capabilities = before | frozenset(event.capabilities)
            case RepositoryRemoved():
                self.check = self.clone_url = self.base_branch = None
                self.capabilities = frozenset()
            case _:
                pass


class _Asked:
    """The fold of an issue: what is wanted, what was tried, what was found."""

    def __init__(self) -> None:
        self.title: str | None = None
        self.body = ""
        self.base_branch: str | None = None
        self.requires: frozenset[str] = frozenset()
        self.branches: list[str] = []
        self.pushed_head: str | None = None
        self._owner = Ownership()
        self._failure: Finding | None = None
        self._note: Finding | None = None
        self._verdicts: dict[tuple[str, str], tuple[datetime, Finding | None]] = {}
        """By head and facet; None: nothing to mend. A verdict may be recorded before the push that it is about."""

    def apply(self, event: Event, time: datetime) -> None:
        effective = self._owner.apply(event)
        match event:
            case IssueApproved(title=title, body=body, base_branch=base_branch, requires=requires):
                self.title, self.body, self.base_branch = title, body, base_branch
                self.requires = frozenset(requires)
            case IssueRevised(title=title, body=body, requires=requires):
                self.requires = self.requires if requires is UNSET else frozenset(requires)
                self.title = self.title if title is UNSET else title
                self.body = self.body if body is UNSET else body
            case RetryRequested(note=note):
                self._note = Finding("A person asks for another try, with this note:", note) if note else None
            case WorkStarted(branch=branch) if effective:
                self.branches.append(branch)
            case WorkPushed(head_sha=head) if effective:
                self.pushed_head, self._failure = head, None
            case WorkFailed(kind=kind, detail=detail) if effective and kind.of_the_work:
                self._failure = Finding(f"The last run failed: {kind.value}.", detail)
            case ChecksPassed(head_sha=head):
                self._verdict(head, "checks", time, None)
            case ChecksFailed(head_sha=head, failed=failed):
                self._verdict(head, "checks", time, _checks(failed))
            case MergeConflicted(head_sha=head, paths=paths):
                self._verdict(head, "merge", time, Finding("It did not merge; in conflict:", "\n".join(paths)))
            case ReviewPassed(head_sha=head, reviewer=reviewer):
                self._verdict(head, f"review by {reviewer}", time, None)
            case ReviewDisputed(head_sha=head, reviewer=reviewer, summary=summary, comments=comments):
                finding = Finding(f"The reviewer {reviewer} asks for changes:", "\n\n".join((summary, *comments)))
                self._verdict(head, f"review by {reviewer}", time, finding)
            case _:
                pass

    def findings(self) -> tuple[Finding, ...]:
        verdicts = (finding for (head, _), (_, finding) in self._verdicts.items() if head == self.pushed_head)
        return tuple(finding for finding in (self._failure, self._note, *verdicts) if finding is not None)

    def _verdict(self, head: str, facet: str, time: datetime, finding: Finding | None) -> None:
        """Of two facts of one facet the source's later time wins, at equal time the later position."""
        known = self._verdicts.get((head, facet))
        if known is None or time >= known[0]:
            self._verdicts[head, facet] = (time, finding)


def _checks(failed: Iterable[FailedCheck]) -> Finding:
    text = "\n\n".join(f"{check.name}: {check.conclusion.value}\n{check.excerpt}".rstrip() for check in failed)
    return Finding("Its checks failed on the merge with the base branch:", text)
