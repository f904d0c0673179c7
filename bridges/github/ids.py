"""Ids of what is told on from GitHub: each follows from the fact itself, never from the delivery that brought it.

So whoever says it first, the translator of a webhook, of another one, of the audit, or the effect itself that caused
it, it is one event. What may be said differently of one fact at one time bears a digest of what is said.
"""

from schemas import Actor, RepoRef, event_id


def of_pull_request(repository: RepoRef, number: int, what: str, *which: str | int) -> str:
    """Of a pull request: `merged` by its merge commit, `closed` by when."""
    return event_id(Actor.GITHUB, str(repository), "pull", number, what, *which)


def of_issue(repository: RepoRef, number: int, what: str, *which: str | int) -> str:
    """Of an issue: what it said at a time."""
    return event_id(Actor.GITHUB, str(repository), "issue", number, what, *which)


def of_repository(repository: RepoRef, what: str, *which: str | int) -> str:
    """Of a repository: a run of a workflow, a deployment."""
    return event_id(Actor.GITHUB, str(repository), what, *which)


def tells_of_a_part(id_: str) -> bool:
    """Whether a revision tells of a milestone's name or a link alone, and not of the issue as it stood."""
    return ":milestone:" in id_ or ":link:" in id_
