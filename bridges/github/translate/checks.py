"""Check runs, check suites and statuses: each tells of one check, so whoever does effects looks at all."""

from msgspec import Struct, field

from bridges.github import payloads
from bridges.github.heard import Heard, Repository
from bridges.github.said import Look, Translation
from bridges.github.translate.reading import NOT_SERVED, decoded, served, skip

OURS = "rig"
"""What the rig's own check run, or status, is called."""


class _Number(Struct, frozen=True):
    number: payloads.Number


class _Check(Struct, frozen=True):
    head_sha: str
    name: str | None = None
    status: str | None = None
    pull_requests: list[_Number] = field(default_factory=list[_Number])
    """Empty for a fork's."""


class CheckRunPayload(Struct, frozen=True):
    """The event `check_run`."""

    check_run: _Check
    repository: payloads.Repository


class CheckSuitePayload(Struct, frozen=True):
    """The event `check_suite`."""

    check_suite: _Check
    repository: payloads.Repository


class StatusPayload(Struct, frozen=True, kw_only=True):
    """The event `status`."""

    sha: str
    context: str
    state: str = ""
    repository: payloads.Repository


def translate_check_run(body: bytes, heard: Heard) -> Translation:
    """The event `check_run`."""
    payload = decoded(body, CheckRunPayload)
    return _of(payload.repository, payload.check_run, heard)


def translate_check_suite(body: bytes, heard: Heard) -> Translation:
    """The event `check_suite`."""
    payload = decoded(body, CheckSuitePayload)
    return _of(payload.repository, payload.check_suite, heard)


def translate_status(body: bytes, heard: Heard) -> Translation:
    """The event `status`."""
    payload = decoded(body, StatusPayload)
    status = "pending" if payload.state == "pending" else "completed"
    return _of(payload.repository, _Check(head_sha=payload.sha, name=payload.context, status=status), heard)


def _of(named: payloads.Repository, check: _Check, heard: Heard) -> Translation:
    home = served(heard, named)
    if home is None:
        return skip(f"{named.full_name}: {NOT_SERVED}")
    if check.name == OURS:
        return skip("the rig's own check")
    if check.status not in (None, "completed"):
        return skip(f"a check that is {check.status}: its end will be told")
    return looked_at(home, check.head_sha, [one.number for one in check.pull_requests])


def looked_at(home: Repository, head: str, pulls: list[int]) -> Translation:
    """Look at the issue whose head this is."""
    found = [ref for ref in (home.heads.get(head), *(home.pulls.get(number) for number in pulls)) if ref is not None]
    if not found:
        return skip(f"of {head[:9]}, which is no head of an issue's")
    return Translation(looks=tuple(Look(ref) for ref in dict.fromkeys(found)))
