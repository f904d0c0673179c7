"""Spans of what is said and of what is handled: the one place that knows OpenTelemetry, and of it the API alone.

Who exports, deploy/telemetry.py says. Until `tracing.switch_on` nothing is imported, no span is made, and a hook costs
one look at `tracing.on`; an event still carries on the trace of its cause (see causes.py).

    send        one event is published: PRODUCER, within the span that is current, else in the trace of its cause
    create      one event of a batch: PRODUCER, each in the trace of its own cause; the batch is one `send`, with links
    receive     CLIENT: from when a message came to this process until a handler gets it
    process     CONSUMER: its handling, with the event as parent, so that what is said within carries the trace on

Names, kinds and attributes: OpenTelemetry's semantic conventions for messaging. Bodies, and the words of errors, which
may quote them, never become attributes.
"""

from asyncio import CancelledError
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from msgspec import structs

from bus.causes import Cause, destination, trace_of
from schemas import Envelope, is_id

if TYPE_CHECKING:  # and imported late everywhere: it takes as long as the rest of the bus
    from opentelemetry.context import Context
    from opentelemetry.trace import Span as ApiSpan
    from opentelemetry.trace import SpanKind, Tracer, TracerProvider

_LOG: Final = "RIG"
"""Where a batch goes, whose events have no destination in common."""


class Span:
    """A span that is not over."""

    __slots__ = ("_span",)

    def __init__(self, span: "ApiSpan") -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def note(self, name: str, value: str | int) -> None:
        """Sets an attribute."""
        self._span.set_attribute(name, value)

    def fail(self, kind: str) -> None:
        """Something went wrong: of which kind, and never in which words."""
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))


class Sending:
    """Events on their way, each with the traceparent of its span."""

    def __init__(self, events: Iterable[Envelope], spans: Sequence[Span]) -> None:
        self._spans = spans
        self.events = [
            structs.replace(event, traceparent=span.traceparent) for event, span in zip(events, spans, strict=True)
        ]

    def encoded(self, bodies: Iterable[bytes]) -> None:
        """What they have become."""
        for span, body in zip(self._spans, bodies, strict=True):
            span.note("messaging.message.body.size", len(body))


class Tracing:
    """The spans of this process. There is one: `tracing`."""

    __slots__ = ("_tracer", "on")

    def __init__(self) -> None:
        self.on = False
        self._tracer: Tracer | None = None

    def switch_on(self, provider: "TracerProvider") -> None:
        """From now on there are spans, and they go there."""
        self._tracer = provider.get_tracer("rig.bus")
        self.on = True

    def switch_off(self) -> None:
        """No spans any more, but those that are not over."""
        self.on = False

    @contextmanager
    def sending(self, event: Envelope) -> Generator[Sending]:
        """One event is published."""
        from opentelemetry.trace import SpanKind, get_current_span

        inside = get_current_span().get_span_context().is_valid
        parent = None if inside else _within(trace_of(event))
        with self._span("send", destination(type(event.data)), SpanKind.PRODUCER, parent, _of(event)) as span:
            yield Sending([event], [Span(span)])

    @contextmanager
    def sending_batch(self, events: Sequence[Envelope]) -> Generator[Sending]:
        """Events are appended as one. What has no cause, like a round's Decided, is in the trace of the batch itself.

        Their spans last as long as the batch: one that does not land must not look as if it had.
        """
        from opentelemetry.trace import SpanKind, set_span_in_context

        with self._span("send", _LOG, SpanKind.CLIENT, None, {"messaging.batch.message_count": len(events)}) as batch:
            spans: list[ApiSpan] = []
            try:
                for event in events:
                    alone = event.causationid is None
                    parent = set_span_in_context(batch) if alone else _within(trace_of(event))
                    spans.append(
                        self._start("create", destination(type(event.data)), SpanKind.PRODUCER, parent, _of(event))
                    )
                    batch.add_link(spans[-1].get_span_context())
                yield Sending(events, [Span(span) for span in spans])
            except (CancelledError, Exception) as error:
                for span in spans:
                    _went_wrong(span, error)
                raise
            finally:
                for span in spans:
                    span.end()

    @contextmanager
    def processing(self, event: Envelope, *, group: str, size: int, attempt: int, heard: int) -> Generator[Span]:
        """A handler has an event of the durable `group`, which came at `heard` (ns; 0: it has been here before)."""
        from opentelemetry.trace import SpanKind

        where, parent = destination(type(event.data)), _within(trace_of(event))
        attributes = {
            **_of(event),
            "messaging.consumer.group.name": group,
            "messaging.message.body.size": size,
            "rig.attempt": attempt,
        }
        if heard:
            self._start("receive", where, SpanKind.CLIENT, parent, attributes, start=heard).end()
        with self._span("process", where, SpanKind.CONSUMER, parent, attributes) as span:
            yield Span(span)

    @contextmanager
    def answering(self, cause: Cause, action: str) -> Generator[None]:
        """Something is done because of an event that was read in the log."""
        if not self.on:
            yield
            return
        from opentelemetry.trace import SpanKind

        attributes: dict[str, str | int] = {"messaging.message.id": cause.id, "rig.action": action}
        parent = _within(cause.traceparent)
        with self._span("process", cause.destination or _LOG, SpanKind.CONSUMER, parent, attributes):
            yield

    @contextmanager
    def step(self, name: str) -> Generator[None]:
        """A part of what is being handled, by a name of which there are few."""
        if not self.on:
            yield
            return
        with _current(self._active().start_span(name)):
            yield

    @contextmanager
    def calling(self, name: str, attributes: Mapping[str, str | int]) -> Generator[Span | None]:
        """Somebody outside is asked, and answers: CLIENT. None while there are no spans."""
        if not self.on:
            yield None
            return
        from opentelemetry.trace import SpanKind

        with _current(self._active().start_span(name, kind=SpanKind.CLIENT, attributes=attributes)) as span:
            yield Span(span)

    @contextmanager
    def _span(
        self,
        operation: str,
        where: str,
        kind: "SpanKind",
        parent: "Context | None",
        attributes: dict[str, str | int],
    ) -> "Generator[ApiSpan]":
        with _current(self._start(operation, where, kind, parent, attributes)) as span:
            yield span

    def _start(
        self,
        operation: str,
        where: str,
        kind: "SpanKind",
        parent: "Context | None",
        attributes: dict[str, str | int],
        *,
        start: int | None = None,
    ) -> "ApiSpan":
        said = {
            "messaging.system": "nats",
            "messaging.destination.name": where,
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            **attributes,
        }
        return self._active().start_span(f"{operation} {where}", parent, kind, said, start_time=start)

    def _active(self) -> "Tracer":
        if self._tracer is None:
            raise RuntimeError("there are no spans before `switch_on`")
        return self._tracer


tracing: Final = Tracing()


@contextmanager
def _current(span: "ApiSpan") -> "Generator[ApiSpan]":
    """Makes it the current one, and ends it; marks what goes wrong meanwhile."""
    from opentelemetry.trace import use_span

    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except (CancelledError, Exception) as error:
            _went_wrong(span, error)
            raise


def _went_wrong(span: "ApiSpan", error: CancelledError | Exception) -> None:
    if isinstance(error, CancelledError):
        span.set_attribute("rig.outcome", "cancelled")
    else:
        Span(span).fail(type(error).__name__)


def _within(traceparent: str | None) -> "Context":
    """That trace, from elsewhere; None: a new one."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    if traceparent is None:
        return Context()
    _, trace, span, flags = traceparent.split("-")
    context = SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(context), Context())


def _of(event: Envelope) -> dict[str, str | int]:
    """What a span says of an event. A foreign writer may have put anything where the id of another event belongs."""
    said: dict[str, str | int] = {"messaging.message.id": event.id, "rig.subject": event.on}
    others = {"messaging.message.conversation_id": event.correlationid, "rig.cause": event.causationid}
    return said | {name: other for name, other in others.items() if other is not None and is_id(other)}
