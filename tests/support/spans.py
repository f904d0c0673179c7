"""Spans as a test sees them: of this process in memory, and of others as a collector receives them over OTLP."""

from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bus.tracing import tracing


class Seen(Struct, frozen=True):
    """One span, in the terms of OTLP."""

    service: str
    trace: str
    id: str
    parent: str | None
    name: str
    kind: str
    began: int
    failed: bool
    attributes: dict[str, object]
    links: tuple[str, ...]
    """Ids of spans."""

    @property
    def context(self) -> str:
        """What stands in a traceparent between its version and its flags."""
        return f"{self.trace}-{self.id}"


class Here:
    """The spans of this process, in the order in which they ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> list[Seen]:
        return [
            Seen(
                service="",
                trace=f"{span.context.trace_id:032x}",
                id=f"{span.context.span_id:016x}",
                parent=None if span.parent is None else f"{span.parent.span_id:016x}",
                name=span.name,
                kind=span.kind.name,
                began=span.start_time or 0,
                failed=not span.status.is_ok,
                attributes=dict(span.attributes or {}),
                links=tuple(f"{link.context.span_id:016x}" for link in span.links),
            )
            for span in self.exporter.get_finished_spans()
        ]

    def one(self, name: str) -> Seen:
        """The only span of that name."""
        [found] = [span for span in self.spans if span.name == name]
        return found


@contextmanager
def traced() -> Generator[Here]:
    """Switches tracing on."""
    here = Here()
    tracing.switch_on(here.provider)
    try:
        yield here
    finally:
        tracing.switch_off()


class Collector:
    """Receives over HTTP what others export."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Seen] = []

    def take(self, body: bytes) -> None:
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {item.key: item.value.string_value for item in of_resource.resource.attributes}
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    self.spans.append(
                        Seen(
                            service=resource["service.name"],
                            trace=span.trace_id.hex(),
                            id=span.span_id.hex(),
                            parent=span.parent_span_id.hex() or None,
                            name=span.name,
                            kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                            began=span.start_time_unix_nano,
                            failed=span.status.code == span.status.STATUS_CODE_ERROR,
                            attributes={
                                item.key: item.value.string_value or item.value.int_value for item in span.attributes
                            },
                            links=tuple(link.span_id.hex() for link in span.links),
                        )
                    )


@contextmanager
def collecting() -> Generator[Collector]:
    """A collector on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield collector
        finally:
            server.shutdown()
            serving.join()
