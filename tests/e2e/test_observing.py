"""What operators see from outside: metrics of many processes, JSON logs, traces, error reports.

Collectors are real programs on real sockets. Canaries stand wherever content and secrets do.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import settings
from tests.e2e.place import (
    DEMO_MODEL,
    TINY_MODEL,
    WAIT_S,
    add_tiny_model,
    browser,
    make_customer,
    sign_up,
    until,
)
from tests.fakes.receiver import Receiver
from tests.fakes.smtp import FakeSmtp
from tests.fakes.upstream import FakeUpstream
from tests.served import ROOT, Served

TOKEN = "a-token-that-nobody-guesses"
CANARY = "canary-of-a-prompt-that-nobody-may-tell"
PATH_CANARY = "canaryofatokenthatstandsinanaddress0123456789"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
WORKERS = 2
REQUESTS = 40
ServerStarter = Callable[..., Served]


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with Receiver() as found:
        found.statuses = [200]
        yield found


def chat(server: Served, key: str, model: str = DEMO_MODEL, **headers: str) -> requests.Response:
    return requests.post(
        f"{server.api}/chat/completions",
        headers={"Authorization": f"Bearer {key}", "Connection": "close", **headers},
        json={"model": model, "messages": [{"role": "user", "content": CANARY}], "max_tokens": 5},
        timeout=WAIT_S,
    )


def metrics(server: Served) -> dict[str, float]:
    """Every sample of a scrape by its name and labels, as Prometheus's own parser reads it."""
    answer = requests.get(
        f"{server.url}/metrics",
        headers={"Authorization": f"Bearer {TOKEN}", "Connection": "close"},
        timeout=WAIT_S,
    )
    assert answer.status_code == 200, answer.text
    return {
        f"{sample.name}{json.dumps(sample.labels, sort_keys=True)}": sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


GUNICORNS = re.compile(r"\[[-+: \d]+\] \[\d+\] \[INFO\]")
ENDED = 'solrouter_completions_total{"outcome": "finished", "provider": "demo"}'


@pytest.mark.postgresql
def test_metrics_are_of_all_processes_whoever_answers(
    serve: ServerStarter, postgresql_url: str
) -> None:
    """Two servers of two workers on one database, as behind a router; one of them ends amidst."""
    both = [
        serve(
            postgresql_url,
            WEB_CONCURRENCY=str(WORKERS),
            SOLROUTER_METRICS_TOKEN=TOKEN,
            SOLROUTER_LEASE_S="6",
            SOLROUTER_DRAIN_S="1",
            SOLROUTER_DEMO="1",
        )
        for _ in range(2)
    ]
    key = make_customer(both[0], "alice@example.com", "--credit", "5")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: chat(both[n % 2], key), range(REQUESTS)))
    assert {answer.status_code for answer in answers} == {200}
    seen = [0.0]

    def told_by_all() -> bool:
        """Asked again and again, of any process: the sum never falls, and comes to all."""
        seen.append(metrics(both[len(seen) % 2]).get(ENDED, 0.0))
        assert seen[-1] >= seen[-2]
        return seen[-1] == REQUESTS

    until(told_by_all)
    found = metrics(both[0])
    assert found["solrouter_processes{}"] == 2 * WORKERS
    assert found["solrouter_database_up{}"] == 1
    bucket = 'solrouter_completion_seconds_bucket{"le": "+Inf", "provider": "demo"}'
    assert found[bucket] == REQUESTS
    both[1].stop()
    assert metrics(both[0])[ENDED] == REQUESTS
    assert chat(both[0], key).status_code == 200
    until(lambda: metrics(both[0])[ENDED] == REQUESTS + 1)


def test_logs_can_be_json(serve: ServerStarter) -> None:
    server = serve(SOLROUTER_ENV="production", SOLROUTER_LOG_FORMAT="json", SOLROUTER_DEMO="1")
    key = make_customer(server, "alice@example.com", "--credit", "5")
    answer = chat(server, key)
    requests.get(f"{server.url}/password/reset/{PATH_CANARY}", timeout=WAIT_S)
    until(lambda: answer.headers["X-Request-Id"] in server.log)
    server.stop()
    # What gunicorn says before there is an app, and after it, is its own.
    ours = [line for line in server.log.splitlines() if not GUNICORNS.match(line)]
    lines = [json.loads(line) for line in ours]
    (line,) = [each for each in lines if each.get("id") == answer.headers["X-Request-Id"]]
    assert (line["method"], line["path"]) == ("POST", "/v1/chat/completions")
    assert line["status"] == 200 and line["ms"] > 0 and line["level"] == "INFO"
    assert line["logger"] == "solrouter.access" and line["account"] and line["key"]
    assert line["request"] == answer.json()["id"]
    for secret in (CANARY, PATH_CANARY, key):
        assert secret not in server.log


def spans(collector: Receiver) -> list[Span]:
    found: list[Span] = []
    for taken in list(collector.taken):
        request = ExportTraceServiceRequest.FromString(taken.body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                found += scope.spans
    return found


def test_traces_hold_the_callers_id_and_the_call_upstream(
    serve: ServerStarter, upstream: FakeUpstream, collector: Receiver
) -> None:
    server = serve(
        SOLROUTER_ENV="production",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
        OTEL_EXPORTER_OTLP_HEADERS="x-api-key=of-the-collector",
        OTEL_SERVICE_NAME="solrouter-under-test",
    )
    add_tiny_model(server, upstream.url)
    key = make_customer(server, "alice@example.com", "--credit", "5")
    parent = f"00-{TRACE_ID}-{PARENT_ID}-01"
    answer = chat(server, key, TINY_MODEL, traceparent=parent, tracestate="acme=canary-of-a-state")
    assert answer.status_code == 200, answer.text
    requests.get(f"{server.url}/{PATH_CANARY}?q={CANARY}", timeout=WAIT_S)
    server.stop()
    found = {span.name: span for span in spans(collector)}
    request, call = found["POST /v1/chat/completions"], found["POST"]
    assert request.trace_id.hex() == call.trace_id.hex() == TRACE_ID
    assert request.parent_span_id.hex() == PARENT_ID
    assert call.parent_span_id == request.span_id
    assert (request.kind, call.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    told = {each.key: each.value.string_value for each in request.attributes}
    assert told["solrouter.request_id"] == answer.headers["X-Request-Id"]
    assert f"trace={TRACE_ID}" in server.log
    taken = collector.taken[0]
    assert taken.path == "/v1/traces" and taken.headers["x-api-key"] == "of-the-collector"
    assert b"solrouter-under-test" in taken.body
    sent = b"".join(each.body for each in collector.taken)
    for secret in (CANARY, PATH_CANARY, key, "canary-of-a-state", "127.0.0.1:"):
        assert secret.encode() not in sent, secret
    # A provider is told nothing of it.
    assert "traceparent" not in {name.lower() for name in upstream.last.headers}


def test_without_an_endpoint_no_package_of_it_is_read(sqlite_url: str, tmp_path: Path) -> None:
    code = (
        "import sys; from gevent import monkey; monkey.patch_all();"
        "from solrouter import create_app;"
        f"create_app({settings(sqlite_url, tmp_path)!r});"
        "print([m for m in sys.modules if m.startswith(('opentelemetry', 'sentry_sdk'))])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.strip() == "[]"


def test_sentry_is_told_where_and_never_what(
    tmp_path_factory: pytest.TempPathFactory, sqlite_url: str, collector: Receiver
) -> None:
    """In a process of its own: Sentry's client is the process's."""
    folder = tmp_path_factory.mktemp("sentry")
    dsn = collector.url.replace("http://", "http://public@") + "/42"
    environ = settings(sqlite_url, folder, SENTRY_DSN=dsn, SENTRY_ENVIRONMENT="rehearsal")
    code = FAILING_APP.format(environ=environ, canary=CANARY)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert result.returncode == 0, result.stderr
    reports = [_event(taken.body) for taken in collector.wait_for(2)]
    sent = b"".join(taken.body for taken in collector.taken)
    assert CANARY.encode() not in sent and b"sr_canarykey" not in sent
    assert {taken.path for taken in collector.taken} == {"/api/42/envelope/"}
    of_request = next(report for report in reports if "tags" in report)
    assert of_request["tags"]["request_id"].startswith("req_")
    assert of_request["logentry"] == {"message": "unexpected fault in request %s"}
    assert of_request["environment"] == "rehearsal" and of_request["level"] == "error"
    (value,) = of_request["exception"]["values"]
    assert value["type"] == "ValueError" and "value" not in value
    frame = value["stacktrace"]["frames"][-1]
    assert frame["function"] == "fails" and set(frame) <= {
        "filename",
        "function",
        "module",
        "lineno",
        "in_app",
    }
    kinds = {each["exception"]["values"][0]["type"] for each in reports}
    assert kinds == {"ValueError", "KeyError"}, "what ends a thread is told, too"
    assert "request" not in of_request and "server_name" not in of_request


def test_a_server_reports_without_the_address_that_it_speaks_of(
    serve: ServerStarter, smtp: FakeSmtp, collector: Receiver
) -> None:
    """Under gunicorn and gevent, from a thread of its own; its log tells more than the report."""
    smtp.refuses["RCPT"] = "550 No such mailbox"
    server = serve(
        SOLROUTER_ENV="production",
        SMTP_URL=smtp.url,
        SOLROUTER_BASE_URL="https://llm.example.com",
        SENTRY_DSN=collector.url.replace("http://", "http://public@") + "/42",
    )
    sign_up(server, f"{CANARY}@example.com", browser())
    (taken, *_) = collector.wait_for(1)
    report = _event(taken.body)
    assert report["logentry"] == {"message": "mail %d (%s) was refused: %s"}
    assert report["environment"] == "production" and report["logger"].startswith("solrouter.")
    assert CANARY.encode() not in taken.body and b"550" not in taken.body
    assert "550" in server.log


def _event(envelope: bytes) -> dict[str, Any]:
    """The event of an envelope: a line of headers, then for each item its headers and its body."""
    lines = envelope.split(b"\n")
    found: dict[str, Any] = json.loads(lines[2])
    return found


FAILING_APP = """
import threading
import sentry_sdk
from solrouter import create_app, tracebacks
tracebacks.take_over()
app = create_app({environ!r})

def fails():
    body, key = "{canary}", "sr_canarykey0123456789"
    raise ValueError(body + key)

def fails_apart():
    secret = "{canary}"
    raise KeyError(secret)

app.add_url_rule("/fails", "fails", fails, methods=["POST"])
answer = app.test_client().post(
    "/fails?q={canary}", data={{"prompt": "{canary}"}}, headers={{"X-Canary": "{canary}",
    "Authorization": "Bearer sr_canarykey0123456789", "Sec-Fetch-Site": "same-origin"}}
)
assert answer.status_code == 500, answer.text
thread = threading.Thread(target=fails_apart)
thread.start()
thread.join()
sentry_sdk.flush(5)
"""
