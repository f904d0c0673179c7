"""Where a request of a review stands in the log, and how often a model is asked about it."""

from datetime import UTC, datetime, timedelta

import pytest

from agents.llm.messages import ErrorKind, ModelError, TaskKind
from agents.review_e.answer import Unusable, Verdict
from agents.review_e.judge import judge
from agents.review_e.prompt import Matter
from agents.review_e.request import Request, Standing, asked
from schemas import (
    MAY_SAY,
    Actor,
    Draft,
    Event,
    IssueRef,
    IssueWithdrawn,
    Merged,
    PullRequestClosed,
    PullRequestOpened,
    PullRequestUpdated,
    Recorded,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    ReviewRequested,
    ReviewWanted,
    Stopped,
    TokensUsed,
    Withdrawal,
    WorkStarted,
    envelope,
)
from tests.support.saying import assigned, pushed, started
from tests.support.talking import ScriptedModel
from tests.unit.test_review_answers import CHANGE, FINDING, answer

ISSUE = IssueRef("demo", "shop", 1)
HEAD, NEWER = "a" * 40, "c" * 40
AT = datetime(2030, 1, 1, tzinfo=UTC)
ASKED = ReviewRequested(epoch=1, pull_request=1, head_sha=HEAD, reviewer="review-e", iteration=1)
WORK = (assigned(), started(), pushed())
OPENED = PullRequestOpened(pull_request=1, url="", branch="rig/1", head_sha=HEAD, author="rig")
MATTER = Matter(about="demo/shop#1", title="Fix it")


def recorded(*events: Event, late: timedelta = timedelta(0)) -> list[Recorded]:
    """As the log holds them, a second apart; the last one's source is so much behind."""
    found: list[Recorded] = []
    for position, data in enumerate(events, 1):
        time = AT + timedelta(seconds=position) - (late if position == len(events) else timedelta(0))
        actor = next(actor for actor in Actor if type(data) in MAY_SAY[actor])
        event = envelope(Draft(about=ISSUE, data=data), id=f"e-{position}", actor=actor, source=actor.value, time=time)
        found.append(Recorded(position, time, event))
    return found


def standing(*after: Event, request: Event = ASKED, late: timedelta = timedelta(0)) -> Standing:
    """Of a request that came after the work and its pull request, and before these."""
    events = recorded(*WORK, OPENED, request, *after, late=late)
    found = asked(events[len(WORK) + 1])
    assert isinstance(found, Request)
    return Standing.of(found, events)


def updated(head: str = NEWER, number: int = 1) -> PullRequestUpdated:
    return PullRequestUpdated(pull_request=number, branch="rig/1", head_sha=head)


WANTED = ReviewWanted(pull_request=1, head_sha=HEAD, reviewer="review-e", author="eve", title="Mine")
PASSED = ReviewPassed(pull_request=1, head_sha=HEAD, reviewer="review-e")


@pytest.mark.parametrize(
    ("after", "over"),
    [
        ((), None),
        ((updated(),), "the pull request is at another commit"),
        ((updated(HEAD),), None),
        ((updated(number=2),), None),
        ((assigned(2), started(2, "r-2"), pushed(2, "r-2", NEWER)), "the work went on"),
        ((assigned(2), started(2, "r-2")), None),
        ((pushed(1, "r-9", NEWER),), None),
        ((PullRequestClosed(pull_request=1),), "the pull request was closed"),
        ((PullRequestClosed(pull_request=2),), None),
        ((Merged(head_sha=HEAD, base_sha=HEAD, merge_sha=HEAD),), "merged"),
        ((IssueWithdrawn(reason=Withdrawal.CLOSED, by="ann"),), "withdrawn"),
        ((Stopped(by="ann"),), "stopped"),
        ((PASSED,), "it is answered"),
        ((ReviewDisputed(pull_request=1, head_sha=HEAD, reviewer="review-e", summary="No."),), "it is answered"),
        ((ReviewAbstained(pull_request=1, head_sha=HEAD, reviewer="review-e"),), None),
        ((ReviewPassed(pull_request=1, head_sha=HEAD, reviewer="ada"),), None),
        ((ReviewPassed(pull_request=1, head_sha=NEWER, reviewer="review-e"),), None),
    ],
)
def test_a_request_is_over_once_its_head_is_not_what_is_shown_or_it_is_answered(
    after: tuple[Event, ...], over: str | None
) -> None:
    assert standing(*after).over == over


def test_what_is_told_late_of_an_earlier_head_ends_nothing() -> None:
    assert standing(updated(), late=timedelta(hours=1)).over is None


def test_a_pull_request_of_peoples_that_moves_is_asked_about_anew() -> None:
    newer = ReviewWanted(pull_request=1, head_sha=NEWER, reviewer="review-e", author="eve", title="Mine")
    assert standing(newer, request=WANTED).over == "the pull request is at another commit"


@pytest.mark.parametrize(
    ("names", "models", "own"),
    [
        (("review-e", "review-e-1"), (), None),
        (("dev-e-1",), (), "dev-e-1 has worked on it"),
        ((), ("claude/*",), "it was written by claude/opus, whose work is not to be reviewed here"),
        ((), ("*/opus",), "it was written by claude/opus, whose work is not to be reviewed here"),
        ((), ("claude/sonnet", "codex/*"), None),
    ],
)
def test_whose_work_it_is_is_read_from_the_runs_and_the_models_of_the_one_that_pushed_it(
    names: tuple[str, ...], models: tuple[str, ...], own: str | None
) -> None:
    used = TokensUsed(epoch=1, run="r-1", provider="claude", model="opus")
    other = WorkStarted(
        epoch=2, run="r-2", agent="dev-e-2", branch="rig/1/2-r-2", session="s", provider="codex", model="x"
    )
    assert standing(used, assigned(2), other).own_work(names, models) == own


def test_people_do_not_review_their_own_either() -> None:
    assert standing(request=WANTED).own_work(("eve",), ()) == "eve is the author"


def test_other_events_ask_for_nothing() -> None:
    assert asked(recorded(OPENED)[0]) is None


def test_what_was_disputed_before_is_kept_in_order() -> None:
    first, second = (
        ReviewDisputed(pull_request=1, head_sha=head * 40, reviewer="review-e", summary=head) for head in "de"
    )
    other = ReviewDisputed(pull_request=1, head_sha="f" * 40, reviewer="ada", summary="f")
    assert standing(first, other, second).disputed == [first, second]


# ── asking a model ───────────────────────────────────────────────────────────


def error(kind: ErrorKind, wait: timedelta | None = None) -> ModelError:
    return ModelError(kind, "no", retry_at=None if wait is None else datetime.now(UTC) + wait)


PASS, BUSY = answer("pass"), error(ErrorKind.OVERLOADED)


@pytest.mark.parametrize(
    ("script", "asked_times"),
    [
        ([PASS], 1),
        ([BUSY, error(ErrorKind.RATE_LIMITED), PASS], 3),
        (["LGTM", PASS], 2),
        ([BUSY, "LGTM", BUSY, error(ErrorKind.NETWORK), PASS], 5),
        ([error(ErrorKind.NETWORK, timedelta(seconds=-9)), PASS], 2),
    ],
)
async def test_what_may_yet_come_is_asked_for_again(script: list[str | ModelError], asked_times: int) -> None:
    model = ScriptedModel(review=script)
    found = await judge(model, MATTER, CHANGE, pauses=(0, 0))
    assert (found.verdict, len(model.asked)) == (Verdict.PASS, asked_times)
    assert {each.task for each in model.asked} == {TaskKind.REVIEW}


@pytest.mark.parametrize(
    ("script", "raised", "asked_times"),
    [
        ([BUSY, BUSY, BUSY, PASS], ModelError, 3),
        ([error(ErrorKind.OVERLOADED, timedelta(hours=1)), PASS], ModelError, 1),
        *(
            ([error(kind), PASS], ModelError, 1)
            for kind in ErrorKind
            if kind not in (ErrorKind.RATE_LIMITED, ErrorKind.OVERLOADED, ErrorKind.NETWORK)
        ),
        (["LGTM", "It is approved.", PASS], Unusable, 2),
        ([answer("pass", FINDING), answer("pass", FINDING), PASS], Unusable, 2),
        (["LGTM", BUSY, BUSY, BUSY, PASS], ModelError, 4),
    ],
)
async def test_but_not_for_ever(script: list[str | ModelError], raised: type[Exception], asked_times: int) -> None:
    model = ScriptedModel(review=script)
    with pytest.raises(raised):
        await judge(model, MATTER, CHANGE, pauses=(0, 0))
    assert len(model.asked) == asked_times
