"""Exporting traces: OpenTelemetry's SDK, set up from its own variables (OTEL_*) and nothing else.

On when OTEL_TRACES_EXPORTER names an exporter (otlp, console), or an endpoint is set (OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT); off under OTEL_SDK_DISABLED=true or OTEL_TRACES_EXPORTER=none. OTLP goes over HTTP.
Samplers, resource attributes, headers, limits and delays the SDK reads by itself. It is imported only when on: that
takes a fifth of a second.

Spans are for looking at. A collector that is away never holds up work: what does not fit the SDK's queue is lost, the
log has a line when exporting begins to fail and one when it works again, and the end waits FLUSH_SECONDS at most.
"""

import logging
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from threading import Thread
from typing import TYPE_CHECKING

from bus.tracing import tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["telemetry"]

FLUSH_SECONDS = 1.0
"""What a process that ends may spend on its last spans: somebody waits for it."""
DISTRIBUTION = "rig-choreography"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")

log = logging.getLogger(__name__)


@contextmanager
def telemetry(service: str, environ: Mapping[str, str]) -> Generator[None]:
    """Exports the spans of this process meanwhile: as `service`, unless the environment calls it otherwise.

    Raises nothing because of the environment: what is wrong there is logged, and then there are no traces.
    """
    names = _exporters(environ)
    finish = _begin(service, names) if names else None
    try:
        yield
    finally:
        if finish is not None:
            tracing.switch_off()
            finishing = Thread(target=finish, daemon=True)
            finishing.start()
            finishing.join(FLUSH_SECONDS)


def _exporters(environ: Mapping[str, str]) -> list[str]:
    """Which exporters are asked for."""

    def first(names: Sequence[str]) -> str:
        return next((value for name in names if (value := environ.get(name, "").strip())), "")

    if first(["OTEL_SDK_DISABLED"]).lower() == "true":
        return []
    asked = first(["OTEL_TRACES_EXPORTER"]) or ("otlp" if first(_ENDPOINTS) else "none")
    names = {name.strip().lower() for name in asked.split(",")} - {"", "none"}
    if unknown := names - {"otlp", "console"}:
        log.warning("OTEL_TRACES_EXPORTER: %s: there are otlp, console and none", ", ".join(sorted(unknown)))
    if "otlp" in names and first(_PROTOCOLS) not in ("", _PROTOCOL):
        log.warning("traces go out by %s, not by %s", _PROTOCOL, first(_PROTOCOLS))
    for variable in _HEADERS:  # the SDK says so too, and the secret with it
        pairs = environ.get(variable, "").split(",")
        if any("=" not in pair for pair in pairs if pair.strip()):
            log.warning("%s: not every part is NAME=VALUE, with commas between", variable)
    return sorted(names - unknown)


def _begin(service: str, exporters: Sequence[str]) -> Callable[[], None] | None:
    """Switches tracing on; what ends it. None when the SDK does not take what it was given."""
    # It speaks of every batch that fails, where `watched` says it once; and of a header that it cannot read, whole.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    try:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider

        named = {"service.name": service, "service.version": version(DISTRIBUTION)}
        resource = Resource.create({**named, **OTELResourceDetector().detect().attributes})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        for name in exporters:
            provider.add_span_processor(_processor(name))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no reason not to work
        log.warning("no traces: %s: %s", type(error).__name__, error)
        return None
    tracing.switch_on(provider)
    return provider.shutdown


def _processor(name: str) -> "SpanProcessor":
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

    if name == "console":
        return SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr))  # standard output is for answers
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return BatchSpanProcessor(_watched(OTLPSpanExporter()))


def _watched(exporter: "SpanExporter") -> "SpanExporter":
    """The exporter; whether it works is said when that changes."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Watched(SpanExporter):
        failing = False

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = exporter.export(spans)
            failing = result is not SpanExportResult.SUCCESS
            if failing and not self.failing:
                log.warning("traces cannot be exported; spans are lost until they can")
            elif self.failing and not failing:
                log.info("traces are exported again")
            self.failing = failing
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    return Watched()
