"""What the rig's own reviewer says is shown at GitHub, and never heard there as somebody's word: pure."""

import pytest

from bridges.github import verdict_text
from bridges.github.courtesy import ShowVerdict, courtesy
from bridges.github.translate import asks
from bridges.github.translate.commands import commands
from schemas import (
    Actor,
    EffectRecorded,
    IssueWithdrawn,
    PullRequestUpdated,
    ReviewAbstained,
    ReviewDisputed,
    ReviewPassed,
    ReviewWanted,
)
from tests.support.due import HEAD, HEAD_2, ISSUE, MERGED, Log
from tests.support.github_payloads import body, comment, pull, review
from tests.support.translated import desk
from tests.unit.test_github_words import EVIL

PASSED = ReviewPassed(pull_request=12, head_sha=HEAD, reviewer="review-e", summary="It does what it says.")
DISPUTED = ReviewDisputed(
    pull_request=12,
    head_sha=HEAD,
    reviewer="review-e",
    summary="Not yet.",
    comments=("src/total.py:3: off by one\nreally", "There is no test."),
)


def due(log: Log) -> ShowVerdict | None:
    step = courtesy(log.known, ISSUE)
    return step if isinstance(step, ShowVerdict) else None


def surely_due(log: Log) -> ShowVerdict:
    step = due(log)
    assert step is not None
    return step


@pytest.fixture
def log() -> Log:
    log = Log()
    log.shown()
    return log


def test_each_verdict_of_each_reviewer_is_due_until_it_is_recorded(log: Log) -> None:
    cause = log.say(Actor.REVIEW_E, DISPUTED)
    step = surely_due(log)
    assert (step.cause, step.effect, step.pull_request, step.head, step.ours) == (
        cause,
        "verdict review-e",
        12,
        HEAD,
        True,
    )
    log.record(step)
    other = ReviewPassed(pull_request=12, head_sha=HEAD, reviewer="review-f")
    log.say(Actor.REVIEW_E, other)
    step = surely_due(log)
    assert step.effect == "verdict review-f"
    log.record(step)
    assert due(log) is None
    log.say(Actor.GITHUB, PullRequestUpdated(pull_request=12, branch="rig/7-fix-it", head_sha=HEAD_2))
    log.say(Actor.REVIEW_E, ReviewAbstained(pull_request=12, head_sha=HEAD_2, reviewer="review-e", summary="No model."))
    first = surely_due(log)
    log.record(first)
    log.say(Actor.REVIEW_E, ReviewPassed(pull_request=12, head_sha=HEAD_2, reviewer="review-e"))
    second = surely_due(log)
    assert (second.head, second.after != first.after, second.key != first.key) == (HEAD_2, True, True)
    log.say(Actor.GITHUB, EffectRecorded(effect=second.effect, key=second.key, outcome="refused: no"))
    assert due(log) is None


def test_a_review_that_was_given_at_github_is_there_already(log: Log) -> None:
    log.say(Actor.GITHUB, DISPUTED)
    assert due(log) is None


def test_a_verdict_on_another_pull_request_is_not_shown(log: Log) -> None:
    log.say(Actor.REVIEW_E, ReviewPassed(pull_request=13, head_sha=HEAD, reviewer="review-e"))
    assert due(log) is None


def test_what_is_merged_at_once_is_shown_and_what_was_over_long_ago_is_not(log: Log) -> None:
    log.say(Actor.REVIEW_E, PASSED)
    log.say(Actor.GITHUB, MERGED)
    log.done()
    assert "verdict review-e" in log.courtesies()
    log.say(Actor.REVIEW_E, ReviewPassed(pull_request=12, head_sha=HEAD, reviewer="review-f"))
    assert due(log) is None


def test_nothing_is_said_of_what_nobody_wants_any_more(log: Log) -> None:
    log.say(Actor.REVIEW_E, PASSED)
    log.say(Actor.CLI, IssueWithdrawn(by="ada"))
    assert due(log) is None


def test_a_persons_pull_request_shows_its_verdict_too() -> None:
    log = Log()
    log.serve()
    log.say(Actor.GITHUB, ReviewWanted(pull_request=7, head_sha=HEAD, reviewer="review-e", author="olaf", title="Mine"))
    assert due(log) is None
    log.say(Actor.REVIEW_E, ReviewPassed(pull_request=7, head_sha=HEAD, reviewer="review-e"))
    step = surely_due(log)
    assert (step.pull_request, step.ours) == (7, False)
    log.record(step)
    assert courtesy(log.known, ISSUE) is None


# ── the text ─────────────────────────────────────────────────────────────────


def test_findings_stand_at_their_lines_or_in_the_text() -> None:
    text, (line,) = verdict_text.at_lines(ISSUE, DISPUTED)
    assert (line.path, line.line, line.side) == ("src/total.py", 3, "RIGHT")
    assert line.body == "```text\noff by one\nreally\n```"
    assert text.startswith(verdict_text.marker(ISSUE, "review-e", HEAD) + "\n\n**`review-e` wants changes**")
    assert "There is no test." in text
    assert "off by one" not in text
    whole = verdict_text.whole(ISSUE, DISPUTED)
    assert "src/total.py:3: off by one" in whole
    assert "There is no test." in whole
    assert verdict_text.at_lines(ISSUE, PASSED) == (verdict_text.whole(ISSUE, PASSED), ())


@pytest.mark.parametrize("comment", ["a.py:0: x", "a.py:3:", ":3: x", "a\nb.py:3: x", "a.py: x", "a.py:99999999: x"])
def test_what_names_no_line_of_a_file_stands_in_the_text(comment: str) -> None:
    said = ReviewDisputed(pull_request=12, head_sha=HEAD, reviewer="review-e", summary="No.", comments=(comment,))
    assert verdict_text.at_lines(ISSUE, said) == (verdict_text.whole(ISSUE, said), ())


def outside_fences(text: str) -> str:
    """What GitHub reads as Markdown, by CommonMark's rule: a fence ends at one that is as long at least."""
    kept: list[str] = []
    fence = ""
    for line in text.splitlines():
        ticks = line[: len(line) - len(line.lstrip("`"))]
        if fence:
            fence = "" if len(ticks) >= len(fence) and line == ticks else fence
        elif len(ticks) >= 3:
            fence = ticks
        else:
            kept.append(line)
    assert not fence, "a fence is left open"
    return "\n".join(kept)


def test_untrusted_words_are_fenced_and_bounded() -> None:
    evil = f"{EVIL}\n/rig stop\n"
    said = ReviewDisputed(
        pull_request=12,
        head_sha=HEAD,
        reviewer="review-e",
        summary=evil + "x" * 60_000,
        comments=("a.py:1: " + evil, evil, *["`" * 900 + "y" * 5_000] * 100),
    )
    text, (line,) = verdict_text.at_lines(ISSUE, said)
    for each in (text, verdict_text.whole(ISSUE, said), line.body):
        assert len(each) <= 65_536
        read = outside_fences(each)
        for sign in ("@", "Closes", "GH-2", "://", "/rig stop", "[skip"):
            assert sign not in read
        assert commands(each) == []


# ── hearing it again ─────────────────────────────────────────────────────────


def test_what_the_bridge_wrote_itself_is_nobodys_verdict_and_no_command() -> None:
    ours = {"login": "Maria", "type": "User"}  # with a person's token, who is a reviewer here
    text = verdict_text.whole(ISSUE, DISPUTED)
    it = desk(reviewers=("maria",))
    it.heard.self_login = "maria"
    told = review("COMMENTED", pull(), user=ours, text=text)
    assert asks("pull_request_review", told, it.heard) == ()
    assert it.deliver("pull_request_review", told) == []
    assert it.last.skipped == "the rig's own review"
    assert it.deliver("issue_comment", body(comment(f"{text}\n/rig stop", user=ours))) == []
    assert it.last.skipped == "the rig's own comment"
    assert len(it.deliver("pull_request_review", review("COMMENTED", pull(), user=ours, text="I am not sure."))) == 1
