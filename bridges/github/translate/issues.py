"""Issues: the label `agent-ready` approves one, edits revise it, and closing or unlabelling it withdraws it.

Every delivery carries the whole issue. What differs from what was told of it is said; an issue that is older than the
newest that was heard says nothing. GitHub's clock shows whole seconds: of two deliveries of one second each tells what
it is about and no more, and the API is asked for the rest.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict, replace

from bridges.github import ids, payloads
from bridges.github.heard import BY_THE_API, ISSUE, LONG_AGO, MILESTONE, Heard, Told
from bridges.github.heard import Issue as Known
from bridges.github.said import Answer, BlockedBy, Look, Question, Said, Seen, Translation
from bridges.github.translate import words
from bridges.github.translate.reading import (
    NOT_SERVED,
    decoded,
    digest,
    digest_of,
    line,
    numbered,
    person,
    said,
    served,
    skip,
    stamp,
    text,
    url,
    utc,
)
from schemas import Event, IssueApproved, IssueRef, IssueRevised, IssueWithdrawn, RepoRef, Withdrawal

_TEXTS: Final = ("title", "body", "depends_on")
_LABELS: Final = ("labels", "priority", "requires")
_ABOUT: Final[dict[str, tuple[str, ...]]] = {
    "opened": (*_TEXTS, *_LABELS, "milestone"),
    "edited": _TEXTS,
    "labeled": _LABELS,
    "unlabeled": _LABELS,
    "milestoned": ("milestone",),
    "demilestoned": ("milestone",),
}
"""What of an issue an action is about."""
_ENDS: Final = ("deleted", "transferred")
GONE: Final = 2900
"""The year in which one was heard of last that is no more: nothing is newer."""


class Payload(Struct, frozen=True):
    """The event `issues`."""

    action: str
    issue: payloads.Issue
    repository: payloads.Repository
    label: payloads.Label | None = None
    sender: payloads.User | None = None


def asks(body: bytes, heard: Heard) -> tuple[Question, ...]:
    """An issue that is to be approved may be blocked by others, by GitHub's own links: it does not say by which."""
    payload = decoded(body, Payload)
    home = served(heard, payload.repository)
    return () if home is None else asks_links(numbered(home.ref, payload.issue.number), payload.issue, heard)


def asks_links(ref: IssueRef, issue: payloads.Issue, heard: Heard) -> tuple[Question, ...]:
    """The same, of an issue that any delivery brings."""
    known, links = heard.issue(ref), issue.issue_dependencies_summary
    if links is None or not links.total_blocked_by or not wants(issue) or (known is not None and known.asked):
        return ()
    return (BlockedBy(ref),)


def translate(body: bytes, heard: Heard, answers: Mapping[Question, Answer]) -> Translation:
    """The event `issues`."""
    payload = decoded(body, Payload)
    home = served(heard, payload.repository)
    if home is None:
        return skip(f"{payload.repository.full_name}: {NOT_SERVED}")
    issue, ref = payload.issue, numbered(home.ref, payload.issue.number)
    if issue.pull_request is not None:
        return skip("a pull request, told of by its own event")
    if not issue.state:
        return skip(f"{line(payload.action, 'it', 50)}: it is not told whether the issue is open")
    at, newest, delivery = utc(issue.updated_at), heard.newest(ref, ISSUE), digest_of(body)
    seen = (Seen(ref, ISSUE, at, delivery),)
    late = wanted_then(ref, issue, heard, _linked(ref, answers))
    if late is not None:
        return late
    if newest is not None and at < newest:
        return Translation(skipped=f"the issue was heard of as it was later, at {newest.isoformat()}")
    by, known = person(payload.sender), heard.issue(ref)
    if payload.action in _ENDS:
        gone = Seen(ref, ISSUE, at.replace(year=GONE, month=1, day=1))
        if known is None or not _may_withdraw(known):
            return Translation(skipped=f"{payload.action}, and nobody wanted it", seen=(gone,))
        return Translation(said=(_withdrawn(ref, issue, heard, Withdrawal.CANCELLED, by),), seen=(gone,))
    news = _news(ref, issue, heard, by, _linked(ref, answers))
    by_a_merge = (Look(ref),) if issue.state == "closed" and news and issue.state_reason != "not_planned" else ()
    # Perhaps: one of which nobody has heard yet.
    if by_a_merge and known is not None and known.open:
        return Translation(looks=by_a_merge, seen=seen)
    of_that_second = heard.newest_deliveries(ref, ISSUE) if at == newest else ()
    if delivery in of_that_second[:-1]:
        return Translation(skipped="heard of before another of the same second")
    alone = not of_that_second or of_that_second[-1] == delivery
    told = news if alone else _of_this(news, ref, issue, heard, payload)
    unclear = (Look(ref),) if told != news or (told and not alone) else by_a_merge
    if news and _renamed(ref, issue, heard):
        told, unclear = _without_milestone(told, heard, ref, issue), (Look(ref),)
    nothing = None if told or unclear else f"{payload.action}: nothing that the rig has not heard"
    return Translation(said=told, looks=unclear, skipped=nothing, seen=seen)


def wanted_then(
    ref: IssueRef, issue: payloads.Issue, heard: Heard, links: tuple[IssueRef, ...] = ()
) -> Translation | None:
    """What there is to say of an issue that was wanted, as this tells, and of which only something later was heard.

    It was approved, so it is told so: what depends on it waits for its end. How it stands now the API tells.
    """
    known, newest = heard.issue(ref), heard.newest(ref, ISSUE)
    if newest is None or utc(issue.updated_at) >= newest or newest.year >= GONE or not wants(issue):
        return None
    if known is not None and known.approval is not None:
        return None
    approved = _say(heard, ref, _approved(ref, issue, known, links), issue, "approved")
    return Translation(said=(approved,), looks=(Look(ref),))


def _linked(ref: IssueRef, answers: Mapping[Question, Answer]) -> tuple[IssueRef, ...]:
    linked = answers.get(BlockedBy(ref), ())
    linked = (linked,) if isinstance(linked, str) else linked
    return tuple(one for word in linked for one in words.references(word, ref.repository))


def of_comment(
    ref: IssueRef, issue: payloads.Issue, heard: Heard, answers: Mapping[Question, Answer]
) -> Translation | None:
    """What there is to say of an issue that was wanted when it was commented on, of which nobody has heard yet."""
    known = heard.issue(ref)
    if not wants(issue) or (known is not None and known.approval is not None):
        return None
    links = _linked(ref, answers)
    late = wanted_then(ref, issue, heard, links)
    if late is not None:
        return late
    approved = _say(heard, ref, _approved(ref, issue, known, links), issue, "approved")
    return Translation(said=(approved,), seen=(Seen(ref, ISSUE, utc(issue.updated_at)),))


def _renamed(ref: IssueRef, issue: payloads.Issue, heard: Heard) -> bool:
    """Whether its milestone may be called otherwise by now: GitHub says nothing of its issues then."""
    if issue.milestone is None:
        return False
    changed = heard.newest(numbered(ref.repository, issue.milestone.number), MILESTONE)
    return changed is not None and utc(issue.updated_at) < changed


def _without_milestone(told: tuple[Said, ...], heard: Heard, ref: IssueRef, issue: payloads.Issue) -> tuple[Said, ...]:
    """The milestone as it was told, where that is known: the API has its name."""
    data = told[0].draft.data if told else None
    if not isinstance(data, IssueRevised):
        return told
    rest = replace(data, milestone=UNSET)
    return (_say(heard, ref, rest, issue, "revised"),) if rest != IssueRevised() else ()


def of_issue(repository: RepoRef, issue: payloads.Issue, heard: Heard) -> tuple[Said, ...]:
    """What is to be said of an issue that the API tells of.

    Whoever asks looks at its pull request after that, and tells of the pull request first: an issue that was closed by
    a merge is not withdrawn.
    """
    ref = numbered(repository, issue.number)
    newest = heard.newest(ref, ISSUE)
    if issue.pull_request is not None or (newest is not None and utc(issue.updated_at) < newest):
        return ()
    return _news(ref, issue, heard, "somebody on GitHub", (), now=True)


def look_at_issue(repository: RepoRef, issue: payloads.Issue, heard: Heard) -> Translation:
    """The same, and that it was looked at: what was delivered before and comes late changes nothing then."""
    seen = Seen(numbered(repository, issue.number), ISSUE, utc(issue.updated_at), BY_THE_API)
    return Translation(said=of_issue(repository, issue, heard), seen=() if issue.pull_request is not None else (seen,))


# ── what is new ──────────────────────────────────────────────────────────────


def wants(issue: payloads.Issue) -> bool:
    """Whether it is open and bears the label."""
    labelled = any(words.is_label(label.name, words.READY) for label in issue.labels)
    return issue.pull_request is None and issue.state == "open" and labelled


def _may_withdraw(known: Known) -> bool:
    return (known.wanted or known.asked) and not known.merged and not known.done


def _was_closed_by_its_merge(known: Known, issue: payloads.Issue) -> bool:
    """One that was taken out again: GitHub opens nothing for that, nor for who wants it done anew."""
    steered = known.steered_at if known.merges else LONG_AGO
    return issue.closed_at is not None and utc(issue.closed_at) <= max(known.reverted_at, steered)


def _news(
    ref: IssueRef, issue: payloads.Issue, heard: Heard, by: str, links: tuple[IssueRef, ...], *, now: bool = False
) -> tuple[Said, ...]:
    """What differs from what was told. `now`: so it is, and its milestone is called so."""
    known = heard.issue(ref)
    if issue.state == "closed":
        if known is None or not _may_withdraw(known) or _was_closed_by_its_merge(known, issue):
            return ()
        return (_withdrawn(ref, issue, heard, Withdrawal.CLOSED, by),)
    if not wants(issue):
        if known is None or not known.asked or known.merged or known.done:
            return ()
        return (_withdrawn(ref, issue, heard, Withdrawal.UNLABELLED, by),)
    if known is None or not known.asked or known.told is None:
        return (_say(heard, ref, _approved(ref, issue, known, links), issue, "approved"),)
    return _revisions(heard, ref, known.told, _snapshot(ref, issue, known.told, links), issue, now=now)


def _revisions(
    heard: Heard, ref: IssueRef, told: Told, snapshot: Told, issue: payloads.Issue, *, now: bool = False
) -> tuple[Said, ...]:
    before, known = asdict(told), heard.issue(ref)
    changed: dict[str, object] = {name: value for name, value in asdict(snapshot).items() if value != before[name]}
    renamed = known is not None and snapshot.milestone is not None and utc(issue.updated_at) < known.milestone_at
    if renamed and not now:
        changed.pop("milestone", None)  # it is called otherwise since, or is no more
    return (_say(heard, ref, revised(changed), issue, "revised"),) if changed else ()


def _of_this(
    news: tuple[Said, ...], ref: IssueRef, issue: payloads.Issue, heard: Heard, payload: Payload
) -> tuple[Said, ...]:
    """Of what a delivery says beside another of the same second: only what it is about itself."""
    known = heard.issue(ref)
    if not news or known is None or known.told is None:
        return news
    label, data = payload.label.name if payload.label is not None else "", news[0].draft.data
    unlabelled = payload.action == "unlabeled" and words.is_label(label, words.READY)
    if unlabelled or not (isinstance(data, IssueRevised) or _unlabelled(data)):
        return news
    told, facets = known.told, _ABOUT.get(payload.action, ())
    now = _snapshot(ref, issue, told, ())
    if label and payload.action in ("labeled", "unlabeled"):
        others = {one for one in told.labels if one != label}
        now = _labelled(now, others | {label} if payload.action == "labeled" else others)
    partly = replace(told, **{facet: getattr(now, facet) for facet in facets})
    return _revisions(heard, ref, told, partly, issue)


def _unlabelled(data: Event) -> bool:
    return isinstance(data, IssueWithdrawn) and data.reason is Withdrawal.UNLABELLED


def revised(changed: dict[str, object]) -> IssueRevised:
    """What changed, by name; the rest did not."""
    absent: dict[str, object | UnsetType] = dict.fromkeys(Told.__struct_fields__, UNSET)
    return IssueRevised(**(absent | changed))  # pyright: ignore[reportArgumentType] - named and typed as Told's are


def _snapshot(ref: IssueRef, issue: payloads.Issue, told: Told | None, links: tuple[IssueRef, ...]) -> Told:
    body = text(issue.body)
    depends_on = {*words.dependencies(body, ref), *links, *(_links(ref, told) if told is not None else ())}
    title = issue.milestone.title if issue.milestone is not None else None
    now = Told(
        title=line(issue.title, "(no title)"),
        body=body,
        depends_on=tuple(sorted(depends_on)[: words.REFERENCES_MAX]),
        milestone=None if title is None else line(title, "(no title)"),
    )
    return _labelled(now, {line(label.name, "", 100) for label in issue.labels} - {""})


def _labelled(told: Told, labels: set[str]) -> Told:
    named = words.kept(labels)
    return replace(told, labels=named, priority=words.priority(named), requires=words.requires(named))


def _links(ref: IssueRef, told: Told) -> set[IssueRef]:
    """What was told as coming first, and stood not in the text: GitHub's own links, of which an issue does not tell."""
    return set(told.depends_on) - set(words.dependencies(told.body, ref))


def _approved(ref: IssueRef, issue: payloads.Issue, known: Known | None, links: tuple[IssueRef, ...]) -> IssueApproved:
    now = _snapshot(ref, issue, known.told if known is not None else None, links)
    return IssueApproved(
        title=now.title,
        body=now.body,
        url=url(issue.html_url),
        author=person(issue.user),
        priority=now.priority,
        depends_on=now.depends_on,
        milestone=now.milestone,
        labels=now.labels,
        requires=now.requires,
    )


def _withdrawn(ref: IssueRef, issue: payloads.Issue, heard: Heard, reason: Withdrawal, by: str) -> Said:
    return _say(heard, ref, IssueWithdrawn(reason=reason, by=by), issue, "withdrawn")


def _say(heard: Heard, ref: IssueRef, data: Event, issue: payloads.Issue, what: str) -> Said:
    at = utc(issue.updated_at)
    parts, again = (stamp(at), digest(data)), 0
    id_ = ids.of_issue(ref.repository, ref.number, what, *parts)
    while id_ in heard.said:  # to and fro within one second
        again += 1
        id_ = ids.of_issue(ref.repository, ref.number, what, *parts, again)
    return said(heard, ref, data, id_, at)
