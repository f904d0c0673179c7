"""Workflow runs: on the base branch they say whether it is well; on a pull request's head they are checks like others.

Only failure, time-out and a failed start are red. A run that was cancelled or skipped says nothing, and neither does
one that somebody's comment, or a fork's branch of the same name, set off.
"""

from typing import Final

from msgspec import Struct, field

from bridges.github import ids, payloads
from bridges.github.heard import Heard, Repository, same
from bridges.github.said import Translation
from bridges.github.translate.checks import looked_at
from bridges.github.translate.reading import NOT_SERVED, commit, decoded, line, once, served, skip, url, utc
from schemas import MainChecksFailed, MainChecksPassed, RunConclusion

_OF_THE_BRANCH: Final = ("push", "schedule", "workflow_dispatch", "repository_dispatch")


class _Number(Struct, frozen=True):
    number: payloads.Number


class _Run(payloads.WorkflowRun, frozen=True, kw_only=True):
    pull_requests: list[_Number | None] = field(default_factory=list[_Number | None])


class Payload(Struct, frozen=True):
    """The event `workflow_run`."""

    action: str
    workflow_run: _Run
    repository: payloads.Repository


def translate(body: bytes, heard: Heard) -> Translation:
    """The event `workflow_run`."""
    payload = decoded(body, Payload)
    home, run = served(heard, payload.repository), payload.workflow_run
    if home is None:
        return skip(f"{payload.repository.full_name}: {NOT_SERVED}")
    if payload.action != "completed":
        return skip(f"a run that is {payload.action} says nothing yet")
    if not _is_of_base(home, run):
        return looked_at(home, run.head_sha, [one.number for one in run.pull_requests if one is not None])
    return _of_base(home, run, heard)


def _is_of_base(home: Repository, run: payloads.WorkflowRun) -> bool:
    here = run.head_repository is None or same(run.head_repository.full_name, str(home.ref))
    return here and run.event in _OF_THE_BRANCH and run.head_branch is not None and run.head_branch == home.base_branch


def _of_base(home: Repository, run: payloads.WorkflowRun, heard: Heard) -> Translation:
    sha, at, workflow = commit(run.head_sha), utc(run.updated_at), line(run.name, "workflow")
    try:
        conclusion = RunConclusion(run.conclusion or "")
    except ValueError:
        return skip(f"a run that ended as {run.conclusion}")
    if sha is None or not (conclusion.red or conclusion is RunConclusion.SUCCESS):
        return skip(f"a run that is {conclusion} says nothing about the branch")
    last = home.workflows.get(workflow)
    if last is not None and at < last.at:
        return skip(f"{workflow} ended later than that, at {last.at.isoformat()}")
    kind = MainChecksFailed if conclusion.red else MainChecksPassed
    data = kind(
        sha=sha,
        workflow=workflow,
        run=f"{run.id}.{run.run_attempt}",
        conclusion=conclusion,
        previous_conclusion=None if last is None else last.conclusion,
        url=url(run.html_url),
    )
    told = once(heard, home.ref, data, ids.of_repository(home.ref, "workflow_run", run.id, run.run_attempt), at)
    return Translation(said=told, skipped=None if told else "said before")
