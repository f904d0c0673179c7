"""Reviews: verdicts of whom the repository names as its reviewer, about exactly the commit that was reviewed.

GitHub's state of a review is the verdict, never its words. An approval that is dismissed is disputed: nothing less
makes it stop counting. A dispute that is dismissed stands as an abstention: somebody else has to look.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, TypedDict

from msgspec import Struct

from bridges.github import ids, payloads
from bridges.github.heard import Heard, Repository, same
from bridges.github.said import Answer, Question, ReviewComments, Translation
from bridges.github.translate.reading import (
    NOT_SERVED,
    commit,
    decoded,
    is_ours,
    name,
    numbered,
    once,
    served,
    skip,
    text,
    utc,
)
from schemas import IssueEvent, RepoRef, ReviewAbstained, ReviewDisputed, ReviewPassed

SUMMARY_MAX: Final = 20_000
COMMENTS_MAX: Final = 50
_COMMENT_MAX: Final = 1_000
_STATES: Final = ("approved", "changes_requested", "commented", "dismissed")


class Payload(Struct, frozen=True):
    """The event `pull_request_review`."""

    action: str
    review: payloads.Review
    pull_request: payloads.PullRequest
    repository: payloads.Repository


class Verdict(TypedDict):
    """What every verdict says."""

    pull_request: int
    head_sha: str
    reviewer: str
    summary: str


def asks(body: bytes, heard: Heard) -> tuple[Question, ...]:
    """What a reviewer who wants changes says of single lines."""
    payload = decoded(body, Payload)
    home, review = served(heard, payload.repository), payload.review
    if (
        home is None
        or review.state.lower() not in ("changes_requested", "commented")
        or _reviewer(home, review) is None
        or is_ours(review.body, review.user, heard)
    ):
        return ()
    if _id(home, payload.pull_request.number, review, review.state.lower()) in heard.said:
        return ()
    return (ReviewComments(home.ref, payload.pull_request.number, review.id),)


def translate(body: bytes, heard: Heard, answers: Mapping[Question, Answer]) -> Translation:
    """The event `pull_request_review`."""
    payload = decoded(body, Payload)
    home = served(heard, payload.repository)
    if home is None:
        return skip(f"{payload.repository.full_name}: {NOT_SERVED}")
    comments = answers.get(ReviewComments(home.ref, payload.pull_request.number, payload.review.id), ())
    comments = (comments,) if isinstance(comments, str) else comments
    return of_review(home.ref, payload.pull_request, payload.review, heard, comments)


def of_review(
    repository: RepoRef,
    pull: payloads.PullRequest,
    review: payloads.Review,
    heard: Heard,
    comments: Sequence[str] = (),
) -> Translation:
    """What is to be said of a review, as a webhook or the API tells of it."""
    home = heard.repository(str(repository))
    if home is None:
        return skip(f"{repository}: {NOT_SERVED}")
    if is_ours(review.body, review.user, heard):
        return skip("the rig's own review")
    state, head = review.state.lower(), commit(review.commit_id)
    reviewer = _reviewer(home, review)
    if reviewer is None:
        login = review.user.login if review.user is not None else "nobody"
        return skip(f"{login} is no reviewer of {home.ref}")
    if state not in _STATES or head is None:
        return skip(f"a review that is {state} of {head or 'no commit'} is no verdict")
    if _id(home, pull.number, review, "dismissed") in heard.said:
        return skip("a review that was dismissed since")
    owner = home.owner_of(pull)
    about = owner.ref if owner is not None else numbered(home.ref, pull.number)
    approved = _id(home, pull.number, review, "approved") in heard.said
    said = Verdict(pull_request=pull.number, head_sha=head, reviewer=reviewer, summary=text(review.body, SUMMARY_MAX))
    data = _verdict(state, said, _bounded(comments), approved=approved)
    told = once(heard, about, data, _id(home, pull.number, review, state), _at(pull, review, state))
    return Translation(said=told, skipped=None if told else "said before")


def _verdict(state: str, said: Verdict, comments: tuple[str, ...], *, approved: bool) -> IssueEvent:
    match state:
        case "approved":
            return ReviewPassed(**said)
        case "dismissed" if approved:
            was = said["summary"]
            said["summary"] = "the approval was dismissed" + (f"; it read: {was}" if was else "")
            return ReviewDisputed(**said)
        case "changes_requested":
            return ReviewDisputed(**said, comments=comments)
        case _:
            return ReviewAbstained(**said, comments=comments)


def _at(pull: payloads.PullRequest, review: payloads.Review, state: str) -> datetime:
    """When it was said. A dismissed review bears the time of what is dismissed: that was later."""
    submitted = review.submitted_at or pull.updated_at
    return utc(max(submitted, pull.updated_at)) if state == "dismissed" else utc(submitted)


def _reviewer(home: Repository, review: payloads.Review) -> str | None:
    """As the repository names them."""
    login = name(review.user)
    if login is None or home.configured is None:
        return None
    return next((one for one in home.configured.reviewers if same(one, login)), None)


def _id(home: Repository, number: int, review: payloads.Review, state: str) -> str:
    return ids.of_pull_request(home.ref, number, "review", review.id, state)


def _bounded(comments: Sequence[str]) -> tuple[str, ...]:
    return tuple(text(comment, _COMMENT_MAX) for comment in comments[:COMMENTS_MAX] if comment.strip())
