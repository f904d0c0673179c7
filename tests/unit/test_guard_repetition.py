"""When an agent goes round in circles, and when it only does something often."""

import pytest

from agents.guard.repetition import Repetition


def said(*calls: tuple[str, str, bool]) -> list[str | None]:
    repetition = Repetition()
    return [repetition.saw(call, result, error=error) for call, result, error in calls]


def test_the_same_call_with_the_same_result_four_times_in_a_row() -> None:
    assert said(*[("ls", "a", False)] * 4) == [None] * 3 + [
        "it made the same call with the same result 4 times in a row"
    ]


@pytest.mark.parametrize("between", [("ls", "b", False), ("pwd", "a", False)])
def test_something_new_between_them_begins_anew(between: tuple[str, str, bool]) -> None:
    assert said(*[("ls", "a", False)] * 3, between, *[("ls", "a", False)] * 3) == [None] * 7


def test_the_same_error_three_times_in_a_row_whatever_was_called() -> None:
    errors = [(f"pytest -k {n}", f"E: line {n}, at 0x{n:x}, took {n}.5 s", True) for n in range(3)]
    assert said(*errors) == [None, None, "it met the same error 3 times in a row"]


def test_different_errors_and_results_that_look_like_errors_are_none() -> None:
    assert said(*[("a", f"no such file: {name}", True) for name in ("x", "y", "z")]) == [None] * 3
    assert said(*[("a", "E: x", False), ("b", "E: x", False), ("c", "E: x", False)]) == [None] * 3


def test_an_error_that_comes_back_after_something_worked_is_no_circle_yet() -> None:
    assert said(("a", "E", True), ("a", "E", True), ("b", "fine", False), ("a", "E", True)) == [None] * 4


def test_two_calls_in_turn_over_six() -> None:
    turns = [("a", "1", False), ("b", "2", True)] * 3
    assert said(*turns) == [None] * 5 + ["it made the same two calls in turn, 3 times each"]
    assert said(*turns[:5], ("b", "3", True)) == [None] * 6


def test_where_call_and_result_meet_makes_a_difference() -> None:
    assert said(("ab", "c", False), ("a", "bc", False), ("ab", "c", False), ("a", "bc", False)) == [None] * 4


def test_any_text_is_taken() -> None:
    assert said(("\udc80", "\0", True)) == [None]
