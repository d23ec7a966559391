"""Settings of what operators see: logs, metrics, traces, alerts, jobs."""

from solrouter.config.setting import Setting
from solrouter.config.values import (
    base_url,
    log_format,
    networks,
    percent,
    positive,
    sentry_dsn,
    share,
    text,
)

OBSERVING: tuple[Setting, ...] = (
    Setting(
        "SOLROUTER_LOG_FORMAT",
        "text",
        log_format,
        "`text`: a line for people. `json`: one JSON object a line, for programs that gather logs.",
        "Observing",
    ),
    Setting(
        "SOLROUTER_ALERT_ERROR_PERCENT",
        "5",
        percent,
        "Operators are alerted when so many of a hundred API requests of the last ten minutes "
        "failed through no fault of their caller.",
        "Observing",
    ),
    Setting(
        "SENTRY_DSN",
        "",
        sentry_dsn,
        "Where Sentry takes error reports: what failed where in the code, without messages, "
        "bodies, headers and values. Unset: no reports.",
        "Observing",
        secret=True,
    ),
    Setting(
        "SENTRY_ENVIRONMENT",
        "",
        text,
        "What Sentry calls this server, such as `staging`. Unset: the value of `SOLROUTER_ENV`.",
        "Observing",
    ),
    Setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        base_url,
        "Where an OpenTelemetry collector takes traces by OTLP over HTTP, such as "
        "`http://localhost:4318`. Unset: no traces.",
        "Observing",
    ),
    Setting(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "",
        text,
        "Headers for the collector, such as `api-key=…`, separated by commas.",
        "Observing",
        secret=True,
    ),
    Setting("OTEL_SERVICE_NAME", "solrouter", text, "What traces call this server.", "Observing"),
    Setting(
        "OTEL_TRACES_SAMPLER_ARG",
        "1",
        share,
        "The share of requests that are traced, from 0 to 1. A caller's own `traceparent` decides "
        "for its requests.",
        "Observing",
    ),
    Setting(
        "SOLROUTER_WEBHOOK_NETWORKS",
        "",
        networks,
        "Networks, such as `10.0.0.0/8`, that the operators' own alert webhooks may lead into; "
        "then on any port. Customers' webhooks go to public addresses alone.",
        "Observing",
    ),
    Setting(
        "SOLROUTER_WEBHOOK_FAILING_DAYS",
        "5",
        positive,
        "A webhook that has failed for so many days is turned off, and its people are told.",
        "Observing",
    ),
    Setting(
        "SOLROUTER_CATALOGUE_URL",
        "",
        text,
        "A catalogue, as a URL or a file, that the server brings its own to once a day. A change "
        "that is hard to believe waits for an operator. Unset: the packaged one, at each upgrade.",
        "Observing",
    ),
)
