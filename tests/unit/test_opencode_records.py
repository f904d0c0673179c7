"""What OpenCode says of itself, as recorded from version 1.18: what is read from it, and what is made of it."""

import json
from typing import Any

import pytest

from agents.coders.driver import Usage
from agents.coders.opencode import judged
from agents.coders.opencode_records import OpenCodeRecords
from agents.coders.program import CountedOut, Ended
from schemas import FailureKind
from tests.unit.test_claude_records import TASK

SESSION = "ses_df4bc5d77ffeoLgwCIKrap2c3e"
EXITED = Ended(exit_code=0, stopped=None, output=b"")
START = {"type": "step_start", "sessionID": SESSION, "part": {"type": "step-start"}}
TEXT = {"type": "text", "sessionID": SESSION, "part": {"type": "text", "text": "Done."}}


def step(reason: str, cost: float = 0.25) -> dict[str, Any]:
    tokens = {"total": 150, "input": 100, "output": 40, "reasoning": 10, "cache": {"write": 2, "read": 3}}
    part = {"type": "step-finish", "reason": reason, "tokens": tokens, "cost": cost}
    return {"type": "step_finish", "sessionID": SESSION, "part": part}


def call(tool: str, status: str = "completed", **given: str) -> dict[str, Any]:
    state = {"status": status, "input": given, "output": "fine", "error": "rejected" if status == "error" else ""}
    return {"type": "tool_use", "sessionID": SESSION, "part": {"type": "tool", "tool": tool, "state": state}}


def read(*records: dict[str, Any], turns_max: int = 10) -> OpenCodeRecords:
    reading = OpenCodeRecords(turns_max, "p/m")
    for record in records:
        reading.line(json.dumps(record).encode())
    return reading


def test_a_last_step_that_stopped_by_itself_is_a_good_end() -> None:
    result = judged(
        read(START, call("bash", command="make"), step("tool-calls"), START, TEXT, step("stop")), EXITED, TASK
    )
    assert (result.failure, result.text, result.session, result.turns) == (None, "Done.", SESSION, 2)
    assert result.usage == Usage(model="p/m", input=200, output=100, cache_read=6, cache_write=4, cost_usd=0.5)


def test_one_that_was_cut_off_in_the_middle_is_none() -> None:
    assert judged(read(START, step("tool-calls")), EXITED, TASK).failure is FailureKind.BUG
    assert judged(read(START, step("stop"), START), EXITED, TASK).failure is FailureKind.BUG
    assert judged(read(), Ended(exit_code=1, stopped=None, output=b""), TASK).failure is FailureKind.SPAWN


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"name": "APIError", "data": {"message": "invalid x-api-key", "statusCode": 401}}, FailureKind.AUTH),
        ({"name": "ProviderAuthError", "data": {"message": "no key"}}, FailureKind.AUTH),
        ({"name": "APIError", "data": {"message": "slow down", "statusCode": 429}}, FailureKind.RATE_LIMITED),
        ({"name": "APIError", "data": {"message": "overloaded", "statusCode": 529}}, FailureKind.OVERLOADED),
        ({"name": "UnknownError", "data": {"message": "what?"}}, FailureKind.BUG),
    ],
)
def test_each_error_has_a_kind(error: dict[str, Any], kind: FailureKind) -> None:
    result = judged(read(START, {"type": "error", "sessionID": SESSION, "error": error}), EXITED, TASK)
    assert (result.failure, result.detail) == (kind, f"opencode: {error['data']['message']}")


def test_a_model_without_a_price_has_an_unknown_one() -> None:
    assert read(START, step("stop", cost=0.0)).usage.cost_usd is None


def test_turns_are_counted_here() -> None:
    with pytest.raises(CountedOut, match="it used its 2 turns") as raised:
        read(*(record for _ in range(3) for record in (START, step("tool-calls"))), turns_max=2)
    assert raised.value.kind is FailureKind.MAX_TURNS


def test_files_that_it_says_it_changed_are_known() -> None:
    assert read(call("write", filePath="/etc/x"), call("write", "error", filePath="/etc/y")).written == {"/etc/x"}
