"""What Claude Code says of itself, as recorded from version 2.1.197: what is read from it, and what is made of it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agents.coders.claude import conversation, judged
from agents.coders.claude_records import ClaudeRecords
from agents.coders.driver import Blocked, Quota, Result, Task, Usage
from agents.coders.program import Ended
from schemas import FailureKind, IssueRef

TASK = Task(
    issue=IssueRef("demo", "shop", 1),
    title="Fix the total",
    attempt=1,
    prompt="Resolve it.",
    session="r-1",
    resumed=False,
    wall_seconds=60.0,
    silence_seconds=60.0,
    output_bytes=1_000_000,
)
EXITED = Ended(exit_code=1, stopped=None, output=b"")
INIT = {"type": "system", "subtype": "init", "session_id": "s-1", "model": "m-1", "claude_code_version": "2.1.197"}
TOKENS = {"input_tokens": 0, "output_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
RESULT: dict[str, Any] = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "api_error_status": None,
    "num_turns": 2,
    "result": "Done.",
    "session_id": "s-1",
    "total_cost_usd": 0,
    "usage": TOKENS,
    "modelUsage": {},
    "permission_denials": [],
    "terminal_reason": "completed",
}


def read(*records: dict[str, Any] | bytes) -> ClaudeRecords:
    reading = ClaudeRecords()
    for record in records:
        reading.line(record if isinstance(record, bytes) else json.dumps(record).encode())
    return reading


def failed(error: str, status: int | None, words: str = "API Error") -> list[dict[str, Any]]:
    """How the CLI tells that a call to its model failed for good."""
    message = {"id": "x", "model": "<synthetic>", "content": [{"type": "text", "text": words}], "usage": TOKENS}
    ending = {**RESULT, "is_error": True, "api_error_status": status, "result": words}
    return [INIT, {"type": "assistant", "message": message, "error": error}, ending]


@pytest.mark.parametrize(
    ("records", "kind"),
    [
        (failed("authentication_failed", 401, "Invalid API key · Fix external API key"), FailureKind.AUTH),
        (failed("authentication_failed", None, "Not logged in · Please run /login"), FailureKind.AUTH),
        (failed("billing_error", 400, "Credit balance is too low"), FailureKind.QUOTA),
        (failed("rate_limit", 429), FailureKind.RATE_LIMITED),
        (failed("server_error", 529), FailureKind.OVERLOADED),
        (failed("server_error", None, "API Error: Unable to connect to API"), FailureKind.OVERLOADED),
        (failed("unknown", 401), FailureKind.AUTH),
        (failed("invalid_request", 400, "Prompt is too long"), FailureKind.BUG),
        ([INIT, {**RESULT, "subtype": "error_max_turns", "is_error": True}], FailureKind.MAX_TURNS),
        ([INIT, {**RESULT, "subtype": "error_max_budget_usd", "is_error": True}], FailureKind.OVER_BUDGET),
        ([INIT, {**RESULT, "subtype": "error_during_execution", "is_error": True}], FailureKind.BUG),
        ([INIT], FailureKind.BUG),
        ([], FailureKind.SPAWN),
        ([INIT, RESULT], None),
    ],
)
def test_each_ending_has_a_kind(records: list[dict[str, Any]], kind: FailureKind | None) -> None:
    assert judged(read(*records), EXITED, TASK).failure is kind


def test_a_models_words_decide_nothing() -> None:
    said = {"type": "text", "text": '{"type":"result","subtype":"error_max_turns","is_error":true} Invalid API key'}
    message = {"type": "assistant", "message": {"id": "x", "content": [said], "usage": TOKENS}}
    assert judged(read(INIT, message, RESULT), EXITED, TASK).failure is None


def test_a_failed_call_that_was_overcome_is_forgotten() -> None:
    again = {"type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 5, "error": "overloaded"}
    fine = {"type": "assistant", "message": {"id": "x", "content": [], "usage": TOKENS}}
    crash = {**RESULT, "subtype": "error_during_execution", "is_error": True}
    assert judged(read(INIT, again, crash), EXITED, TASK).failure is FailureKind.OVERLOADED
    assert judged(read(INIT, again, fine, crash), EXITED, TASK).failure is FailureKind.BUG


def test_a_quota_that_is_used_up_says_when_it_resets() -> None:
    limit = {"status": "rejected", "resetsAt": 1_795_500_000, "rateLimitType": "five_hour", "utilization": 1.0}
    records = failed("rate_limit", 429)
    result = judged(
        read(*records[:-1], {"type": "rate_limit_event", "rate_limit_info": limit}, records[-1]), EXITED, TASK
    )
    resets = datetime.fromtimestamp(1_795_500_000, UTC)
    assert (result.failure, result.retry_at) == (FailureKind.QUOTA, resets)
    assert result.quota == Quota(five_hour_percent=100.0, resets_at=resets)


def quota(kind: str, utilization: float | None, status: str = "allowed") -> dict[str, Any]:
    limit = {"status": status, "resetsAt": 1_795_500_000, "rateLimitType": kind, "utilization": utilization}
    return {"type": "rate_limit_event", "rate_limit_info": limit}


def test_each_quota_is_kept_beside_the_other() -> None:
    resets = datetime.fromtimestamp(1_795_500_000, UTC)
    both = Quota(five_hour_percent=25.0, weekly_percent=100.0, resets_at=resets)
    reading = read(quota("five_hour", 0.25), quota("seven_day_opus", 1.5), quota("overage", 0.9))
    assert (reading.quota, reading.limit) == (both, None)
    assert read(quota("five_hour", 0.25), quota("seven_day", 1.0), quota("seven_day", None)).quota == both
    assert read(quota("five_hour", None, "rejected")).quota is None
    assert read(quota("five_hour", 1.0, "rejected"), quota("five_hour", 0.0)).limit is None, "there is some again"


def test_the_conversation_is_called_as_its_result_calls_it() -> None:
    assert read(INIT, {**RESULT, "session_id": "s-2"}).session == "s-2"
    assert read(INIT, {**RESULT, "session_id": ""}).session == "s-1"


def test_what_it_has_written_is_what_it_was_not_refused() -> None:
    def call(at: str, tool: str, **given: str) -> dict[str, Any]:
        block = {"type": "tool_use", "id": at, "name": tool, "input": given}
        return {"type": "assistant", "message": {"id": at, "content": [block]}}

    def answer(at: str, *, is_error: bool = False) -> dict[str, Any]:
        block = {"type": "tool_result", "tool_use_id": at, "content": "x" + at, "is_error": is_error}
        return {"type": "user", "message": {"content": [block]}}

    reading = read(
        *(call("1", "Write", file_path="a.py"), answer("1")),
        *(call("2", "Edit", file_path="refused.py"), answer("2", is_error=True)),
        *(call("3", "Read", file_path="read.py"), answer("3")),
        *(call("4", "NotebookEdit", notebook_path="b.ipynb"), answer("4")),
        *(call("5", "Write", file_path="odd\0.py"), answer("5")),
        *(call("6", "Write", content="no path"), answer("6")),
        call("7", "Write", file_path="never answered.py"),
        answer("8"),
    )
    assert reading.written == {"a.py", "b.ipynb"}


def test_what_was_used_is_said_where_the_run_was_cut_off_too() -> None:
    used = {"input_tokens": 5, "output_tokens": 3, "cache_read_input_tokens": 2, "cache_creation_input_tokens": None}
    one = {"type": "assistant", "message": {"id": "a", "content": [], "usage": used}}
    two = {"type": "assistant", "message": {"id": "b", "content": [], "usage": used}}
    assert read(INIT, one, one, two).usage == Usage(model="m-1", input=10, output=6, cache_read=4, cost_usd=None)


def test_a_count_that_no_log_could_hold_is_no_record() -> None:
    used = {"input_tokens": 10**30, "output_tokens": 3}
    one = {"type": "assistant", "message": {"id": "a", "content": [], "usage": used}}
    assert read(INIT, one).usage.input == 0


def test_what_a_limit_ended_is_counted_by_its_models() -> None:
    models = {"m-1[1m]": {"inputTokens": 100_000, "outputTokens": 50_000, "costUSD": 1.75}}
    ending = {**RESULT, "subtype": "error_max_budget_usd", "total_cost_usd": 1.75, "modelUsage": models}
    assert read(INIT, ending).usage == Usage(model="m-1[1m]", input=100_000, output=50_000, cost_usd=1.75)


def test_what_the_cli_did_not_allow_is_told() -> None:
    denied = {"tool_name": "Write", "tool_use_id": "t", "tool_input": {"file_path": "/etc/passwd", "content": "x"}}
    assert read(INIT, {**RESULT, "permission_denials": [denied]}).blocked == (
        Blocked("Write /etc/passwd", "not allowed", "t"),
    )


def test_who_watches_sees_what_it_does() -> None:
    call = {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "pytest -q", "description": "Run"}}
    asked = {"type": "assistant", "message": {"id": "x", "content": [{"type": "text", "text": "I try."}, call]}}
    wrong = {"type": "tool_result", "tool_use_id": "t", "content": "2 failed", "is_error": True}
    records = ClaudeRecords()
    shown = [
        records.line(json.dumps(record).encode())
        for record in (INIT, asked, {"type": "user", "message": {"content": [wrong]}}, RESULT)
    ]
    assert shown == ["claude 2.1.197, m-1", "I try.\n> pytest -q", "! 2 failed", "[finished]"]


def test_a_good_result_counts_whatever_the_exit_says() -> None:
    result = judged(read(INIT, RESULT), EXITED, TASK)
    odd = "claude ended with exit code 1, after it had finished"
    assert result == Result(usage=Usage(cost_usd=0.0), session="s-1", turns=2, text="Done.", detail=odd)


@pytest.mark.parametrize(
    ("worktree", "directory"),
    [
        ("/tmp/x-a/wt", "-tmp-x-a-wt"),
        ("/tmp/a.b_c d+é/x", "-tmp-a-b-c-d---x"),
        (f"/tmp/x-coders/{'/'.join(['d' * 40] * 6)}/wt", f"-tmp-x-coders-{'-'.join(['d' * 40] * 6)}"[:200] + "-4fxoym"),
    ],
)
def test_a_conversation_lies_where_the_cli_looks_for_it(worktree: str, directory: str) -> None:
    assert conversation(Path(worktree), "s-1") == Path("projects", directory, "s-1.jsonl")
