"""OpenTelemetry traces, by configuration: one span for each request, one for each call upstream.

Imported only where `OTEL_EXPORTER_OTLP_ENDPOINT` is set: elsewhere nothing of it runs and none of
its packages is needed. Flask's own instrumentation makes the requests' spans and honours a caller's
`traceparent`; ours goes to nobody, least of all to a provider. What leaves is an explicit list: no
path, query, header, address, message or text of an error.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Flask, g
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.propagate import set_global_textmap
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from solrouter.blueprints import request_ids
from solrouter.transport import http
from solrouter.transport.errors import TransportError
from solrouter.transport.http import HttpRequest, HttpStream
from solrouter.transport.pool import Pool

# Whoever asks these asks often, and nobody looks at it.
NOT_TRACED = "healthz,readyz,metrics,static/.*"
TOLD = frozenset(
    (
        "exception.type",
        "http.method",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "http.status_code",
        "server.address",
        "server.port",
        "solrouter.request_id",
    )
)
SERVER_FAULT = 500


class _Scrubbing(SpanExporter):
    """Hands on what of each span may be told."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_scrubbed(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _scrubbed(span: ReadableSpan) -> ReadableSpan:
    attributes = _told(span.attributes)
    name = span.name
    if span.kind is SpanKind.SERVER and "http.route" not in attributes:
        # Named by the path, which may hold the token of a mail's link.
        name = str(attributes.get("http.method") or attributes.get("http.request.method") or "HTTP")
    return ReadableSpan(
        name=name,
        context=_bare(span.context),
        parent=_bare(span.parent),
        resource=span.resource,
        attributes=attributes,
        events=[
            Event(event.name, _told(event.attributes), event.timestamp) for event in span.events
        ],
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _bare(context: SpanContext | None) -> SpanContext | None:
    """The ids alone: a trace's state is text that a caller chose."""
    if context is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)


def _told(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (attributes or {}).items() if name in TOLD}


class TracedStream(HttpStream):
    """A request to another server, with a span from its sending to the end of its answer."""

    tracer: Tracer

    def __init__(self, pool: Pool, head: bytes, request: HttpRequest, *, started_s: float) -> None:
        super().__init__(pool, head, request, started_s=started_s)
        attributes: dict[str, Any] = {
            "http.request.method": request.method,
            "server.address": pool._request_host,
            "server.port": pool._request_port,
        }
        self._span: Span | None = self.tracer.start_span(
            request.method, kind=SpanKind.CLIENT, attributes=attributes
        )

    def send(self) -> None:
        try:
            super().send()
        except TransportError as error:
            self._end(error)
            raise

    def wait_for_head(self, quiet_s: float | None = None) -> bool:
        try:
            has_head = super().wait_for_head(quiet_s)
        except TransportError as error:
            self._end(error)
            raise
        if has_head and self._span is not None:
            self._span.set_attribute("http.response.status_code", self.status)
            if self.status >= 400:
                self._span.set_status(StatusCode.ERROR)
        return has_head

    def read_some(self, quiet_s: float | None = None) -> bytes | None:
        try:
            return super().read_some(quiet_s)
        except TransportError as error:
            self._end(error)
            raise

    def close(self) -> None:
        super().close()
        self._end()

    def _let_go(self) -> None:
        super()._let_go()
        self._end()

    def _end(self, error: TransportError | None = None) -> None:
        """Ends the span, once."""
        span, self._span = self._span, None
        if span is None:
            return
        if error is not None:
            span.set_status(StatusCode.ERROR)
            span.add_event("exception", {"exception.type": type(error).__name__})
        span.end()


def init_app(app: Flask) -> None:
    """Traces this app's requests and this process's calls to other servers."""
    settings = app.config
    resource = Resource.create({"service.name": settings["OTEL_SERVICE_NAME"]})
    sampler = ParentBased(TraceIdRatioBased(settings["OTEL_TRACES_SAMPLER_ARG"]))
    provider = TracerProvider(resource=resource, sampler=sampler)
    exporter = OTLPSpanExporter(
        endpoint=f"{settings['OTEL_EXPORTER_OTLP_ENDPOINT']}/v1/traces",
        headers=_headers(settings["OTEL_EXPORTER_OTLP_HEADERS"]),
    )
    provider.add_span_processor(BatchSpanProcessor(_Scrubbing(exporter)))
    # The trace's context and nothing else: baggage is text that a caller chose.
    set_global_textmap(TraceContextTextMapPropagator())
    FlaskInstrumentor.instrument_app(  # type: ignore[no-untyped-call]
        app,
        tracer_provider=provider,
        excluded_urls=NOT_TRACED,
        request_hook=_begun,
        enable_commenter=False,
    )
    TracedStream.tracer = provider.get_tracer("solrouter")
    http.stream_class = TracedStream


def _begun(span: Span, _environ: Mapping[str, Any]) -> None:
    """A trace can be found from a request's id, and from its line in the log."""
    if not span.is_recording():
        return
    span.set_attribute("solrouter.request_id", g.get("request_id", ""))
    request_ids.note(trace=trace.format_trace_id(span.get_span_context().trace_id))


def _headers(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
