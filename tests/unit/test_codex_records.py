"""What Codex says of itself, as recorded from version 0.169: what is read from it, and what is made of it."""

import json
from typing import Any

import pytest

from agents.coders.clocks import Stopped
from agents.coders.codex import judged
from agents.coders.codex_records import CodexRecords, Tokens, spent
from agents.coders.driver import Result, Usage
from agents.coders.program import CountedOut, Ended
from schemas import FailureKind
from tests.unit.test_claude_records import TASK

EXITED = Ended(exit_code=1, stopped=None, output=b"")
STARTED = {"type": "thread.started", "thread_id": "01a20b3f-1f02-7592-872f-07f3eb3d819c"}
SAID = {"type": "item.completed", "item": {"id": "item_2", "type": "agent_message", "text": "Done."}}
TOKENS = {"input_tokens": 100, "cached_input_tokens": 30, "cache_write_input_tokens": 20, "output_tokens": 7}
FINISHED = {"type": "turn.completed", "usage": {**TOKENS, "reasoning_output_tokens": 0}}
URL = "http://127.0.0.1:4188/v1/responses"


def read(*records: dict[str, Any], turns_max: int = 10) -> CodexRecords:
    reading = CodexRecords(turns_max, "m-1")
    for record in records:
        reading.line(json.dumps(record).encode())
    return reading


def command(number: int, exit_code: int = 0) -> dict[str, Any]:
    item = {"type": "command_execution", "command": f"make {number}", "aggregated_output": f"{number}"}
    return {"type": "item.completed", "item": {**item, "exit_code": exit_code, "status": "completed"}}


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        (f"unexpected status 401 Unauthorized: Incorrect API key provided, url: {URL}", FailureKind.AUTH),
        ("exceeded retry limit, last status: 429 Too Many Requests", FailureKind.RATE_LIMITED),
        ("Quota exceeded. Check your plan and billing details.", FailureKind.QUOTA),
        ("You’ve hit your usage limit. Upgrade to Pro or try again at 6:00 AM.", FailureKind.QUOTA),
        ("Selected model is at capacity. Please try a different model.", FailureKind.OVERLOADED),
        ("stream disconnected before completion: Connection refused (os error 111)", FailureKind.OVERLOADED),
        ("Something else went wrong.", FailureKind.BUG),
    ],
)
def test_each_sentence_of_a_failed_turn_has_a_kind(sentence: str, kind: FailureKind) -> None:
    result = judged(read(STARTED, {"type": "turn.failed", "error": {"message": sentence}}), EXITED, TASK)
    assert (result.failure, result.detail) == (kind, f"codex: {sentence}")


def test_a_models_words_decide_nothing() -> None:
    said = {"type": "item.completed", "item": {"type": "agent_message", "text": "Quota exceeded. 401"}}
    assert judged(read(STARTED, said, FINISHED), EXITED, TASK).failure is None


def test_a_finished_turn_counts_whatever_the_exit_says() -> None:
    assert judged(read(STARTED, command(1), SAID, FINISHED), EXITED, TASK) == Result(
        usage=Usage(model="m-1", input=50, output=7, cache_read=30, cache_write=20, cost_usd=None),
        session=STARTED["thread_id"],
        turns=1,
        text="Done.",
        detail="codex ended with exit code 1, after it had finished",
    )


def test_who_never_says_how_he_ended_has_failed() -> None:
    assert judged(read(STARTED), EXITED, TASK).failure is FailureKind.BUG
    assert judged(read(), EXITED, TASK).failure is FailureKind.SPAWN


def test_who_waits_for_the_network_until_his_time_is_up_had_no_network() -> None:
    waiting = {"type": "error", "message": "Reconnecting... waiting for network (Connection failed)"}
    stopped = Ended(exit_code=None, stopped=Stopped.OVERTIME, output=b"")
    assert judged(read(STARTED, waiting), stopped, TASK).failure is FailureKind.OVERLOADED
    assert judged(read(STARTED, waiting, command(1)), stopped, TASK).failure is FailureKind.TIMED_OUT


def test_turns_are_counted_here() -> None:
    with pytest.raises(CountedOut, match="it used its 3 turns") as raised:
        read(STARTED, *(command(number) for number in range(5)), turns_max=3)
    assert raised.value.kind is FailureKind.MAX_TURNS


def test_the_same_error_again_and_again_is_enough() -> None:
    with pytest.raises(CountedOut, match="the same error 3 times"):
        read(STARTED, *(command(7, exit_code=2) for _ in range(5)))


def test_files_that_it_says_it_changed_are_known() -> None:
    change = {"type": "file_change", "changes": [{"path": "/etc/x", "kind": "add"}], "status": "completed"}
    assert read(STARTED, {"type": "item.completed", "item": change}).written == {"/etc/x"}


def test_what_a_conversation_had_used_before_is_no_part_of_a_run() -> None:
    usage = {"input_tokens": 90, "cached_input_tokens": 40, "output_tokens": 8}
    before = Tokens(input_tokens=60, cached_input_tokens=30, output_tokens=5)
    records = CodexRecords(10, "m", before)
    records.line(json.dumps({"type": "turn.completed", "usage": usage}).encode())
    assert records.usage == Usage(model="m", input=20, output=3, cache_read=10)


def test_where_it_is_kept_a_conversation_says_what_it_has_used() -> None:
    def counted(info: object) -> str:
        return json.dumps({"type": "event_msg", "payload": {"type": "token_count", "info": info}})

    used = [{"total_token_usage": {"input_tokens": number, "output_tokens": 1}} for number in (10, 25)]
    said = json.dumps({"type": "response_item", "payload": {"text": '"token_count"'}})
    rollout = "\n".join((counted(used[0]), counted(used[1]), counted(None), said, '{"token_count"'))
    assert spent(rollout.encode()) == Tokens(input_tokens=25, output_tokens=1)
    assert spent(b"\xff\n[]") == Tokens()
