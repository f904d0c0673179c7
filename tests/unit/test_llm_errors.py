"""What an endpoint's refusal means, as the providers of this world say it; and anything at all."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.llm.errors import Failure, classify, retry_at
from agents.llm.messages import ErrorKind

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)

SAID = [
    (401, {"message": "Incorrect API key provided", "code": "invalid_api_key"}, ErrorKind.AUTH),
    (401, "Unauthorized", ErrorKind.AUTH),
    (403, {"message": "Your account does not have access to model x", "type": "permission_error"}, ErrorKind.AUTH),
    (403, {"message": "Input was flagged: requires moderation", "code": 403}, ErrorKind.REFUSED),
    (400, {"message": "API key not valid. Please pass a valid API key.", "code": 400}, ErrorKind.AUTH),
    (402, {"message": "This request requires more credits", "code": 402}, ErrorKind.QUOTA),
    (429, {"message": "You exceeded your current quota", "type": "insufficient_quota"}, ErrorKind.QUOTA),
    (429, {"message": "You have reached your weekly limit"}, ErrorKind.QUOTA),
    (
        400,
        {"message": "Your credit balance is too low to access the API", "type": "invalid_request_error"},
        ErrorKind.QUOTA,
    ),
    (429, {"message": "Rate limit reached; see billing", "code": "rate_limit_exceeded"}, ErrorKind.RATE_LIMITED),
    (429, "slow down", ErrorKind.RATE_LIMITED),
    (400, {"message": "This model's maximum context length is 8192 tokens"}, ErrorKind.TOO_LONG),
    (400, {"message": "prompt is too long: 210000 tokens > 200000 maximum"}, ErrorKind.TOO_LONG),
    (400, {"message": "x", "code": "context_length_exceeded"}, ErrorKind.TOO_LONG),
    (413, {"type": "request_too_large", "message": "x"}, ErrorKind.TOO_LONG),
    (400, {"message": "The response was filtered", "code": "content_filter"}, ErrorKind.REFUSED),
    (400, {"message": "Your request was rejected by our safety system"}, ErrorKind.REFUSED),
    (500, {"message": "The server had an error", "type": "server_error"}, ErrorKind.OVERLOADED),
    (529, {"message": "Overloaded", "type": "overloaded_error"}, ErrorKind.OVERLOADED),
    (504, "<html>gateway time-out</html>", ErrorKind.OVERLOADED),
    (200, {"message": "upstream is busy", "code": 503}, ErrorKind.OVERLOADED),
    (200, {"message": "limited", "code": 429}, ErrorKind.RATE_LIMITED),
    (200, {"message": "what", "code": "strange"}, ErrorKind.OVERLOADED),
    (200, {"message": "no status of HTTP", "code": 7}, ErrorKind.OVERLOADED),
    (400, {"message": "later", "type": "overloaded_error"}, ErrorKind.OVERLOADED),
    (408, "", ErrorKind.NETWORK),
    (404, {"message": "The model x does not exist", "code": "model_not_found"}, ErrorKind.INVALID),
    (400, {"message": "messages: field required"}, ErrorKind.INVALID),
    (302, "", ErrorKind.INVALID),
    (501, "", ErrorKind.INVALID),
]


@pytest.mark.parametrize(("status", "error", "kind"), SAID)
def test_each_has_its_kind(status: int, error: object, kind: ErrorKind) -> None:
    body = error if isinstance(error, str) else json.dumps({"error": error})
    failure = classify(status, {}, body.encode(), NOW)

    assert failure.kind is kind
    assert failure.of_provider == (status == 401)
    assert failure.unknown is None


@pytest.mark.parametrize(
    ("status", "body", "detail"),
    [
        (200, {"error": {"message": "busy", "code": 503}}, "HTTP 503: busy"),
        (200, {"error": {"message": "odd", "code": 600}}, "HTTP 500: odd"),
        (200, {"error": {"message": "odd", "code": 399}}, "HTTP 500: odd"),
        (200, {"error": {"message": "odd", "code": "strange"}}, "HTTP 500: odd"),
        (404, {"message": "no such  model"}, "HTTP 404: no such model"),
        (404, {"detail": "Not found"}, 'HTTP 404: "Not found"'),
        (404, {}, "HTTP 404: no reason given"),
    ],
)
def test_what_it_says_is_told_with_its_status(status: int, body: object, detail: str) -> None:
    failure = classify(status, {}, json.dumps(body).encode(), NOW)
    assert failure.detail == detail
    assert not failure.used, "nothing is known to have been done"


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        ({"message": "x", "code": "unsupported_parameter", "param": "max_tokens"}, "max_tokens"),
        ({"message": "x", "code": "unsupported_value", "param": "temperature"}, "temperature"),
        ({"message": "Unrecognized request argument supplied: stream_options"}, "stream_options"),
        ({"message": "response_format.json_schema is not supported by this model"}, "response_format"),
        ({"message": "x", "code": "unsupported_parameter", "param": "tools"}, None),
        ({"message": "temperature must be below 2", "param": "temperature"}, None),
    ],
)
def test_what_it_does_not_know_can_be_left_out(error: object, unknown: str | None) -> None:
    assert classify(400, {}, json.dumps({"error": error}).encode(), NOW).unknown == unknown


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "nan"}, 0),
        ({"retry-after": "1e99"}, 31 * 86_400),
        ({"retry-after": "Sat, 31 Jan 2026 12:01:00 GMT"}, 60),
        ({"retry-after": "Sat, 31 Jan 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 360),
        ({"x-ratelimit-reset-requests": "20ms"}, 0.02),
        ({"x-ratelimit-reset-tokens": "1d2h3m4.5s"}, 93_784.5),
        ({"x-ratelimit-reset-tokens": "soon"}, None),
    ],
)
def test_when_it_goes_better_is_said_in_several_ways(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_at(headers, NOW) == (None if seconds is None else NOW + timedelta(seconds=seconds))


@given(
    st.integers(100, 599),
    st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset-tokens"]), st.text(max_size=30)
    ),
    st.binary(max_size=60) | st.text().map(lambda text: json.dumps({"error": {"message": text}}).encode()),
)
def test_anything_is_a_failure_of_some_kind(status: int, headers: dict[str, str], body: bytes) -> None:
    failure = classify(status, headers, body, NOW)
    assert isinstance(failure, Failure)
    assert "\n" not in failure.detail
    assert len(failure.detail) < 600
