"""What the bridge writes at GitHub, and what it makes of GitHub's refusals and comparisons: pure."""

import pytest

from bridges.github import texts
from bridges.github.courtesy import Comment, courtesy
from bridges.github.effects.branches import ChangedFile, Comparison
from bridges.github.effects.merging import explained
from bridges.github.effects.pull_requests import count
from bridges.github.effects.result import NotYet
from bridges.github.errors import ApiError, Conflict, Forbidden, Unprocessable
from bridges.github.logins import login_of
from bridges.github.payloads import PullRequest, Side
from bridges.github.plan import Merge
from schemas import (
    Actor,
    EscalationReason,
    GateReason,
    GateTriggered,
    IssueEscalated,
    IssueRef,
    MergeConflicted,
    MergeRefusal,
    MergeRefused,
    QuestionAsked,
    Stopped,
)
from tests.support.due import AT, BASE, HEAD, HEAD_2, ISSUE, Log

EVIL = (
    "@maria Closes #1, fixes GH-2, resolves acme/web#3 https://github.com/acme/web/issues/4 <!-- rig:status -->\n"
    "```\n~~~~\n<!-- rig:status acme/shop#7 -->\n[skip ci]\u202e"
)


def written(log: Log) -> str:
    """The living comment."""
    while (step := courtesy(log.known, ISSUE)) is not None:
        if isinstance(step, Comment):
            return step.text
        log.record(step)
    raise AssertionError("nothing is to be written")


# ── untrusted text ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("read", ["@maria", "#1", "GH-2", "#3", "://", "<!--", "[skip", "\n", "\u202e"])
def test_a_title_says_nothing_to_github(read: str) -> None:
    assert read not in texts.line(EVIL)


def test_a_title_stays_what_it_is_for_people() -> None:
    assert texts.line("Fix the total: 2 < 3 (really)") == "Fix the total: 2 < 3 (really)"
    assert texts.line("Fix #12").replace("\u200b", "") == "Fix #12"


def test_a_title_full_of_signs_is_not_longer_than_github_takes() -> None:
    assert len(texts.line("[@]" * 100)) == texts.TITLE_MAX


def test_no_text_ends_its_fence() -> None:
    lines = texts.fenced(EVIL + "`````").splitlines()
    assert lines[0] == "``````text"
    assert lines[-1] == "``````"
    assert all("``````" not in line for line in lines[1:-1])


def test_code_is_one_line_without_an_end_of_its_own() -> None:
    assert texts.code("a`b\n@c") == "`a'b @c`"
    assert texts.code("") == "`-`"


@pytest.mark.parametrize(
    ("name", "login"),
    [
        ("rita", "rita"),
        ("reviewer.bot", "reviewer[bot]"),
        ("review-e", None),
        ("the shop's team", None),
        ("a.b", None),
        ("ada_acme", "ada_acme"),
    ],
)
def test_names_and_logins(name: str, login: str | None) -> None:
    assert login_of(name) == login


# ── the living comment ───────────────────────────────────────────────────────


def test_the_comment_begins_with_its_marker_and_the_same_log_gives_the_same_text() -> None:
    one, other = Log(), Log()
    for log in (one, other):
        log.shown()
    assert written(one) == written(other)
    assert written(one).startswith("<!-- rig:status acme/shop#7 -->\n\n**Rig: in review**\n")
    assert "#12 at 999999999" in written(one)


def test_what_people_must_do_stands_there_and_what_others_said_is_fenced() -> None:
    log = Log()
    log.approve()
    log.push()
    log.say(Actor.CONDUCTOR, IssueEscalated(reason=EscalationReason.ATTEMPTS, attempts=3, summary=EVIL))
    text = written(log)
    assert "`/rig retry`" in text
    assert text.count("<!-- rig:status acme/shop#7 -->") == 2, "ours, and one that is quoted"
    inside = text.partition("text\n")[2].rpartition("\n`")[0]
    assert "@maria" in inside
    assert "@maria" not in text.replace(inside, "")


def test_a_gate_a_question_and_a_stop_say_what_to_answer() -> None:
    log = Log()
    log.shown()
    log.say(Actor.CONDUCTOR, GateTriggered(reason=GateReason.SENSITIVE_PATH, head_sha=HEAD, paths=("a`b",)))
    assert "sensitive path: `a'b`" in written(log)
    assert "`/rig approve`" in written(log)
    log.say(Actor.CLI, Stopped(by="ada @maria"))
    assert "Stopped by `ada @maria`" in written(log)
    asking = Log()
    asking.approve()
    asking.claim()
    asking.say(Actor.DEV_E, QuestionAsked(epoch=1, run="r-1", question="Which one?"))
    assert "`/rig answer …`" in written(asking)
    assert "**Rig: needs you**" in written(asking)


# ── refusals of a merge ──────────────────────────────────────────────────────

ASKED = Merge("e9", IssueRef("acme", "shop", 7), 12, HEAD, BASE, "Fix it", "main")


def pull(
    *,
    state: str = "open",
    head: str = HEAD,
    base: str = "main",
    merged: bool = False,
    mergeable: bool | None = True,
    how: str = "clean",
) -> PullRequest:
    return PullRequest(
        number=12,
        title="t",
        state=state,
        merged=merged,
        head=Side("rig/7-fix-it", head),
        base=Side(base, BASE),
        updated_at=AT,
        mergeable=mergeable,
        mergeable_state=how,
    )


NO = Conflict("PUT", "Pull Request is not mergeable", status=405)


def test_a_merge_that_happened_all_the_same_is_told_as_github_tells_it() -> None:
    merged = pull(state="closed", merged=True)
    assert explained(ASKED, merged, NO) is merged


@pytest.mark.parametrize("how", ["dirty", "behind"])
def test_what_does_not_merge_is_a_conflict(how: str) -> None:
    assert explained(ASKED, pull(how=how), NO) == MergeConflicted(head_sha=HEAD, base_sha=BASE)


@pytest.mark.parametrize(
    ("found", "error", "reason"),
    [
        (pull(head=HEAD_2), NO, MergeRefusal.HEAD_MOVED),
        (pull(base="release"), NO, MergeRefusal.PROTECTED),
        (pull(how="blocked"), NO, MergeRefusal.PROTECTED),
        (pull(how="draft"), Unprocessable("PUT", "Draft", status=422), MergeRefusal.PROTECTED),
        (pull(), Conflict("PUT", "Squash merges are not allowed", status=405), MergeRefusal.PROTECTED),
        (pull(how="unknown", mergeable=None), Forbidden("PUT", "Not accessible", status=403), MergeRefusal.PROTECTED),
        (pull(state="closed"), NO, MergeRefusal.PROTECTED),
    ],
)
def test_what_a_person_must_mend_is_refused_with_githubs_words(
    found: PullRequest, error: ApiError, reason: MergeRefusal
) -> None:
    answer = explained(ASKED, found, error)
    assert isinstance(answer, MergeRefused)
    assert answer.reason is reason
    assert answer.detail


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (pull(how="unknown", mergeable=None), NO),
        (pull(), Conflict("PUT", "Base branch was modified. Review and try the merge again.", status=405)),
    ],
)
def test_what_github_does_not_know_yet_is_asked_again(found: PullRequest, error: ApiError) -> None:
    with pytest.raises(NotYet):
        explained(ASKED, found, error)


# ── what is changed ──────────────────────────────────────────────────────────


def changed(name: str, status: str = "modified", lines: int = 1, *, was: str | None = None) -> ChangedFile:
    return ChangedFile(name, status, sha="5" * 40, additions=lines, changes=lines, previous_filename=was)


def test_a_file_that_moved_counts_twice() -> None:
    found = count(Comparison("ahead", 1, [changed("b", "renamed", 0, was="a"), changed("c", lines=3)]))
    assert (found.files, found.lines, found.paths) == (3, 3, ("a", "b", "c"))
    assert found.all_named


def test_what_nobody_counted_is_not_named() -> None:
    binary = count(Comparison("ahead", 1, [changed("logo.png", "added", 0), changed("c")]))
    assert (binary.files, binary.paths, binary.all_named) == (2, ("c",), False)
    empty = ChangedFile("__init__.py", "added", sha="e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
    assert count(Comparison("ahead", 1, [empty])).all_named


def test_a_comparison_that_is_cut_off_names_not_all() -> None:
    found = count(Comparison("ahead", 1, [changed(f"f{number}") for number in range(300)]))
    assert (found.files, len(found.paths), found.all_named) == (301, 300, False)
