"""Milestones: one that is called otherwise, or is no more, changes its issues, of which GitHub then says nothing."""

from msgspec import Struct

from bridges.github import ids, payloads
from bridges.github.heard import ISSUE, MILESTONE, Heard
from bridges.github.said import Look, Said, Seen, Translation
from bridges.github.translate.reading import NOT_SERVED, decoded, digest, line, numbered, once, served, skip, stamp, utc
from schemas import IssueRevised


class _From(Struct, frozen=True, rename={"was": "from"}):
    was: str


class _Changes(Struct, frozen=True):
    title: _From | None = None


class Payload(Struct, frozen=True):
    """The event `milestone`."""

    action: str
    milestone: payloads.Milestone
    repository: payloads.Repository
    changes: _Changes | None = None


def translate(body: bytes, heard: Heard) -> Translation:
    """The event `milestone`."""
    payload = decoded(body, Payload)
    home, milestone = served(heard, payload.repository), payload.milestone
    if home is None:
        return skip(f"{payload.repository.full_name}: {NOT_SERVED}")
    title: str | None = line(milestone.title, "(no title)")
    match payload.action, payload.changes:
        case "edited", _Changes(title=_From(was=was)):
            before, after = line(was, "(no title)"), title
        case "deleted", _:
            before, after = title, None
        case _:
            return skip(f"a milestone that is {payload.action} changes no issue")
    if milestone.updated_at is None:
        return skip("a milestone without a time")
    at, data = utc(milestone.updated_at), IssueRevised(milestone=after)
    number = numbered(home.ref, milestone.number)
    changed = heard.newest(number, MILESTONE)
    seen, told, looks = (Seen(number, MILESTONE, at),), list[Said](), list[Look]()
    for issue in home.issues.values():
        if not issue.asked or issue.told is None or issue.told.milestone != before:
            continue
        newest = heard.newest(issue.ref, ISSUE)
        if at < issue.milestone_at or (newest is not None and at < newest):
            continue
        if changed is not None and at < changed:
            looks.append(Look(issue.ref))  # it is called otherwise by now
        else:
            id_ = ids.of_issue(home.ref, issue.ref.number, "milestone", stamp(at), digest(data))
            told += once(heard, issue.ref, data, id_, at)
    nothing = None if told or looks else "no issue of the rig's is in it"
    return Translation(said=tuple(told), looks=tuple(looks), skipped=nothing, seen=seen)
