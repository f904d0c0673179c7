"""The verdict over all checks of one head: passed, failed, or not there yet. Pure; GitHub's conclusions as GitHub means
them where it decides about a merge.

Success, neutral and skipped let a merge pass. Failure, time-out and a failed start are red. A run that was cancelled,
is stale or waits for a person's action says nothing either way: it has to be run again. Of several runs of one name the
newest counts. While one is under way there is no verdict, so that a failure names everything that is wrong.
"""

from collections.abc import Collection, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from bridges.github.payloads import CheckRun, Status
from bridges.github.translate.checks import OURS
from bridges.github.translate.reading import line, url
from schemas import Conclusion, FailedCheck, printable

EXCERPT_MAX: Final = 8_000
NAMED_MAX: Final = 100
FAILED_MAX: Final = 20
_LETS_PASS: Final = ("success", "neutral", "skipped")
_RED: Final = {
    "failure": Conclusion.FAILURE,
    "error": Conclusion.FAILURE,
    "timed_out": Conclusion.TIMED_OUT,
    "startup_failure": Conclusion.STARTUP_FAILURE,
}
_CUT: Final = "[cut] …"


class Passed(Struct, frozen=True):
    """Nothing stands against it. Empty: there was no check, and none is required."""

    checks: tuple[str, ...]


class Failed(Struct, frozen=True):
    """Every check is over, and these are red."""

    failed: tuple[FailedCheck, ...]


class Incomplete(Struct, frozen=True):
    """No verdict yet: these are under way, or missing, or ended without saying anything."""

    waits_for: tuple[str, ...]


Verdict: TypeAlias = Passed | Failed | Incomplete


class _Check(Struct, frozen=True):
    """A check run or a status, as far as they are alike."""

    name: str
    over: bool
    conclusion: str
    url: str
    excerpt: str


def judge(runs: Sequence[CheckRun], statuses: Sequence[Status], required: Collection[str]) -> Verdict:
    """The verdict. `required` names the checks that count; when it is empty all that there are do.

    The rig's own is none of them, also where it is required: it passes once all others have.
    """
    required = set(required) - {OURS}
    checks = [_of_run(run) for run in _newest_runs(runs)] + [_of_status(status) for status in _newest(statuses)]
    counted = [check for check in checks if check.name != OURS and (not required or check.name in required)]
    under_way = {check.name for check in counted if not check.over}
    if under_way:
        return Incomplete(_named(under_way))
    red = [check for check in counted if check.conclusion in _RED]
    if red:
        return Failed(tuple(_failed(check) for check in red[:FAILED_MAX]))
    unsaid = {check.name for check in counted if check.conclusion not in _LETS_PASS}
    missing = required - {check.name for check in counted}
    if unsaid or missing:
        return Incomplete(_named(unsaid | missing))
    return Passed(_named({check.name for check in counted}))


def _newest_runs(runs: Sequence[CheckRun]) -> list[CheckRun]:
    """Ids grow: a run that was started again is another, with a higher one."""
    newest: dict[str, CheckRun] = {}
    for run in sorted(runs, key=lambda run: run.id):
        newest[run.name] = run
    return list(newest.values())


def _newest(statuses: Sequence[Status]) -> list[Status]:
    """Of one second the first of the list: GitHub lists the newest first."""
    newest: dict[str, Status] = {}
    for status in statuses:
        known = newest.get(status.context)
        if known is None or status.updated_at > known.updated_at:
            newest[status.context] = status
    return list(newest.values())


def _of_run(run: CheckRun) -> _Check:
    output = run.output
    told = "" if output is None else "\n\n".join(part for part in (output.title, output.summary) if part)
    return _Check(run.name, run.status == "completed", run.conclusion or "", url(run.html_url), told)


def _of_status(status: Status) -> _Check:
    return _Check(
        status.context, status.state != "pending", status.state, url(status.target_url), status.description or ""
    )


def _failed(check: _Check) -> FailedCheck:
    told = printable(check.excerpt).strip()
    excerpt = told if len(told) <= EXCERPT_MAX else _CUT + told[-(EXCERPT_MAX - len(_CUT)) :]
    return FailedCheck(
        name=line(check.name, "a check"), conclusion=_RED[check.conclusion], url=check.url, excerpt=excerpt
    )


def _named(names: Collection[str]) -> tuple[str, ...]:
    return tuple(line(name, "a check") for name in sorted(names)[:NAMED_MAX])
