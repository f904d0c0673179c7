"""GitHub's own links between issues: one that blocks another comes first, as a `Depends on` line says it."""

from msgspec import Struct

from bridges.github import ids, payloads
from bridges.github.heard import Heard
from bridges.github.said import Seen, Translation
from bridges.github.translate import words
from bridges.github.translate.reading import NOT_SERVED, decoded, digest, numbered, once, served, skip, stamp, utc
from schemas import BadReference, IssueRef, IssueRevised, RepoRef


class Payload(Struct, frozen=True):
    """The event `issue_dependencies`. It comes for both ends: `blocked_by_…` to one, `blocking_…` to the other."""

    action: str
    repository: payloads.Repository
    blocked_issue: payloads.Issue
    blocking_issue: payloads.Issue
    blocking_issue_repo: payloads.Repository | None = None


def translate(body: bytes, heard: Heard) -> Translation:
    """The event `issue_dependencies`."""
    payload = decoded(body, Payload)
    home = served(heard, payload.repository)
    if home is None:
        return skip(f"{payload.repository.full_name}: {NOT_SERVED}")
    if payload.action not in ("blocked_by_added", "blocked_by_removed"):
        return skip(f"{payload.action}: told of by the issue that is blocked")
    ref = numbered(home.ref, payload.blocked_issue.number)
    blocking = _blocking(payload, home.ref)
    if blocking is None or blocking == ref:
        return skip("what blocks it cannot be named")
    # Its own time: a link does not make an issue newer.
    at = utc(max(payload.blocked_issue.updated_at, payload.blocking_issue.updated_at))
    what, added = f"link {blocking}", payload.action == "blocked_by_added"
    newest, known = heard.newest(ref, what), heard.issue(ref)
    if newest is not None and at < newest:
        return skip(f"the link was heard of as it was later, at {newest.isoformat()}")
    seen = (Seen(ref, what, at),)
    if known is None or not known.asked or known.told is None:
        return Translation(skipped="the issue is not approved; once it is, its links are asked for", seen=seen)
    told = known.told
    written = set(words.dependencies(told.body, ref))
    now = {*told.depends_on, blocking} if added else set(told.depends_on) - ({blocking} - written)
    depends_on = tuple(sorted(now)[: words.REFERENCES_MAX])
    if depends_on == told.depends_on:
        return Translation(skipped="said before", seen=seen)
    data = IssueRevised(depends_on=depends_on)
    id_ = ids.of_issue(home.ref, ref.number, "link", stamp(at), digest(data))
    return Translation(said=once(heard, ref, data, id_, at), seen=seen)


def _blocking(payload: Payload, repository: RepoRef) -> IssueRef | None:
    where = payload.blocking_issue_repo
    try:
        home = repository if where is None else RepoRef.parse(where.full_name)
    except BadReference:
        return None
    if str(home).lower() == str(repository).lower():
        home = repository
    return numbered(home, payload.blocking_issue.number)
