"""What people look at, and is to be done now: pure, from the fold alone, one thing at a time. See plan.py.

Each is keyed by what it does. It is due until the last record of its effect has this key: also one that says that
GitHub refuses, so that nothing is tried for ever.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Final, TypeAlias

from bridges.github import status_text, verdict_text
from bridges.github.known import Issue, Judgement, Known
from bridges.github.logins import login_of
from bridges.github.status_text import Label, Report
from bridges.github.verdict_text import LineComment
from bridges.standing import Standing
from schemas import IssueApproved, IssueEscalated, IssueRef, IssueState, RepoRef, RepositoryConfigured

COMMENT: Final = "comment"
LABEL: Final = "label"
ASSIGNEE: Final = "assignee"
STATUS: Final = "status"
BRANCHES: Final = "branches_deleted"
NOBODY: Final = "-"


@dataclass(frozen=True, slots=True)
class Comment:
    """Write the living comment, or edit it."""

    effect: ClassVar[str] = COMMENT
    """What it is called in its record, as in all that follow."""
    cause: str
    about: IssueRef
    key: str
    after: str
    """Id of what was recorded of this effect last, as in all that follow."""
    text: str


@dataclass(frozen=True, slots=True)
class SetLabel:
    """Set the one of the rig's labels that holds, and take the others away."""

    effect: ClassVar[str] = LABEL
    cause: str
    about: IssueRef
    key: str
    after: str
    label: Label | None


@dataclass(frozen=True, slots=True)
class Assign:
    """Assign who is asked, and nobody whom the rig has assigned before."""

    effect: ClassVar[str] = ASSIGNEE
    cause: str
    about: IssueRef
    key: str
    after: str
    login: str | None
    before: str | None


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Say on the head how it stands: by a check run, or by a commit status."""

    effect: ClassVar[str] = STATUS
    cause: str
    about: IssueRef
    key: str
    after: str
    head: str
    report: Report
    words: str
    url: str


@dataclass(frozen=True, slots=True)
class DeleteBranches:
    """Delete the branches of merged work, where they are still at commits of ours."""

    effect: ClassVar[str] = BRANCHES
    cause: str
    about: IssueRef
    key: str
    after: str
    branches: tuple[str, ...]
    heads: frozenset[str]


@dataclass(frozen=True, slots=True)
class ShowVerdict:
    """Show what a reviewer of the rig's own said of one head: as a review that neither approves nor refuses."""

    cause: str
    about: IssueRef
    key: str
    after: str
    reviewer: str
    pull_request: int
    head: str
    ours: bool
    """The rig's own pull request, which may be merged by now; a person's is left alone once it is closed."""
    text: str
    """To stand above the findings at their lines."""
    lines: tuple[LineComment, ...]
    whole: str
    """With the findings in it, for where there are no lines."""

    @property
    def effect(self) -> str:
        """One for each reviewer: the last record of each says what is shown of that one."""
        return verdict_effect(self.reviewer)


Courtesy: TypeAlias = Comment | SetLabel | Assign | SetStatus | DeleteBranches | ShowVerdict


def verdict_effect(reviewer: str) -> str:
    return f"verdict {reviewer}"


def courtesy(known: Known, about: IssueRef | RepoRef) -> Courtesy | None:
    """What people should see of one issue and do not see yet."""
    issue = known.issues.get(about) if isinstance(about, IssueRef) else None
    configured = known.served(issue.ref.repository) if issue is not None else None
    if issue is None or configured is None:
        return None
    if (standing := issue.standing) is None:
        return _verdicts(issue)
    return (
        _verdicts(issue)  # before the label: where it says done all of them are shown
        or _status(issue, standing)
        or _label(issue, standing)
        or _comment(issue, standing)
        or _assign(issue, standing, configured)
        or _branches(issue)
    )


def _recorded(issue: Issue, effect: str) -> str | None:
    """The key of what was recorded last."""
    return issue.effects[effect].key if effect in issue.effects else None


def _verdicts(issue: Issue) -> ShowVerdict | None:
    """Of each reviewer the last word, while the work on the pull request is not over."""
    if issue.withdrawn is not None or _recorded(issue, LABEL) == Label.DONE:
        return None
    due = (_verdict(issue, judged) for _, judged in sorted(issue.judged.items()))
    return next((step for step in due if step is not None), None)


def _verdict(issue: Issue, judged: Judgement) -> ShowVerdict | None:
    said, shown, wanted = judged.said, issue.pull_request, issue.wanted
    ours = shown is not None and shown.number == said.pull_request
    if not ours and (wanted is None or wanted.pull_request != said.pull_request):
        return None
    whole, effect = verdict_text.whole(issue.ref, said), verdict_effect(said.reviewer)
    key = sha256(whole.encode()).hexdigest()[:32]
    if _recorded(issue, effect) == key:
        return None
    text, lines = verdict_text.at_lines(issue.ref, said)
    return ShowVerdict(
        cause=judged.id,
        about=issue.ref,
        key=key,
        after=issue.last(effect),
        reviewer=said.reviewer,
        pull_request=said.pull_request,
        head=said.head_sha,
        ours=ours,
        text=text,
        lines=lines,
        whole=whole,
    )


def _status(issue: Issue, standing: Standing) -> SetStatus | None:
    shown = issue.pull_request
    if shown is None or not (shown.open or issue.merged):
        return None
    report, words = status_text.report(standing)
    key = f"{shown.head} {report} {words}"
    if _recorded(issue, STATUS) == key:
        return None
    return SetStatus(issue.cause, issue.ref, key, issue.last(STATUS), shown.head, report, words, shown.url)


def _label(issue: Issue, standing: Standing) -> SetLabel | None:
    wanted, recorded = status_text.label(standing), _recorded(issue, LABEL)
    key = wanted or NOBODY
    if recorded == key or (recorded is None and wanted is None):
        return None
    return SetLabel(issue.cause, issue.ref, key, issue.last(LABEL), wanted)


def _comment(issue: Issue, standing: Standing) -> Comment | None:
    text, recorded = status_text.comment(issue, standing), _recorded(issue, COMMENT)
    key = sha256(text.encode()).hexdigest()[:32]
    if recorded == key or (recorded is None and standing.state is IssueState.WITHDRAWN):
        return None
    return Comment(issue.cause, issue.ref, key, issue.last(COMMENT), text)


def _assign(issue: Issue, standing: Standing, configured: RepositoryConfigured) -> Assign | None:
    login, recorded = _asked(issue, standing, configured), _recorded(issue, ASSIGNEE)
    key = login or NOBODY
    if recorded == key or (recorded is None and login is None):
        return None
    before = recorded if recorded not in (None, NOBODY) else None
    return Assign(issue.cause, issue.ref, key, issue.last(ASSIGNEE), login, before)


def _asked(issue: Issue, standing: Standing, configured: RepositoryConfigured) -> str | None:
    """Who is to do something now: whom the rig's word names, or the repository, or else who wanted this done."""
    if status_text.label(standing) is not Label.NEEDS_YOU:
        return None
    escalated, approved = issue.latest.get(IssueEscalated), issue.latest.get(IssueApproved)
    names = [
        escalated.to if isinstance(escalated, IssueEscalated) and standing.state is IssueState.ESCALATED else "",
        *(standing.house.approvers if standing.state is IssueState.GATED else ()),
        configured.escalate or "",
        approved.author if isinstance(approved, IssueApproved) else "",
    ]
    return next((login for name in names if name != "people" and (login := login_of(name.removeprefix("@")))), None)


def _branches(issue: Issue) -> DeleteBranches | None:
    if issue.merged is None or issue.reverted or _recorded(issue, BRANCHES) == issue.merged:
        return None
    shown = issue.pull_request
    branches = (*sorted(issue.branches), *((shown.branch,) if shown is not None and not shown.open else ()))
    heads = frozenset(issue.heads)
    return DeleteBranches(issue.cause, issue.ref, issue.merged, issue.last(BRANCHES), branches, heads)
