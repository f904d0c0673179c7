"""The verdict over the checks of one head."""

from typing import Any

import pytest

from bridges.github.judge import Failed, Incomplete, Passed, judge
from bridges.github.payloads import CheckOutput, CheckRun, Status
from schemas import Conclusion, FailedCheck
from tests.support.github_payloads import START, sha


def run(name: str, conclusion: str | None = "success", id: int = 1, **fields: Any) -> CheckRun:  # noqa: A002
    status = "in_progress" if conclusion is None else "completed"
    return CheckRun(id=id, name=name, head_sha=sha("head"), status=status, conclusion=conclusion, **fields)


def status(context: str, state: str, **fields: Any) -> Status:
    return Status(context=context, state=state, updated_at=START, **fields)


def failed(name: str, conclusion: Conclusion = Conclusion.FAILURE) -> Failed:
    return Failed((FailedCheck(name=name, conclusion=conclusion),))


@pytest.mark.parametrize("conclusion", ["success", "neutral", "skipped"])
def test_what_lets_a_merge_pass(conclusion: str) -> None:
    assert judge([run("build", conclusion)], [], ()) == Passed(("build",))


@pytest.mark.parametrize(
    ("conclusion", "told"),
    [
        ("failure", Conclusion.FAILURE),
        ("timed_out", Conclusion.TIMED_OUT),
        ("startup_failure", Conclusion.STARTUP_FAILURE),
    ],
)
def test_what_is_red(conclusion: str, told: Conclusion) -> None:
    assert judge([run("build", conclusion), run("lint")], [], ()) == failed("build", told)


@pytest.mark.parametrize("conclusion", ["cancelled", "stale", "action_required", "", "something new"])
def test_what_says_nothing_is_waited_for(conclusion: str) -> None:
    assert judge([run("build", conclusion), run("lint")], [], ()) == Incomplete(("build",))
    assert judge([run("build", conclusion), run("lint", "failure")], [], ()) == failed("lint")


def test_while_one_is_under_way_there_is_no_verdict() -> None:
    checks = [run("build", None), run("lint", "failure")]
    assert judge(checks, [], ()) == Incomplete(("build",))
    assert judge([], [status("ci", "pending")], ()) == Incomplete(("ci",))


def test_the_newest_run_of_a_name_counts() -> None:
    assert judge([run("build", "success", 9), run("build", "failure", 8)], [], ()) == Passed(("build",))
    assert judge([run("build", "success", 8), run("build", None, 9)], [], ()) == Incomplete(("build",))
    assert judge([run("build", "cancelled", 8), run("build", "success", 9)], [], ()) == Passed(("build",))


def test_of_statuses_the_newest_counts() -> None:
    older = Status(context="ci", state="failure", updated_at=START)
    newer = Status(context="ci", state="success", updated_at=START.replace(second=5))
    assert judge([], [older, newer], ()) == judge([], [newer, older], ()) == Passed(("ci",))
    assert judge([], [status("ci", "error")], ()) == failed("ci")


def test_where_checks_are_required_they_alone_count_and_all_of_them() -> None:
    checks = [run("build"), run("flaky", "failure"), run("slow", None)]
    assert judge(checks, [], ("build",)) == Passed(("build",))
    assert judge(checks, [], ("build", "deploy")) == Incomplete(("deploy",))
    assert judge(checks, [status("deploy", "success")], ("build", "deploy")) == Passed(("build", "deploy"))
    assert judge([run("build", "failure")], [], ("build", "deploy")) == failed("build")


def test_a_check_and_a_status_of_one_name_must_both_pass() -> None:
    assert judge([run("ci")], [status("ci", "failure")], ("ci",)) == failed("ci")


def test_the_rigs_own_check_says_nothing() -> None:
    assert judge([run("rig", None), run("build")], [status("rig", "pending")], ()) == Passed(("build",))
    assert judge([], [], ()) == Passed(())


def test_the_rigs_own_check_is_not_waited_for_where_it_is_required() -> None:
    assert judge([run("rig", None), run("build")], [], ("build", "rig")) == Passed(("build",))
    assert judge([run("build", "failure")], [], ("rig",)) == failed("build")


def test_the_end_of_what_a_check_told_comes_with_it() -> None:
    output = CheckOutput("2 of 9 failed", "x" * 9_000 + "\x1b[31m\nassert 3 == 4")
    verdict = judge([run("build", "failure", output=output, html_url="https://ci.example/1")], [], ())
    assert isinstance(verdict, Failed)
    (check,) = verdict.failed
    assert check.url == "https://ci.example/1"
    assert len(check.excerpt) == 8_000
    assert check.excerpt.endswith("[31m\nassert 3 == 4")
    assert check.excerpt.startswith("[cut] …x")
