"""Every event can be said in words, on one line that cannot steer a terminal."""

import inspect

import pytest

from schemas import (
    EVENTS,
    ChecksFailed,
    Conclusion,
    FailedCheck,
    IssueApproved,
    IssueRef,
    IssueRevised,
    Priority,
    Stopped,
    one_line,
    printable,
    sayings,
    summary,
)

SHA = "9c1" + "0" * 37


def test_an_approval_names_the_title_its_author_its_urgency_and_what_comes_first() -> None:
    event = IssueApproved(
        title="Fix total", author="ann", priority=Priority.HIGH, depends_on=(IssueRef("demo", "shop", 3),)
    )
    assert summary(event) == "approved for ann: Fix total (high, after demo/shop#3)"


def test_failed_checks_name_each_check_and_how_it_ended() -> None:
    failed = (
        FailedCheck(name="tests", conclusion=Conclusion.FAILURE),
        FailedCheck(name="lint", conclusion=Conclusion.TIMED_OUT),
    )
    event = ChecksFailed(head_sha=SHA, base_sha="3e0" + "0" * 37, failed=failed)
    assert summary(event) == "checks failed for 9c1000000 on 3e0000000: tests (failure), lint (timed out)"


def test_a_revision_names_only_what_it_changes() -> None:
    assert summary(IssueRevised(body="new", priority=Priority.LOW)) == "revised: body, priority"


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_every_event_has_words_of_its_own(event: type) -> None:
    assert f".{event.__name__}()" in inspect.getsource(sayings)


def test_foreign_text_cannot_steer_the_terminal() -> None:
    hostile = "\x1b[31mred\x1b]0;title\x07 \x9b2J\u202egnp.exe\u2066 zero\u200bwidth\r\nnext\u2028line\x00"
    said = summary(Stopped(by="eve", note=hostile))
    assert said == "stopped by eve: [31mred]0;title 2Jgnp.exe zerowidth next line"
    assert said.isprintable()


def test_printable_text_keeps_its_lines() -> None:
    assert printable("one\r\n\ttwo\x1b[0m\rthree") == "one\n\ttwo[0m\nthree"


def test_a_long_line_is_cut_with_an_ellipsis() -> None:
    assert one_line("word " * 100, 20) == "word word word word…"
    assert len(summary(Stopped(by="ann", note="x" * 60_000))) == 200
