"""The rig's own word on a head: a check run, as an App; a commit status, with a token, which can make no check runs."""

from typing import Final

from bridges.github.api import GitHub, Priority
from bridges.github.courtesy import STATUS, SetStatus
from bridges.github.effects.result import Result, done
from bridges.github.payloads import CheckRun, Status
from bridges.github.status_text import Report
from bridges.github.translate.checks import OURS

_RUNS: Final = "/repos/{owner}/{repo}/check-runs"
_RUN: Final = "/repos/{owner}/{repo}/check-runs/{run}"
_OF_HEAD: Final = "/repos/{owner}/{repo}/commits/{head}/check-runs{?check_name}"
_STATUSES: Final = "/repos/{owner}/{repo}/commits/{head}/statuses"
_SET: Final = "/repos/{owner}/{repo}/statuses/{head}"
_CONCLUSIONS: Final = {Report.SUCCESS: "success", Report.FAILURE: "action_required"}


async def report(github: GitHub, action: SetStatus) -> Result:
    """Looks what is said there, says what differs, and records it."""
    url = await (_check_run(github, action) if github.app else _status(github, action))
    return done(STATUS, action.key, "set", url)


async def _check_run(github: GitHub, action: SetStatus) -> str:
    repository, low = action.about.repository, Priority.LOW
    listed = github.pages(
        _OF_HEAD,
        CheckRun,
        repository=repository,
        priority=low,
        items="check_runs",
        head=action.head,
        check_name=OURS,
    )
    there = [run async for run in listed if run.name == OURS]
    body: dict[str, object] = {"output": {"title": action.words, "summary": f"{action.about}: {action.words}."}}
    if action.report is Report.PENDING:
        body |= {"status": "in_progress"}
    else:
        body |= {"status": "completed", "conclusion": _CONCLUSIONS[action.report]}
    if there:
        newest = max(there, key=lambda run: run.id)
        made = await github.patch(_RUN, body, CheckRun, repository=repository, priority=low, run=newest.id)
    else:
        body |= {"name": OURS, "head_sha": action.head, "external_id": str(action.about)}
        made = await github.post(_RUNS, body, CheckRun, repository=repository, priority=low)
    return made.html_url or ""


async def _status(github: GitHub, action: SetStatus) -> str:
    repository, low = action.about.repository, Priority.LOW
    listed = github.pages(_STATUSES, Status, repository=repository, priority=low, head=action.head)
    async for status in listed:  # the newest first
        if status.context == OURS:
            if (status.state, status.description) == (action.report, action.words):
                return status.target_url or ""
            break
    body = {"state": str(action.report), "context": OURS, "description": action.words, "target_url": action.url}
    made = await github.post(_SET, body, Status, repository=repository, priority=low, head=action.head)
    return made.target_url or ""
