"""Which trace an event is in, and when and how spans are exported."""

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from msgspec import structs

from bus import Causes, trace_of
from bus.tracing import tracing
from deploy import telemetry as exporting
from deploy.telemetry import telemetry
from schemas import Draft, Envelope, IssueRef
from tests.support.spans import collecting
from tests.unit.test_envelope import APPROVED, ISSUE

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def event(traceparent: str | None, name: str = "1", about: IssueRef = ISSUE) -> Envelope:
    return structs.replace(
        APPROVED, id=name, traceparent=traceparent, on=str(structs.replace(APPROVED.subject, about=about))
    )


# ── whose trace ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "nonsense",
        "x" * 100_000,
        PARENT.upper(),
        f" {PARENT}",
        f"{PARENT}\n",
        f"{PARENT}-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}",
        "00-\u0661" + PARENT[4:],
    ],
)
def test_what_is_no_traceparent_is_none(foreign: str) -> None:
    assert trace_of(event(foreign)) is None
    causes = Causes()
    causes.hear(event(foreign))
    assert causes.followed(Draft(about=ISSUE, data=APPROVED.data, cause="1")).traceparent is None


def test_a_traceparent_of_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    assert trace_of(event(PARENT)) == PARENT
    assert trace_of(event(f"cc-{TRACE}-{SPAN}-01-what-the-future-holds")) == PARENT
    assert trace_of(event(None)) is None


def test_a_draft_is_in_the_trace_of_its_cause_and_else_of_the_last_word_on_the_same() -> None:
    causes = Causes()
    first, last, other = (PARENT.replace("b7", digits) for digits in ("b1", "b2", "b3"))
    causes.hear(event(first, "1"))
    causes.hear(event(last, "2"))
    causes.hear(event(other, "3", IssueRef("acme", "web", 43)))
    draft = Draft(about=ISSUE, data=APPROVED.data)
    assert causes.followed(structs.replace(draft, cause="1")).traceparent == first
    assert causes.followed(structs.replace(draft, cause="3")).traceparent == last
    assert causes.followed(draft).traceparent is None, "without a cause it begins a trace"
    assert causes.find(ISSUE, "1").destination == "rig.issue.approved"
    assert causes.find(IssueRef("acme", "web", 44), "1").traceparent is None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.causes._THINGS", 2)
    monkeypatch.setattr("bus.causes._EVENTS_OF_EACH", 2)
    causes = Causes()
    refs = [IssueRef("acme", "web", number) for number in (1, 2, 3)]
    for ref in refs:
        for name in "abc":
            causes.hear(event(PARENT, name, ref))
    assert [causes.find(ref, "c").traceparent for ref in refs] == [None, PARENT, PARENT]
    assert [causes.find(refs[2], name).destination is not None for name in "abc"] == [False, True, True]


# ── exporting ────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True)
def opentelemetry_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    yield
    logging.getLogger("opentelemetry").setLevel(logging.NOTSET)
    assert not tracing.on


def test_who_does_not_trace_does_not_even_import_it() -> None:
    look = "import sys, deploy.roles, agents.dev_e, conductor.shell, bridges.local.shell, deploy.app"
    told = f"{look}; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_bus_knows_the_api_alone() -> None:
    # import-linter takes the API and the SDK, two distributions of one namespace, for the same thing.
    look = "import sys; from opentelemetry.trace import NoOpTracerProvider; from bus.tracing import tracing"
    use = "tracing.switch_on(NoOpTracerProvider()); tracing.step('code').__enter__()"
    told = f"{look}; {use}; print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "rig"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, False),
        ({"OTEL_SDK_DISABLED": "True", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, False),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "a=b,Authorization: hunter2"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_HEADERS": "a=b,c=d=,"}, True),
    ],
)
def test_the_standard_variables_decide(
    environ: dict[str, str], on: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with telemetry("rig-test", environ):
        assert tracing.on is on
    wrong = any(word in value for value in environ.values() for word in ("zipkin", "-1", "hunter2"))
    assert bool(caplog.records) is wrong, "what cannot be used is named, and nothing fails"
    assert "hunter2" not in caplog.text


def test_spans_reach_the_collector_before_the_end_under_the_name_that_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with telemetry("rig-test", environ), tracing.step("one"):
            pass
        monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
        with telemetry("rig-test", environ), tracing.step("two"):
            pass
    assert [(span.service, span.name) for span in collector.spans] == [("rig-test", "one"), ("mine", "two")]


def test_a_collector_that_is_away_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = f"http://127.0.0.1:{server.getsockname()[1]}"
    for name, value in {
        "OTEL_EXPORTER_OTLP_ENDPOINT": nobody,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(exporting, "FLUSH_SECONDS", 20.0)
    with telemetry("rig-test", {"OTEL_EXPORTER_OTLP_ENDPOINT": nobody}):
        for _ in range(5):
            with tracing.step("lost"):
                pass
    assert [record.getMessage() for record in caplog.records] == [
        "traces cannot be exported; spans are lost until they can"
    ]


def test_a_collector_that_never_answers_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "FLUSH_SECONDS", 0.05)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")  # beyond this test's own limit
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", silent)
        before = set(threading.enumerate())
        with telemetry("rig-test", {"OTEL_EXPORTER_OTLP_ENDPOINT": silent}), tracing.step("never seen"):
            pass
        assert set(threading.enumerate()) - before, "it is being told still"


def test_the_words_of_an_error_stay_out(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(ValueError, match="secret"),
        telemetry("rig-test", {"OTEL_TRACES_EXPORTER": "console"}),
        tracing.step("one"),
    ):
        raise ValueError("the secret is this")
    said = capsys.readouterr()
    assert said.out == "", "standard output is for answers"
    assert '"error.type": "ValueError"' in said.err
    assert "secret" not in said.err
