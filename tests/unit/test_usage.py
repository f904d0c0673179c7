"""What a coding CLI says that it used: its own record is read, and nothing that only looks like one."""

import pytest

from agents.coders.driver import Usage
from agents.coders.usage import usage_said

RECORD = (
    b'{"type":"result","subtype":"success","is_error":false,"result":"Done.","session_id":"s-1","total_cost_usd":0.25,'
    b'"usage":{"input_tokens":900,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"output_tokens":80,'
    b'"service_tier":"standard"},"modelUsage":{"small-1":{"inputTokens":1,"costUSD":0.01},"large-1":{"costUSD":0.24}}}'
)
SAID = Usage(model="large-1", input=900, output=80, cache_read=7, cache_write=5, cost_usd=0.25)


def test_the_result_record_says_what_was_used() -> None:
    assert usage_said(RECORD) == SAID
    assert usage_said(b'{"type":"system"}\n{"type":"assistant","usage":{}}\n' + RECORD + b"\nbye\n") == SAID


def test_of_several_the_last_counts() -> None:
    later = RECORD.replace(b"0.25", b"0.5")
    assert usage_said(RECORD + b"\r\n" + later).cost_usd == 0.5


def test_of_a_conversation_that_goes_on_this_run_alone_counts() -> None:
    """The totals of the CLI's record then hold every run before it once more (seen of Claude Code 2.1.330)."""
    own = b'"model_usage_since_last_result":{"large-1":{"inputTokens":40,"outputTokens":2,"costUSD":0.125}}'
    zero = b'"usage":{"input_tokens":0}'
    record = b'{"type":"result",' + zero + b',"total_cost_usd":9,"modelUsage":{"small-1":{"costUSD":9}},' + own + b"}"
    assert usage_said(record) == Usage(model="large-1", input=40, output=2, cost_usd=0.125)
    nothing = record.replace(own, b'"model_usage_since_last_result":{}')
    assert usage_said(nothing) == Usage(cost_usd=0.0)


def test_a_program_of_ones_own_names_its_model_and_need_not_know_the_price() -> None:
    said = usage_said(b'  {"type": "result", "model": "mine", "usage": {"output_tokens": 3}}')
    assert said == Usage(model="mine", output=3, cost_usd=None)


@pytest.mark.parametrize(
    "printed",
    [
        b"",
        b"it cost 3 dollars",
        RECORD[:-1],
        b'"' + RECORD + b'"',
        b'{"type":"result","total_cost_usd":0.1}',
        RECORD.replace(b"0.25", b"-0.25"),
        RECORD.replace(b"0.25", b"1e9"),
        RECORD.replace(b"900", b"-900"),
        RECORD.replace(b"900", b"9" * 18),
        RECORD.replace(b"large-1", b"\xff"),
        RECORD + b"\n" * 60,
        b'{"a":' * 100_000,
    ],
)
def test_of_anything_else_nobody_knows_what_was_used(printed: bytes) -> None:
    assert usage_said(printed) == Usage()
