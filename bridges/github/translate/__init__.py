"""What GitHub delivers, as events of the rig: one file for each subject, and here which event goes where. Pure.

A delivery carries how a thing stands; what is said is what the log does not have yet (see heard). So the same delivery
again, an older one, or all of them in another order say nothing that was not so in the end. Nothing but Untranslatable
is raised, whatever the bytes are, and whatever is said can be read again.
"""

from collections.abc import Callable, Mapping
from typing import Final

from bridges.github.heard import Heard
from bridges.github.said import Answer, Question, Translation
from bridges.github.translate import (
    checks,
    comments,
    deployments,
    installations,
    issues,
    links,
    milestones,
    pull_requests,
    pushes,
    reviews,
    workflows,
)
from bridges.github.translate.issues import look_at_issue, of_issue
from bridges.github.translate.pull_requests import of_pull_request
from bridges.github.translate.reading import skip
from bridges.github.translate.reviews import of_review

REVISION: Final = 1
"""Of these rules: what they made of a delivery is noted beside it under this number."""

_ASKING: Final[dict[str, Callable[[bytes, Heard], tuple[Question, ...]]]] = {
    "issues": issues.asks,
    "issue_comment": comments.asks,
    "pull_request_review": reviews.asks,
}
_WITH_ANSWERS: Final[dict[str, Callable[[bytes, Heard, Mapping[Question, Answer]], Translation]]] = {
    "issues": issues.translate,
    "issue_comment": comments.translate,
    "pull_request_review": reviews.translate,
}
_ALONE: Final[dict[str, Callable[[bytes, Heard], Translation]]] = {
    "pull_request": pull_requests.translate,
    "check_run": checks.translate_check_run,
    "check_suite": checks.translate_check_suite,
    "status": checks.translate_status,
    "workflow_run": workflows.translate,
    "push": pushes.translate,
    "deployment_status": deployments.translate,
    "installation": installations.translate_installation,
    "installation_repositories": installations.translate_repositories,
    "repository": installations.translate_repository,
    "milestone": milestones.translate,
    "issue_dependencies": links.translate,
}
EVENTS: Final = tuple(sorted({*_WITH_ANSWERS, *_ALONE}))
"""Whatever GitHub calls what is read here: what a hook must deliver."""


def asks(event: str, body: bytes, heard: Heard) -> tuple[Question, ...]:
    """What has to be known before this is translated. Raises Untranslatable."""
    asking = _ASKING.get(event)
    return () if asking is None else asking(body, heard)


def translate(event: str, body: bytes, heard: Heard, answers: Mapping[Question, Answer]) -> Translation:
    """A delivery: GitHub's name of its event, the payload's bytes, and the answers to what `asks` asked.

    A question without an answer is one that cannot be answered: nobody may command, nothing more is known. Raises
    Untranslatable alone.
    """
    with_answers, alone = _WITH_ANSWERS.get(event), _ALONE.get(event)
    if with_answers is not None:
        return with_answers(body, heard, answers)
    if alone is not None:
        return alone(body, heard)
    return skip("the event means nothing here" if event != "ping" else "GitHub only says that the hook is there")


__all__ = ["EVENTS", "REVISION", "asks", "look_at_issue", "of_issue", "of_pull_request", "of_review", "translate"]
